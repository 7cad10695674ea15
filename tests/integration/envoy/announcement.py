"""A server's gate that reads the header of the PROXY protocol and passes on the rest.

The address to listen at and that of the server behind it in; each connection's header
out. It is read byte by byte, before anything that may be encrypted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from xds_server.lab.backend import Address

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""How a header of version 2 begins."""

_FIXED: Final = 16  # bytes of a header of version 2, before what is as long as it says
_CHUNK: Final = 65536


async def read_header(reader: asyncio.StreamReader) -> bytes:
    """Return the header with which a connection begins.

    Raises:
        IncompleteReadError: there is none, or not all of it.
    """
    begun = await reader.readexactly(len(b"PROXY"))
    if begun == b"PROXY":
        return begun + await reader.readuntil(b"\r\n")
    begun += await reader.readexactly(_FIXED - len(begun))
    if not begun.startswith(SIGNATURE):
        raise asyncio.IncompleteReadError(begun, None)
    return begun + await reader.readexactly(int.from_bytes(begun[-2:], "big"))


@asynccontextmanager
async def gate(
    outside: Address, inside: Address, headers: list[bytes]
) -> AsyncIterator[None]:
    """Listen at *outside* for what listens *inside*, and keep the *headers*.

    A connection without one is closed.
    """
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            headers.append(await read_header(reader))
            answers, requests = await asyncio.open_connection(*inside)
            await asyncio.gather(_pass(reader, requests), _pass(answers, writer))
        writer.close()

    server = await asyncio.start_server(serve, *outside)
    try:
        async with server:
            yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write what is read, until its end."""
    try:
        while found := await reader.read(_CHUNK):
            writer.write(found)
            await writer.drain()
    finally:
        writer.close()
