"""A DNS server on loopback, and an Envoy that asks it alone.

Names with their addresses in, A records out, to be kept for ten minutes as those of
Docker's DNS are. An Envoy reads `/etc/resolv.conf`: it is given another one in a mount
namespace of its own. Without the right to make one, a test is skipped.
"""

import asyncio
import shlex
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from xds_server.lab.backend import Address
from xds_server.lab.envoy import find_envoy

TTL: Final = 600
_LONGEST_QUERY: Final = 512
_A: Final = 1
_IN: Final = 1
_HEAD: Final = struct.Struct("!6H")
_RESPONSE: Final = 0x8180
_NAME_ERROR: Final = 3
_ENTER: Final = 'mount --bind "$0" /etc/resolv.conf; exec "$@"'
"""Lets the file `$0` be what a program finds there, and runs it."""

_FIRST_NAME: Final = 0xC00C
"""A pointer to the name in the question."""


@dataclass(kw_only=True)
class NameServer:
    """The addresses behind each name, which may change, and where to ask."""

    address: Address
    names: dict[str, Sequence[str]] = field(default_factory=dict)

    def answer(self, query: bytes) -> bytes:
        """Return the response to *query*, which asks one question."""
        number, *_ = _HEAD.unpack_from(query)
        end = query.index(b"\0", _HEAD.size) + 1
        (kind,) = struct.unpack_from("!H", query, end)
        addresses = self.names.get(_text(query[_HEAD.size : end]))
        status = _NAME_ERROR if addresses is None else 0
        records = b"".join(
            struct.pack("!3HIH", _FIRST_NAME, _A, _IN, TTL, 4) + socket.inet_aton(each)
            for each in (addresses or ())
            if kind == _A
        )
        count = len(addresses or ()) if kind == _A else 0
        head = _HEAD.pack(number, _RESPONSE | status, 1, count, 0, 0)
        return head + query[_HEAD.size : end + 4] + records


def _text(name: bytes) -> str:
    labels = []
    while length := name[0]:
        labels.append(name[1 : 1 + length].decode())
        name = name[1 + length :]
    return ".".join(labels).lower()


@asynccontextmanager
async def serve_names(
    names: Mapping[str, Sequence[str]],
) -> AsyncIterator[NameServer]:
    """Answer for *names* until the context ends."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.setblocking(False)  # noqa: FBT003 - its only form
        listening.bind(("127.0.0.1", 0))
        server = NameServer(
            address=Address(*listening.getsockname()), names=dict(names)
        )

        def answer() -> None:
            query, client = listening.recvfrom(_LONGEST_QUERY)
            listening.sendto(server.answer(query), client)

        loop.add_reader(listening, answer)
        try:
            yield server
        finally:
            loop.remove_reader(listening)


def envoy_asking(server: NameServer, folder: Path) -> Path:
    """Return a program in *folder* that is an Envoy and asks *server* for names."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare program: install util-linux")
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {server.address}\n")
    inside = [
        unshare,
        "--map-root-user",
        "--mount",
        "/bin/sh",
        "-ec",
        _ENTER,
        str(resolver),
    ]
    tried = subprocess.run(  # noqa: S603 - of our own
        [*inside, "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        reason = tried.stderr.strip()
        pytest.skip(f"no right to give an Envoy another /etc/resolv.conf: {reason}")
    program = folder / "envoy-in-namespace"
    command = shlex.join([*inside, str(find_envoy())])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return program
