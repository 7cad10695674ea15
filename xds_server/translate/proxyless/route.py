"""Build `envoy.config.route.v3.RouteConfiguration`: what a gRPC client's calls reach.

An `Upstream` in, encoded routes out, one configuration an upstream: it has the hash
keys of that upstream's policy, which gRPC reads nowhere else. Nothing of the audience
is in it, so all gRPC clients share it.
"""

from functools import lru_cache

from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy_data_plane.envoy.config.route.v3 import RouteAction

from xds_server.api.policy import LoadBalancer
from xds_server.mesh.model import Upstream
from xds_server.mesh.proxyless import adapt
from xds_server.translate.check import check_identity
from xds_server.translate.fragment import encode
from xds_server.translate.name import cluster_name, proxyless_route_name
from xds_server.translate.proxyless.load_balancing import build_hash_policies
from xds_server.xds import ROUTE, Resource


def build_route_configuration(upstream: Upstream) -> Resource:
    """Return the routes of *upstream*: every call of every authority goes there.

    The listener has decided by the channel's target; an application may still call
    itself what it likes.

    Raises:
        TranslateError: a name is no DNS label.
    """
    check_identity(upstream)
    cluster, name = cluster_name(upstream), proxyless_route_name(upstream)
    nearest = adapt(upstream.load_balancer).load_balancer
    host = route_components_pb2.VirtualHost(name=cluster, domains=["*"])
    route = host.routes.add()
    route.match.prefix = "/"
    route.route.MergeFromString(_encode_hash_policies(nearest))
    route.route.cluster = cluster
    configuration = route_pb2.RouteConfiguration(name=name, virtual_hosts=[host])
    return Resource(type_url=ROUTE, name=name, body=encode(configuration))


@lru_cache(maxsize=4096)
def _encode_hash_policies(load_balancer: LoadBalancer) -> bytes:
    return bytes(RouteAction(hash_policy=build_hash_policies(load_balancer)))
