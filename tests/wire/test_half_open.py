"""Connections whose other end is gone without a word, as after a crash of its host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from tests.serve.conversation import resource
from tests.serve.setting import Setting, listening
from tests.serve.wire import PATIENCE, channel_to
from tests.wire.client import connect_to
from tests.wire.variant import ALL, Variant, over
from xds_server.serve import grpc_server
from xds_server.xds import ENDPOINT

QUICK: Final = {
    "grpc.keepalive_time_ms": 200,
    "grpc.keepalive_timeout_ms": 200,
    "grpc.http2.ping_timeout_ms": 200,
}
"""The server itself asks after 30 s, and waits 10 s for the answer."""


class Cable:
    """Carries bytes between a client and the server, until it is cut."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._is_whole = True

    @asynccontextmanager
    async def plugged_in(self) -> AsyncIterator[str]:
        """Listen; yield the address."""
        proxy = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        host, port = proxy.sockets[0].getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            proxy.close()

    def cut(self) -> None:
        """Carry nothing any more, and close nothing."""
        self._is_whole = False

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, port = self._server.split(":")
        there, back = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        finally:
            back.close()
            writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65_536):
            if self._is_whole:
                writer.write(data)
                await writer.drain()


@over(ALL)
async def test_a_half_open_connection_is_closed(
    setting: Setting, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pings that nobody answers end it, and its streams are let go; others go on.

    The client never hears of it.
    """
    options = dict(grpc_server._OPTIONS)
    assert options.keys() >= QUICK.keys()
    options |= QUICK
    monkeypatch.setattr(grpc_server, "_OPTIONS", tuple(options.items()))
    impatient = Setting(setting.world)
    async with listening(impatient):
        cable = Cable(impatient.address)
        async with cable.plugged_in() as address, channel_to(address) as channel:
            other = connect_to(impatient, variant)
            await other.subscribe(ENDPOINT, "a")
            await other.expect(ENDPOINT, "a|1")
            impatient.channel, direct = channel, impatient.channel
            client = connect_to(impatient, variant)
            await client.subscribe(ENDPOINT, "a")
            await client.expect(ENDPOINT, "a|1")
            impatient.channel = direct
            assert len(impatient.server.statuses()) == 2
            cable.cut()
            async with asyncio.timeout(PATIENCE):
                await impatient.events.next("disconnect")
            setting.world.publish(resource(ENDPOINT, "a", 2))
            await other.expect(ENDPOINT, "a|2")

            assert len(impatient.server.statuses()) == 1
