"""Client Status Discovery (CSDS): what each client has, for standard tools.

In: the streams as they are, and a request that may pick nodes. Out: a
ClientStatusResponse: for every client its resources, whether it holds the present
version of each, and why it rejected one (envoy/service/status/v3/csds.proto).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

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
from xds_server.serve.ending import RequestError, TooLargeError
from xds_server.serve.node import Node
from xds_server.serve.quarantine import Rejection

MOST_BYTES: Final = 256 * 1024 * 1024
"""A longer answer is refused; a mesh of some size has gigabytes of it."""

RESOURCES_AT_ONCE: Final = 100
"""After so many, whoever else has something to do goes first: some milliseconds."""

Client = tuple[Connection, Iterable[FollowedType]]
"""A stream and the types that its client follows."""


async def client_status(
    request: ClientStatusRequest, clients: Iterable[Client]
) -> bytes:
    """Return the state of those of *clients* that *request* picks: all by default.

    It is an encoded ClientStatusResponse. Each resource is as it is when it is looked
    at, for the streams go on meanwhile.

    Raises:
        RequestError: it picks by what is not known here.
        TooLargeError: there is more to tell than can be.
    """
    matchers = [_matcher(each) for each in request.node_matchers]
    pieces: list[bytes] = []
    size = 0
    for connection, types in clients:
        if matchers and not any(matches(connection.node) for matches in matchers):
            continue
        config = ClientConfig(
            node=_node_message(connection.node),
            client_scope=f"{connection.mode} {connection.peer}",
        )
        with_contents = not request.exclude_resource_contents
        for followed in types:
            for number, each in enumerate(
                _type_configs(followed, with_contents=with_contents)
            ):
                if number % RESOURCES_AT_ONCE == 0:
                    await asyncio.sleep(0)
                config.generic_xds_configs.append(each)
        pieces.append(ClientStatusResponse(config=[config]).SerializeToString())
        size += len(pieces[-1])
        if size > MOST_BYTES:
            message = (
                f"more than {MOST_BYTES} bytes: exclude_resource_contents, "
                "or pick nodes with node_matchers"
            )
            raise TooLargeError(message)
    return b"".join(pieces)


def _type_configs(
    followed: FollowedType, *, with_contents: bool
) -> Iterator[ClientConfig.GenericXdsConfig]:
    """Yield the state of each resource, and of each name that leads to none."""
    table, subscription = followed.table, followed.subscription
    rejections = followed.exchange.quarantine.rejections
    found: set[str] = set()
    for selected in tuple(subscription.select(table)):
        found.update(table.names_of(selected.name))
        resource = selected.at(followed.place)
        config = ClientConfig.GenericXdsConfig(
            type_url=table.type_url,
            name=resource.name,
            version_info=resource.version,
        )
        _tell_state(config, followed, rejections.get(resource.name))
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
    config: ClientConfig.GenericXdsConfig,
    followed: FollowedType,
    rejection: Rejection | None,
) -> None:
    """Fill in how far the client is with the resource of *config*."""
    exchange, changed = followed.exchange, followed.table.sequence_of(config.name)
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
