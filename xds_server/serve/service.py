"""The discovery services of xDS: what each is called, and which type it is for.

The names are those of the protos (`envoy/service/*/v3/*.proto`): one aggregated service
for all types (ADS), and one for each type that Envoys and tools ask for by itself.
"""

from dataclasses import dataclass
from typing import Final

from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryService:
    """A gRPC service and its methods.

    `type_url` is the only type that its streams are about; None where each request
    says its own. `fetch` is the unary method, where there is one.
    """

    name: str
    type_url: str | None
    sotw: str
    delta: str
    fetch: str | None


def _of_one_type(type_url: str, noun: str) -> DiscoveryService:
    return DiscoveryService(
        name=f"envoy.service.{noun.lower()}.v3.{noun}DiscoveryService",
        type_url=type_url,
        sotw=f"Stream{noun}s",
        delta=f"Delta{noun}s",
        fetch=f"Fetch{noun}s",
    )


DISCOVERY_SERVICES: Final = (
    DiscoveryService(
        name="envoy.service.discovery.v3.AggregatedDiscoveryService",
        type_url=None,
        sotw="StreamAggregatedResources",
        delta="DeltaAggregatedResources",
        fetch=None,
    ),
    _of_one_type(CLUSTER, "Cluster"),
    _of_one_type(ENDPOINT, "Endpoint"),
    _of_one_type(LISTENER, "Listener"),
    _of_one_type(ROUTE, "Route"),
)

CLIENT_STATUS_SERVICE: Final = "envoy.service.status.v3.ClientStatusDiscoveryService"
LOAD_REPORTING_SERVICE: Final = "envoy.service.load_stats.v3.LoadReportingService"
