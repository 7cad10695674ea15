"""Who goes on with the weights of a server before this one.

Streams that open, and load reports, in; reports on their way to the control loop out,
which is told where traffic shows weights that it did not give. That is so where a
client was left with what it came back with, and where one reports that has no stream
yet: Envoy opens the two by themselves, each after a time of its own. Of several
replicas, it may have its stream from another, and with it weights that are no news.
"""

from collections import Counter
from collections.abc import Set as AbstractSet

from xds_server.control.source import ControlSource
from xds_server.engine import Connection, LoadReport, Observer


class Takeover(Observer):
    """Hears of streams, and passes on load reports."""

    def __init__(self, control: ControlSource, *, is_alone: bool = True) -> None:
        """Tell *control*; *is_alone* where clients have no other server."""
        self._control = control
        self._is_alone = is_alone
        self._streams: Counter[str] = Counter()

    def on_connect(self, connection: Connection) -> None:
        """Know that the client is told what it is to have."""
        self._streams[connection.node.id] += 1

    def on_disconnect(self, connection: Connection) -> None:
        """Forget the client with its last stream."""
        self._streams[connection.node.id] -= 1
        if not self._streams[connection.node.id]:
            del self._streams[connection.node.id]

    def on_kept(
        self,
        connection: Connection,  # noqa: ARG002 - whoever it is
        type_url: str,  # noqa: ARG002 - only assignments yield
        names: AbstractSet[str],
    ) -> None:
        """Pass on of which clusters; an assignment has the name of its cluster."""
        self._control.keep(names)

    def submit(self, report: LoadReport) -> None:
        """Pass on what a client reports, and first that nobody told it its weights."""
        if self._is_alone and report.node_id not in self._streams:
            self._control.keep(each.cluster for each in report.clusters)
        self._control.submit(report)
