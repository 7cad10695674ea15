"""Load reports: what Envoys say of the traffic they sent (LRS).

In: the requests of a StreamLoadStats stream, as bytes. Out: the one response that tells
the client what to report, and reports for a port. What they mean is known elsewhere.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol

from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsResponse

from xds_server.serve.node import Node

SENDS_ALL_CLUSTERS: Final = "envoy.lrs.supports_send_all_clusters"
"""The client feature without which `send_all_clusters` must not be used."""


class LoadReportSink(Protocol):
    """Takes load reports; must be quick and must not raise."""

    def submit(self, node: Node, stats: Sequence[ClusterStats]) -> None:
        """Take what *node* measured since its last report, one entry a cluster."""
        ...


class IgnoredReports:
    """A sink for servers that have no use for reports yet."""

    def submit(self, node: Node, stats: Sequence[ClusterStats]) -> None:
        """Drop the report."""


def load_stats_response(node: Node, interval: timedelta) -> bytes:
    """Return the encoded LoadStatsResponse that asks *node* for reports.

    A client that cannot report all clusters would have to be given their names; it is
    asked for none.
    """
    response = LoadStatsResponse(
        send_all_clusters=SENDS_ALL_CLUSTERS in node.client_features
    )
    response.load_reporting_interval.FromTimedelta(interval)
    return response.SerializeToString()
