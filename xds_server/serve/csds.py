"""Client Status Discovery (CSDS): what each client has, for standard tools.

In: the streams as they are, and a request that may pick nodes. Out: a
ClientStatusResponse: for every client its resources, whether it holds the present
version of each, and why it rejected one (envoy/service/status/v3/csds.proto).
"""

from collections.abc import Callable, Iterable, Iterator

from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus
from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from envoy.service.status.v3.csds_pb2 import (
    ClientConfig,
    ClientStatusRequest,
    ClientStatusResponse,
    ConfigStatus,
)
from envoy.type.matcher.v3.node_pb2 import NodeMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.json_format import ParseDict

from xds_server.serve.client import Connection, FollowedType
from xds_server.serve.ending import RequestError
from xds_server.serve.node import Node

Client = tuple[Connection, Iterable[FollowedType]]
"""A stream and the types that its client follows."""


def client_status(
    request: ClientStatusRequest, clients: Iterable[Client]
) -> ClientStatusResponse:
    """Return the state of those of *clients* that *request* picks: all by default.

    Raises:
        RequestError: it picks by what is not known here.
    """
    matchers = [_matcher(each) for each in request.node_matchers]
    response = ClientStatusResponse()
    for connection, types in clients:
        if matchers and not any(matches(connection.node) for matches in matchers):
            continue
        config = response.config.add(node=_node_message(connection.node))
        config.client_scope = f"{connection.mode} {connection.peer}"
        for followed in types:
            config.generic_xds_configs.extend(
                _type_configs(
                    followed, with_contents=not request.exclude_resource_contents
                )
            )
    return response


def _type_configs(
    followed: FollowedType, *, with_contents: bool
) -> Iterator[ClientConfig.GenericXdsConfig]:
    """Yield the state of each resource, and of each name that leads to none."""
    table, subscription = followed.table, followed.subscription
    found: set[str] = set()
    for resource in subscription.select(table):
        found.update(table.names_of(resource.name))
        config = ClientConfig.GenericXdsConfig(
            type_url=table.type_url,
            name=resource.name,
            version_info=resource.version,
        )
        _tell_state(config, followed, resource.name)
        if with_contents:
            (body,) = DiscoveryResponse.FromString(resource.sotw).resources
            config.xds_config.CopyFrom(body)
        yield config
    for name in sorted(subscription.names - found):
        yield ClientConfig.GenericXdsConfig(
            type_url=table.type_url,
            name=name,
            client_status=ClientResourceStatus.DOES_NOT_EXIST,
        )


def _tell_state(
    config: ClientConfig.GenericXdsConfig, followed: FollowedType, name: str
) -> None:
    """Fill in how far the client is with the resource called *name*."""
    exchange, changed = followed.exchange, followed.table.sequence_of(name)
    rejection = exchange.quarantine.rejections.get(name)
    if rejection is not None:
        config.config_status = ConfigStatus.ERROR
        config.client_status = ClientResourceStatus.NACKED
        config.error_state.details = rejection.message
        config.error_state.version_info = rejection.head.version
    elif changed <= exchange.accepted_sequence:
        config.config_status = ConfigStatus.SYNCED
        config.client_status = ClientResourceStatus.ACKED
    elif changed <= exchange.sent_sequence:
        config.config_status = ConfigStatus.STALE
        config.client_status = ClientResourceStatus.REQUESTED
    else:
        config.config_status = ConfigStatus.NOT_SENT
        config.client_status = ClientResourceStatus.REQUESTED


def _node_message(node: Node) -> NodeMessage:
    message = NodeMessage(
        id=node.id, cluster=node.cluster, user_agent_name=node.user_agent
    )
    message.locality.region = node.region
    message.locality.zone = node.zone
    ParseDict(dict(node.metadata), message.metadata)
    return message


def _matcher(matcher: NodeMatcher) -> Callable[[Node], bool]:
    if matcher.node_metadatas:
        message = "node_matchers: nodes are picked by node_id alone"
        raise RequestError(message)
    if not matcher.HasField("node_id"):
        return lambda _: True
    matches = _string_matcher(matcher.node_id)
    return lambda node: matches(node.id)


def _string_matcher(matcher: StringMatcher) -> Callable[[str], bool]:
    kind = matcher.WhichOneof("match_pattern")
    fold: Callable[[str], str] = str.lower if matcher.ignore_case else str
    if kind == "exact":
        return lambda text: fold(text) == fold(matcher.exact)
    if kind == "prefix":
        return lambda text: fold(text).startswith(fold(matcher.prefix))
    if kind == "suffix":
        return lambda text: fold(text).endswith(fold(matcher.suffix))
    if kind == "contains":
        return lambda text: fold(matcher.contains) in fold(text)
    message = f"node_matchers: {kind or 'no pattern'} is not supported"
    raise RequestError(message)
