"""What the load reports of many Envoys cost the server, over gRPC.

Clients are a process of their own; what counts is the time of the server's processor,
not how long it took. Summing up is measured elsewhere.
"""

import asyncio
import sys
import time
from datetime import timedelta
from typing import Final

from benchmarks.load_client import CLUSTER
from benchmarks.result import Result
from xds_server.engine import Groups, LoadReport, Snapshot, XdsServer
from xds_server.lab.error import LabError

STREAMS: Final = 50
FEW: Final = 10
MANY: Final = 1000
_INTERVAL: Final = timedelta(seconds=2)
_SIDECARS: Final = 1000


class _Counter:
    """Takes reports, and counts them."""

    def __init__(self) -> None:
        self.reports = 0

    def submit(self, report: LoadReport) -> None:
        self.reports += bool(report.clusters)


async def measure() -> list[Result]:
    """Measure reports of few and of many endpoints."""
    few = await _cost(FEW, reports=100)
    many = await _cost(MANY, reports=10)
    of_core = few * _SIDECARS / _INTERVAL.total_seconds()
    each = (many - few) / (MANY - FEW)
    return [
        Result(
            what=f"load report of {FEW} endpoints, 61 kB of node: processor time",
            measured=f"{few * 1e6:.0f} us",
            aim="400 us",
        ),
        Result(
            what=f"{_SIDECARS} sidecars that report these every 2 s: of a core",
            measured=f"{of_core:.0%}",
            aim="< 20 %",
        ),
        Result(
            what=f"each more endpoint of a report of {MANY}",
            measured=f"{each * 1e6:.1f} us",
            aim="10 us",
        ),
    ]


async def _cost(endpoints: int, *, reports: int) -> float:
    """Return the processor seconds that a report of so many *endpoints* costs."""
    snapshot, sink = Snapshot(), _Counter()
    snapshot.declare_ready()
    server = XdsServer(
        snapshot=snapshot,
        directory=Groups(lambda _: None),
        load_report_sink=sink,
    )
    server.ask_for_load([CLUSTER])
    async with server.listening("127.0.0.1:0") as address:
        await _report(address, 1, endpoints)  # what is done once is no cost of reports
        sink.reports, began = 0, time.process_time()
        await _report(address, reports, endpoints)
        return (time.process_time() - began) / max(sink.reports, 1)


async def _report(address: str, reports: int, endpoints: int) -> None:
    numbers = (str(each) for each in (STREAMS, reports + 1, endpoints))
    command = (sys.executable, "-m", "benchmarks.load_client", address, *numbers)
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        message = "the clients that report load failed"
        raise LabError(message)
