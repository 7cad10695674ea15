"""Binding a gRPC server to an address, with the system's own words where it fails."""

import os
import socket

import grpc.aio  # type: ignore[import-untyped]  # ships no types

from xds_server.serve.address import split_address


def bind(server: grpc.aio.Server, address: str) -> str:
    """Bind *server* to *address*; return the address with the port it really has.

    Raises:
        OSError: the address cannot be bound.
    """
    host, port = split_address(address)
    _check_bindable(host, port, address)
    try:
        bound_port = server.add_insecure_port(address)
    except RuntimeError as error:
        text = f"cannot listen on {address}: {error}"
        raise OSError(text) from None
    return f"[{host}]:{bound_port}" if ":" in host else f"{host}:{bound_port}"


def _check_bindable(host: str, port: int, address: str) -> None:
    """Find out first why *address* cannot be bound: gRPC does not say it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        # The system's own words: asyncio and socket add theirs to `strerror`.
        is_of_system = error.errno and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if is_of_system else error.strerror
        text = f"cannot listen on {address}: {reason}"
        raise OSError(text) from None
