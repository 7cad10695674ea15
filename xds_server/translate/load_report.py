"""Build what makes Envoys report how long endpoints take, or what these say of it.

Of an upstream whose weights the control loop computes, the parts of its cluster and of
its routes out. Envoy measures no time for an endpoint by itself; but it sums what
endpoints report about their load (ORCA), and an upstream HTTP filter can write such a
report into an answer: the time from the first byte of a request to the first of its
answer. The route takes it out again, so clients never see it.

That is the way of `%COMMON_DURATION%` (Envoy's access log documentation) through
`lrs_report_endpoint_metrics` (envoy.config.cluster.v3.Cluster) into
`UpstreamEndpointStats.load_metric_stats` (envoy.config.endpoint.v3).
"""

from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation as Mutation,
)
from envoy_data_plane.envoy.config.core.v3 import (
    ApiVersion,
    ConfigSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    SelfConfigSource,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import (
    HeaderMutation,
    Mutations,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpFilter,
)
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import LoadBalancer
from xds_server.load import UPSTREAM_TIME

_HEADER: Final = "endpoint-load-metrics"
_BINARY: Final = "endpoint-load-metrics-bin"

REPORT_HEADERS: Final = (_HEADER, _BINARY)
"""The headers of answers that are reports of load: of two, Envoy reads the binary."""

_TIME: Final = "%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%"


def build_measuring_filters(load_balancer: LoadBalancer) -> list[HttpFilter]:
    """Return the upstream filters that write Envoy's own report into each answer.

    It takes the place of the endpoint's. None where that is what is reported.
    """
    block = load_balancer.performance_based
    if block is None or not block.is_measured:
        return []
    option = HeaderValueOption(
        header=HeaderValue(key=_HEADER, value=f"TEXT {UPSTREAM_TIME}={_TIME}"),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    message = HeaderMutation(
        mutations=Mutations(
            response_mutations=[Mutation(remove=_BINARY), Mutation(append=option)]
        )
    )
    name = "envoy.filters.http.header_mutation"
    return [HttpFilter(name=name, typed_config=Any.pack(message))]


def add_load_report(cluster: Cluster, load_balancer: LoadBalancer) -> None:
    """Let the load reports of *cluster* have the metrics that its weights come from."""
    block = load_balancer.performance_based
    metrics = block.reported if block else ()
    cluster.lrs_server = ConfigSource(
        self=SelfConfigSource(), resource_api_version=ApiVersion.V3
    )
    cluster.lrs_report_endpoint_metrics = list(metrics) or [UPSTREAM_TIME]
