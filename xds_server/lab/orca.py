"""Where backends report their load out of band, as OrcaOutOfBand has it.

Backends and a port in; until the context ends each answers, at its own address and that
port, the streams of `xds.service.orca.v3.OpenRcaService` with its load, as often as it
is asked to.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeAlias

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
from google.protobuf.json_format import ParseDict
from xds.data.orca.v3 import orca_load_report_pb2
from xds.service.orca.v3 import orca_pb2

from xds_server.lab.backend import Address, Backend, nested
from xds_server.lab.error import LabError

_SERVICE: Final = "xds.service.orca.v3.OpenRcaService"
_METHOD: Final = "StreamCoreMetrics"
Report: TypeAlias = orca_load_report_pb2.OrcaLoadReport


@asynccontextmanager
async def serve_reports(backends: Iterable[Backend], port: int) -> AsyncIterator[None]:
    """Let all *backends* report at *port* until the context ends.

    Raises `LabError` when an address cannot be bound.
    """
    async with AsyncExitStack() as stack:
        for backend in backends:
            server = grpc.aio.server()
            handler = grpc.unary_stream_rpc_method_handler(
                _reporter(backend),
                request_deserializer=orca_pb2.OrcaLoadReportRequest.FromString,
                response_serializer=Report.SerializeToString,
            )
            generic = grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler})
            server.add_generic_rpc_handlers((generic,))
            address = Address(backend.address.ip, port)
            try:
                server.add_insecure_port(str(address))
            except RuntimeError as error:
                message = f"no backend can report on {address}: {error}"
                raise LabError(message) from None
            await server.start()
            stack.push_async_callback(server.stop, None)
        yield


def _reporter(
    backend: Backend,
) -> Callable[[orca_pb2.OrcaLoadReportRequest, object], AsyncIterator[Report]]:
    """Return what reports the load of *backend* again and again."""

    async def report(
        request: orca_pb2.OrcaLoadReportRequest, _: object
    ) -> AsyncIterator[Report]:
        period = request.report_interval.ToTimedelta().total_seconds()
        while True:
            yield ParseDict(nested(backend.load), Report())
            await asyncio.sleep(period)

    return report
