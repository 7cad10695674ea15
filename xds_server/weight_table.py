"""Computed weights for people: a table for each port whose endpoints are weighed.

In: the part of `/status` that is about them. Out: rich tables. Values are text as it
is, not markup.
"""

from collections.abc import Iterator
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from xds_server.status_table import Endpoint, WeighedPort

_WORDS: Final = ("Endpoint", "Why", "Traffic")
"""The columns that have no numbers."""
_BAR: Final = 20
"""How many characters the largest share is long."""


def weight_table(port: WeighedPort, *, bars: bool = False) -> Table:
    """Return how the endpoints of *port* stand, and by whose word; shares as *bars*.

    Without bars it takes 80 columns, where addresses are of IPv4.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.title, table.title_justify = _title(port), "left"
    most = max((each.share for each in port.endpoints), default=1.0)
    rows = [dict(_cells(each)) for each in port.endpoints]
    for row, each in zip(rows, port.endpoints, strict=True):
        if bars:
            row["Traffic"] = "█" * max(1, round(_BAR * each.share / most))
    for heading in rows[0] if rows else ():
        is_number = heading not in _WORDS
        table.add_column(
            heading, justify="right" if is_number else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row.values()))
    return table


def _cells(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Yield what is told of an endpoint, by the headings."""
    load, seen = endpoint.load, endpoint.evidence_seconds_ago
    yield "Endpoint", endpoint.address
    yield "Rate", f"{endpoint.answers_per_second:.3g}"
    yield "Time", _latency(endpoint.latency_seconds)
    yield "Errors", f"{endpoint.error_ratio:.1%}"
    yield "Load", "-" if load is None else f"{load:.3g}"
    yield "Factor", f"{endpoint.error_factor:.2f}"
    yield "Weight", str(endpoint.weight)
    yield "Share", f"{endpoint.share:.1%}"
    yield "Seen", "-" if seen is None else f"{seen:.0f} s"
    yield "Why", endpoint.reason or "-"


def _title(port: WeighedPort) -> str:
    clients = "1 client" if port.reporters == 1 else f"{port.reporters} clients"
    return (
        f"{port.namespace}/{port.service}:{port.port} of {clients}, "
        f"reported {_ago(port.last_report_seconds_ago)}, "
        f"changed {_ago(port.last_push_seconds_ago)}"
    )


def _latency(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s ago"
