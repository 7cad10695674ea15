"""Write Envoy configuration for people: encoded messages in, YAML or JSON text out.

Field names are those of Envoy's documentation (`snake_case`), and what is inside an Any
is shown. The output is configuration that Envoy reads: a bootstrap, or the file that a
`path_config_source` names.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

import yaml
from betterproto2 import Casing
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.clusters.dns.v3 import dns_cluster_pb2
from envoy.extensions.common.matching.v3 import extension_matcher_pb2
from envoy.extensions.filters.http.adaptive_concurrency.v3 import (
    adaptive_concurrency_pb2,
)
from envoy.extensions.filters.http.admission_control.v3 import admission_control_pb2
from envoy.extensions.filters.http.composite.v3 import composite_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.http.stateful_session.v3 import stateful_session_pb2
from envoy.extensions.filters.http.upstream_codec.v3 import upstream_codec_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.http.stateful_session.cookie.v3 import cookie_pb2
from envoy.extensions.http.stateful_session.header.v3 import header_pb2
from envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3 import (  # noqa: E501 - Envoy's name
    client_side_weighted_round_robin_pb2,
)
from envoy.extensions.load_balancing_policies.least_request.v3 import least_request_pb2
from envoy.extensions.load_balancing_policies.maglev.v3 import maglev_pb2
from envoy.extensions.load_balancing_policies.override_host.v3 import override_host_pb2
from envoy.extensions.load_balancing_policies.random.v3 import random_pb2
from envoy.extensions.load_balancing_policies.ring_hash.v3 import ring_hash_pb2
from envoy.extensions.load_balancing_policies.round_robin.v3 import round_robin_pb2
from envoy.extensions.load_balancing_policies.wrr_locality.v3 import wrr_locality_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import (
    upstream_proxy_protocol_pb2,
)
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from xds_server.translate import load_aware_message
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Resource

SHOWN_IN_ANY: Final = (
    adaptive_concurrency_pb2,
    admission_control_pb2,
    client_side_weighted_round_robin_pb2,
    composite_pb2,
    cookie_pb2,
    dns_cluster_pb2,
    extension_matcher_pb2,
    header_mutation_pb2,
    header_pb2,
    http_connection_manager_pb2,
    http_protocol_options_pb2,
    least_request_pb2,
    local_rate_limit_pb2,
    maglev_pb2,
    override_host_pb2,
    previous_hosts_pb2,
    random_pb2,
    raw_buffer_pb2,
    ring_hash_pb2,
    round_robin_pb2,
    router_pb2,
    stateful_session_pb2,
    tcp_proxy_pb2,
    tls_pb2,
    upstream_codec_pb2,
    upstream_proxy_protocol_pb2,
    wrr_locality_pb2,
)
"""The modules of all messages that this room puts into an Any.

To have imported a module is what lets the JSON format look inside.
"""

_MESSAGES: Final[Mapping[str, type[Message]]] = {
    CLUSTER: cluster_pb2.Cluster,
    ENDPOINT: endpoint_pb2.ClusterLoadAssignment,
    LISTENER: listener_pb2.Listener,
    ROUTE: route_pb2.RouteConfiguration,
    SECRET: secret_pb2.Secret,
}

_ENVOY_BOOLEANS: Final = ("y", "Y", "n", "N")


load_aware_message.register()


def decode_resource(resource: Resource) -> Message:
    """Return the message that *resource* is the encoding of.

    Raises:
        KeyError: its type is none that this project sends.
        google.protobuf.message.DecodeError: its body is broken.
    """
    return _MESSAGES[resource.type_url].FromString(resource.body)


def resources_as_mapping(resources: Iterable[Resource]) -> Mapping[str, object]:
    """Return *resources* in the JSON form of a DiscoveryResponse, in their order."""
    return {
        "resources": [
            {"@type": resource.type_url, **_as_mapping(decode_resource(resource))}
            for resource in resources
        ]
    }


def bootstrap_as_mapping(bootstrap: Bootstrap) -> Mapping[str, object]:
    """Return *bootstrap* in its JSON form."""
    return {k: _plain(v) for k, v in bootstrap.to_dict(casing=Casing.SNAKE).items()}


def to_yaml(mapping: Mapping[str, object]) -> str:
    """Return *mapping* as a YAML document, keys in their order."""
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def to_json(mapping: Mapping[str, object]) -> str:
    """Return *mapping* as JSON text, keys in their order, ending with a newline."""
    return json.dumps(mapping, indent=2, ensure_ascii=False) + "\n"


def _as_mapping(message: Message) -> dict[str, object]:
    mapping = MessageToDict(message, preserving_proto_field_name=True)
    return {key: _plain(value) for key, value in mapping.items()}


def _plain(value: object) -> object:
    """Return *value* made of plain dicts and lists, whole numbers without a fraction.

    Envoy reads `15001.0` in YAML as text, and a number in a Struct is a double. A map
    has no order of its own: its keys are names of extensions, with dots, and sorted.
    """
    match value:
        case dict() if all("." in key for key in value):
            return {key: _plain(value[key]) for key in sorted(value)}
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


class _Dumper(yaml.SafeDumper):
    """Writes texts so that people and Envoy read them as such."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Return *text* in lines where it has some; `y` and `n` are booleans to Envoy."""
    style = "'" if text in _ENVOY_BOOLEANS else None
    if "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
