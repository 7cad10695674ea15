"""Many Envoys that report their load, as far as the server can tell: a process apart.

    python -m benchmarks.load_client ADDRESS STREAMS REPORTS ENDPOINTS

Each stream sends its reports one after the other, as fast as the server takes them, and
ends when the last one is sent. A report has the size of a real one: an Envoy (1.40)
says all that it knows of itself every time.
"""

import asyncio
import sys

import grpc.aio  # type: ignore[import-untyped]  # ships no types
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest

from xds_server.load import UPSTREAM_TIME

CLUSTER = "shop/web/80"
_METHOD = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats"
_EXTENSIONS, _NAME = 516, 85
"""What makes the node of an Envoy 1.40 some 61 kB."""


def report(endpoints: int) -> bytes:
    """Return an encoded report of one cluster with so many endpoints."""
    request = LoadStatsRequest()
    request.node.id = "sidecar"
    for number in range(_EXTENSIONS):
        request.node.extensions.add(name=f"{number}".rjust(_NAME), category="x" * 26)
    stats = request.cluster_stats.add(cluster_name=CLUSTER)
    stats.load_report_interval.FromSeconds(2)
    locality = stats.upstream_locality_stats.add()
    for number in range(endpoints):
        endpoint = locality.upstream_endpoint_stats.add(
            total_issued_requests=20,
            total_successful_requests=19,
            total_error_requests=1,
            total_requests_in_progress=2,
        )
        place = endpoint.address.socket_address
        place.address, place.port_value = f"10.0.{number >> 8}.{number & 255}", 8080
        endpoint.load_metric_stats.add(
            metric_name=UPSTREAM_TIME,
            num_requests_finished_with_metric=20,
            total_metric_value=412_345.0,
        )
    return request.SerializeToString()


async def main(address: str, streams: int, reports: int, endpoints: int) -> None:
    """Send all reports."""
    message = report(endpoints)
    async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as t:
        for _ in range(streams):
            t.create_task(_send(channel, message, reports))


async def _send(channel: grpc.aio.Channel, message: bytes, reports: int) -> None:
    call = channel.stream_stream(_METHOD)()
    for _ in range(reports):
        await call.write(message)
    await call.done_writing()
    async for _ in call:  # what is asked
        pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
