"""The clusters and assignments that the engine benchmarks serve.

Byte for byte what `engine/peer/resource.go` builds, but for the order of fields. A
resource carries a stamp, the number of the change that made it what it is, where the
load client finds it without decoding the rest.
"""

from functools import cache
from typing import Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster, LoadBalancingPolicy
from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.core.v3.config_source_pb2 import (
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
)
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_components_pb2 import (
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.load_balancing_policies.round_robin.v3.round_robin_pb2 import (
    RoundRobin,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from xds_server.xds import CLUSTER, ENDPOINT, Resource

UNCHANGED: Final = 1
"""The stamp of what has not changed since it was populated."""


def _name(number: int) -> str:
    return f"cluster-{number:05}"


def build_cluster(number: int, *, owner: str = "", stamp: int = UNCHANGED) -> Resource:
    """Return a cluster with its stamp in the nanoseconds of its connect timeout.

    *owner* is the one node that sees it, empty where all do.
    """
    policy = AnyMessage(
        type_url=f"type.googleapis.com/{RoundRobin.DESCRIPTOR.full_name}"
    )
    config = TypedExtensionConfig(name="round_robin", typed_config=policy)
    message = Cluster(
        name=_name(number),
        alt_stat_name=owner,
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(
            eds_config=ConfigSource(
                ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3
            )
        ),
        connect_timeout=Duration(seconds=5, nanos=stamp),
        per_connection_buffer_limit_bytes=UInt32Value(value=32768),
        load_balancing_policy=LoadBalancingPolicy(
            policies=[LoadBalancingPolicy.Policy(typed_extension_config=config)]
        ),
    )
    body = message.SerializeToString()
    return Resource(type_url=CLUSTER, name=message.name, body=body)


@cache
def _assignment(number: int, endpoints: int) -> ClusterLoadAssignment:
    hosts = [
        LbEndpoint(
            endpoint=Endpoint(address=_address(number, host)),
            health_status=HealthStatus.HEALTHY,
            load_balancing_weight=UInt32Value(value=UNCHANGED),
        )
        for host in range(endpoints)
    ]
    locality = Locality(region="region-1", zone="zone-1")
    return ClusterLoadAssignment(
        cluster_name=_name(number),
        endpoints=[LocalityLbEndpoints(locality=locality, lb_endpoints=hosts)],
    )


def build_assignment(
    number: int, *, endpoints: int, stamp: int = UNCHANGED
) -> Resource:
    """Return endpoints of which the first carries the stamp as its weight.

    The message is built once: the engine is to be measured, not the building.
    """
    message = _assignment(number, endpoints)
    message.endpoints[0].lb_endpoints[0].load_balancing_weight.value = stamp
    body = message.SerializeToString()
    return Resource(type_url=ENDPOINT, name=message.cluster_name, body=body)


def _address(number: int, host: int) -> Address:
    ip = f"10.{number // 256}.{number % 256}.{host + 1}"
    return Address(socket_address=SocketAddress(address=ip, port_value=8080))
