"""Who connects: the node of an xDS stream, as far as a server is interested in it.

In: the Node message of a stream's first request. Out: a frozen value, and the port
through which the composition root says what that node sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from google.protobuf.json_format import MessageToDict

from xds_server.serve.ending import RequestError
from xds_server.snapshot.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a client says of itself, once a stream (envoy.config.core.v3.Node).

    `metadata` is the Struct as JSON values: its numbers are floats.
    """

    id: str
    cluster: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    region: str = ""
    zone: str = ""
    user_agent: str = ""
    client_features: frozenset[str] = frozenset()


def node_of(message: NodeMessage) -> Node:
    """Return the value of *message*.

    Raises:
        RequestError: its metadata are no JSON values: a number is not finite.
    """
    build = message.user_agent_build_version.version
    agent_version = message.user_agent_version or (
        f"{build.major_number}.{build.minor_number}.{build.patch}"
        if message.HasField("user_agent_build_version")
        else ""
    )
    try:
        metadata = MessageToDict(message.metadata)
    except ValueError as error:
        text = f"the node's metadata cannot be read: {error}"
        raise RequestError(text) from None
    return Node(
        id=message.id,
        cluster=message.cluster,
        metadata=metadata,
        region=message.locality.region,
        zone=message.locality.zone,
        user_agent=f"{message.user_agent_name} {agent_version}".strip(),
        client_features=frozenset(message.client_features),
    )


class ViewDirectory(Protocol):
    """Says which view a node sees; implemented by the composition root.

    Every `acquire` is paired with one `release` of the same node, when its stream ends:
    a view that nobody holds need not be kept up to date.
    """

    def acquire(self, node: Node) -> View:
        """Return what *node* sees, for the lifetime of one stream.

        Raises:
            NotReadyError: there is nothing for such a node yet; nothing is to release.
        """
        ...

    def release(self, node: Node) -> None:
        """Say that one stream of *node* has ended."""
        ...
