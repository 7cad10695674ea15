"""`xds-server top`: how weighed Services stand, in a terminal, again and again.

In: the admin address of a running server. Out: pictures of its `/status`, drawn over
each other where somebody watches, one below the other where the output is a file.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from xds_server.status_table import (
    Status,
    StatusError,
    WeighedPort,
    decode_status,
    fetch_status,
)
from xds_server.weight_table import weight_table

_WIDE: Final = 104
"""So many columns take the bars, too."""
_NONE: Final = (
    "no Service has computed weights; those have them whose policy says "
    "loadBalancer: {type: PerformanceBased}"
)


async def show_once(console: Console, admin_address: str, service: str) -> None:
    """Show how Services stand now; *service* is one of them, or empty for all.

    Raises:
        StatusError: there is no answer, or no such Service.
    """
    status = await _status(admin_address)
    console.print(picture(status, service, bars=_has_room(console)))


async def watch(
    console: Console, admin_address: str, service: str, refresh: timedelta
) -> None:
    """Show how Services stand, anew each *refresh*; never ends.

    A server that does not answer, or has no such Service, may do so later.
    """
    with ExitStack() as stack:
        show: Callable[[RenderableType], None] = console.print
        if console.is_terminal:
            live = stack.enter_context(
                Live(console=console, auto_refresh=False, screen=True)
            )
            show = partial(live.update, refresh=True)
        while True:
            try:
                status = await _status(admin_address)
                show(picture(status, service, bars=_has_room(console)))
            except StatusError as error:
                show(Text(f"{error}; asking again"))
            await asyncio.sleep(refresh.total_seconds())


def picture(status: Status, service: str, *, bars: bool) -> RenderableType:
    """Return what is shown of *status*; shares as *bars*, too.

    Raises:
        StatusError: *service* is not empty, and none that is weighed.
    """
    ports = [port for port in status.weights if _is_meant(port, service)]
    if service and not ports:
        names = ", ".join(dict.fromkeys(map(_name, status.weights))) or "none"
        message = f"no weights are computed for {service}; Services with some: {names}"
        raise StatusError(message)
    return Group(_head(status), *_tables(ports, bars=bars))


def _tables(ports: Iterable[WeighedPort], *, bars: bool) -> Iterable[RenderableType]:
    for port in ports:
        yield Text()
        yield weight_table(port, bars=bars)


def _has_room(console: Console) -> bool:
    return console.width >= _WIDE


def _head(status: Status) -> Text:
    ready = "ready" if status.server.ready else "not ready"
    nodes = len({node.id for node in status.nodes})
    endpoints = sum(len(port.endpoints) for port in status.weights)
    rate = sum(
        each.answers_per_second for port in status.weights for each in port.endpoints
    )
    if not status.weights:
        return Text(f"{ready}, {nodes} nodes: {_NONE}")
    return Text(
        f"{ready}, {nodes} nodes, {endpoints} weighed endpoints, {rate:.3g} answers/s"
    )


def _is_meant(port: WeighedPort, service: str) -> bool:
    return service in {"", port.service, _name(port)}


def _name(port: WeighedPort) -> str:
    return f"{port.namespace}/{port.service}"


async def _status(admin_address: str) -> Status:
    return decode_status(await fetch_status(admin_address))
