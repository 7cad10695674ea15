"""Read load reports off the wire, and of each no more than somebody wants to know.

The bytes of a LoadStatsRequest in, a `LoadReport` out. An Envoy (1.40) sends the 61 kB
that it knows of itself with every report, for 200 bytes about an endpoint: so a report
is cut at its fields (https://protobuf.dev/programming-guides/encoding), the node is
passed over, and of clusters only those are decoded that are wanted.
"""

from collections.abc import Collection, Iterator
from typing import Final

from envoy.config.endpoint.v3.load_report_pb2 import (
    ClusterStats,
    UpstreamEndpointStats,
)
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest
from google.protobuf.message import DecodeError

from xds_server.load import ClusterLoad, EndpointLoad, LoadReport, MetricSum
from xds_server.serve.ending import RequestError

_CLUSTER_STATS: Final = LoadStatsRequest.CLUSTER_STATS_FIELD_NUMBER
_NAME: Final = ClusterStats.CLUSTER_NAME_FIELD_NUMBER
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}
_MORE: Final = 0x80
_LONGEST_VARINT: Final = 10


def decode_report(
    message: bytes, node_id: str, wanted: Collection[str] | None
) -> LoadReport:
    """Return what *message* says of the clusters that are *wanted*; None wants all.

    Raises:
        RequestError: it is no LoadStatsRequest.
    """
    try:
        return LoadReport(
            node_id=node_id,
            clusters=tuple(
                _cluster(ClusterStats.FromString(message[start:end]))
                for field, start, end in _fields(message, 0, len(message))
                if field == _CLUSTER_STATS
                and (wanted is None or _name(message, start, end) in wanted)
            ),
        )
    except (DecodeError, IndexError, ValueError):
        text = "not an encoded LoadStatsRequest"
        raise RequestError(text) from None


def _cluster(stats: ClusterStats) -> ClusterLoad:
    interval = stats.load_report_interval
    return ClusterLoad(
        cluster=stats.cluster_name,
        seconds=interval.seconds + interval.nanos / 1e9,
        endpoints=tuple(
            _endpoint(each)
            for locality in stats.upstream_locality_stats[:]
            for each in locality.upstream_endpoint_stats[:]
        ),
    )


def _endpoint(stats: UpstreamEndpointStats) -> EndpointLoad:
    """Return what *stats* say; slices and places are faster than loops and names."""
    place = stats.address.socket_address
    host, port = place.address, place.port_value
    return EndpointLoad(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        stats.total_issued_requests,
        stats.total_successful_requests,
        stats.total_error_requests,
        stats.total_requests_in_progress,
        {
            each.metric_name: MetricSum(
                each.num_requests_finished_with_metric, each.total_metric_value
            )
            for each in stats.load_metric_stats[:]
        },
    )


def _name(message: bytes, start: int, end: int) -> str | None:
    """Return the name of the ClusterStats there; the last counts, as in protobuf."""
    found = None
    for field, first, last in _fields(message, start, end):
        if field == _NAME:
            found = message[first:last].decode()
    return found


def _fields(message: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each field that has a length, and where its value is.

    Raises:
        ValueError: these are no fields.
        IndexError: they do not end where the message does.
    """
    while start < end:
        tag, start = _varint(message, start)
        kind = tag & 7
        if kind == _BYTES:
            length, start = _varint(message, start)
            if start + length > end:
                raise IndexError
            yield tag >> 3, start, start + length
            start += length
        elif kind == _VARINT:
            _, start = _varint(message, start)
        else:
            start += _SIZES[kind] if kind in _SIZES else _refuse(kind)


def _varint(message: bytes, start: int) -> tuple[int, int]:
    """Return the number that begins there, and where it ends."""
    value = message[start]
    if value < _MORE:
        return value, start + 1
    value &= _MORE - 1
    for shift in range(1, _LONGEST_VARINT):
        byte = message[start + shift]
        value |= (byte & (_MORE - 1)) << (7 * shift)
        if byte < _MORE:
            return value, start + shift + 1
    raise ValueError


def _refuse(kind: int) -> int:
    """Refuse groups, which no message here has, and what is none of protobuf's."""
    message = f"a field of kind {kind}"
    raise ValueError(message)
