"""The engine as a library: any xDS resources, for any groups of nodes, served.

In: resources, encoded or as messages of either protobuf library, and who is to see
them. Out: a server of them, and what its clients ask for, accept and reject. What the
resources mean is known to whoever publishes them.

This is the public API: the names in `__all__` follow semantic versioning, and the
policy server is built on them. What is behind them may change. `docs/library.md`
explains them with examples.

Everything here belongs to one event loop and is called from its thread. Nothing awaits,
so changes with no await between them reach clients together.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakValueDictionary

from google.protobuf.message import Message

from xds_server.load import ClusterLoad, EndpointLoad, LoadReport, MetricSum
from xds_server.serve.client import (
    ClientStatus,
    Connection,
    Observer,
    SendTimes,
    TypeStatus,
)
from xds_server.serve.ending import NotReadyError, RequestError
from xds_server.serve.grpc_server import XdsServer
from xds_server.serve.lrs import LoadReportSink
from xds_server.serve.node import Node, ViewDirectory
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import Cause, Delivery, Head, Mode, Response
from xds_server.serve.subscription import Subscription
from xds_server.snapshot.demand import DemandTable
from xds_server.snapshot.table import Changes, Table
from xds_server.snapshot.view import Snapshot, Update, View
from xds_server.xds import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    ROUTE,
    SECRET,
    VIRTUAL_HOST,
    Resource,
)

if TYPE_CHECKING:
    import betterproto2

__all__ = [
    "CLUSTER",
    "ENDPOINT",
    "EXTENSION",
    "LISTENER",
    "ROUTE",
    "SECRET",
    "VIRTUAL_HOST",
    "Cause",
    "Changes",
    "ClientStatus",
    "ClusterLoad",
    "Connection",
    "Delivery",
    "DemandTable",
    "EndpointLoad",
    "Group",
    "Groups",
    "Head",
    "LoadReport",
    "LoadReportSink",
    "MetricSum",
    "Mode",
    "Node",
    "NotReadyError",
    "Observer",
    "Publishable",
    "Rejection",
    "RequestError",
    "Resource",
    "Response",
    "SendTimes",
    "Snapshot",
    "Subscription",
    "Table",
    "TypeStatus",
    "Update",
    "View",
    "ViewDirectory",
    "XdsServer",
    "resource_of",
]

Publishable: TypeAlias = "Resource | Message | betterproto2.Message"
"""An encoded resource, or a message of xds-protos or envoy-data-plane."""

_PREFIX: Final = "type.googleapis.com/"
_ANY: Final = f"{_PREFIX}google.protobuf.Any"


def resource_of(
    message: "Message | betterproto2.Message",
    *,
    name: str = "",
    version: str = "",
    aliases: Iterable[str] = (),
    ttl: timedelta | None = None,
    refresh: timedelta | None = None,
    owners: Iterable[str] = (),
) -> Resource:
    """Return *message* as an encoded resource.

    Args:
        message: Of xds-protos (any `google.protobuf` message) or envoy-data-plane.
        name: What clients ask for it by; empty takes it from the message: its
            `cluster_name` if it is an assignment, else its `name`.
        version: What delta clients are told; empty is a hash of the content.
        aliases: Other names that clients may ask for it by.
        ttl: How long clients that know of it keep the resource without hearing from
            the server.
        refresh: How often clients are sent it again, whole and unchanged.
        owners: What it was made of, for whoever reads of a rejection; no client is
            told.

    Raises:
        TypeError: *message* is no such message.
        ValueError: it does not say its name, and *name* is empty.
    """
    type_url, body = _encode(message)
    return Resource(
        type_url=type_url,
        name=name or _name_of(message, type_url),
        body=body,
        version=version,
        aliases=tuple(aliases),
        ttl=ttl,
        refresh=refresh,
        owners=tuple(owners),
    )


def _encode(message: "Message | betterproto2.Message") -> tuple[str, bytes]:
    """Return the type URL of *message* and its encoding."""
    if isinstance(message, Message):
        type_url = f"{_PREFIX}{message.DESCRIPTOR.full_name}"
        body = message.SerializeToString(deterministic=True)
    else:
        # Whoever has such a message has imported this; who has none need not pay for it
        pool = sys.modules.get("envoy_data_plane.message_pool")
        types: dict[type, str] = pool.default_message_pool.type_to_url if pool else {}
        type_url = types.get(type(message), "")
        body = bytes(message) if type_url else b""
    if not type_url:
        text = f"not a resource and not a protobuf message: {type(message).__name__}"
        raise TypeError(text)
    if type_url == _ANY:
        text = "an Any has no name: give Resource(type_url=..., name=..., body=...)"
        raise TypeError(text)
    return type_url, body


def _name_of(message: "Message | betterproto2.Message", type_url: str) -> str:
    field = "cluster_name" if type_url == ENDPOINT else "name"
    name: object = getattr(message, field, "")
    if type_url == VIRTUAL_HOST:
        name = ""  # it is asked for as <route configuration>/<host>, and knows one half
    if not isinstance(name, str) or not name:
        kind = type_url.removeprefix(_PREFIX)
        text = f"{kind}: says no name; give one with resource_of(message, name=...)"
        raise ValueError(text)
    return name


class Group:
    """What a group of nodes sees: resources of any types, published to *snapshot*.

    It may share types with a *base*: all but those of its *own*, of which it has none
    at first. What the base publishes of the others, now and later, both see.

    Each call is one change: it is made as a whole or, where it raises, not at all.
    Content that is published again unchanged is no change, and keeps its version.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        base: "Group | None" = None,
        own: Iterable[str] = (),
    ) -> None:
        self._snapshot = snapshot
        self._view = _GroupView(None if base is None else base.view, own)

    @property
    def view(self) -> View:
        """What the streams of this group's nodes read."""
        return self._view

    def names(self, type_url: str) -> frozenset[str]:
        """Return the names of the resources of *type_url* that the group sees."""
        return frozenset(each.name for each in self._view.table(type_url))

    def version(self, type_url: str) -> str:
        """Return the version of all resources of *type_url*, a hash of their content.

        A client that has accepted them as they are now has it as `accepted_version`.
        One that names what it wants may have an older one: it is told of nothing else.
        """
        return self._view.table(type_url).version

    def publish(
        self, *resources: Publishable, version: str = ""
    ) -> Mapping[str, Changes]:
        """Add *resources*, or put them in the place of those with their names.

        Args:
            resources: Of any types, in any order.
            version: The version of those that have none of their own; whoever gives
                one promises never to use it again for other content.

        Returns:
            What really changed, by type URL; empty if nothing did.

        Raises:
            TypeError: a resource is none.
            ValueError: a resource has no name, or is there twice, or is of a type that
                the group shares with its base.
        """
        encoded = _encode_all(resources, version)
        return self._change(
            Update(table=self._view.own_table(type_url), applied=applied)
            for type_url, applied in encoded.items()
        )

    def remove(self, type_url: str, *names: str) -> Mapping[str, Changes]:
        """Remove the resources of *type_url* called *names*, those that there are.

        Returns:
            What really changed, by type URL; empty if nothing did.

        Raises:
            ValueError: the group shares that type with its base.
        """
        table = self._view.own_table(type_url)
        return self._change([Update(table=table, deleted=names)])

    def replace(
        self,
        *resources: Publishable,
        type_urls: Iterable[str] | None = None,
        version: str = "",
    ) -> Mapping[str, Changes]:
        """Let *resources* be all there is, and remove the others.

        Args:
            resources: Of any types, in any order.
            type_urls: The types of which they are all; None is every type that the
                group does not share with its base.
            version: As of `publish`.

        Returns:
            What really changed, by type URL; empty if nothing did.

        Raises:
            TypeError: a resource is none.
            ValueError: as of `publish`, or a resource is not of *type_urls*.
        """
        encoded = _encode_all(resources, version)
        given = encoded.keys() | self._view.own_types()
        replaced = given if type_urls is None else frozenset(type_urls)
        if unexpected := encoded.keys() - replaced:
            text = f"not one of the types to replace: {min(unexpected)}"
            raise ValueError(text)
        return self._change(
            Update.replacing(self._view.own_table(type_url), encoded.get(type_url, ()))
            for type_url in replaced
        )

    def _change(self, updates: Iterable[Update]) -> Mapping[str, Changes]:
        """Make all of *updates*, or none if one of them cannot be."""
        changed = self._snapshot.publish(list(updates))
        return {table.type_url: changes for table, changes in changed}


class Groups:
    """The directory of a server whose nodes belong to groups.

    *group_of* is asked once for each stream, when it opens, and may raise RequestError
    for a node that has no business here. A node for which it returns None is told to
    come back later. A stream stays with its group until it ends.
    """

    def __init__(self, group_of: Callable[[Node], Group | None]) -> None:
        self._group_of = group_of

    def acquire(self, node: Node) -> View:
        """Return what *node* sees.

        Raises:
            NotReadyError: there is nothing for it yet.
        """
        group = self._group_of(node)
        if group is None:
            text = f"nothing is published for node {node.id} yet"
            raise NotReadyError(text)
        return group.view

    def release(self, node: Node) -> None:
        """Do nothing: groups stay, whoever sees them."""


class _GroupView(View):
    """A view that takes in types as they are published.

    A table that clients ask for before is the one that is published later. It is kept
    as long as a stream follows it: asking for types costs the server no memory.
    """

    def __init__(self, base: View | None, own: Iterable[str]) -> None:
        super().__init__(map(Table, own))
        self._base = base
        self._asked: WeakValueDictionary[str, Table] = WeakValueDictionary()

    def table(self, type_url: str) -> Table:
        """Return the table of *type_url*, the same to all who ask."""
        if type_url in self._tables:
            return self._tables[type_url]
        if self._base is not None:
            return self._base.table(type_url)
        table = self._asked.get(type_url)
        if table is None:
            table = self._asked[type_url] = Table(type_url)
        return table

    @property
    def tables(self) -> Mapping[str, Table]:
        """The tables of what has been published, by type URL."""
        shared = {} if self._base is None else self._base.tables
        return {**shared, **self._tables}

    def own_types(self) -> frozenset[str]:
        """Return the types that are published here."""
        return frozenset(self._tables)

    def own_table(self, type_url: str) -> Table:
        """Return the table of *type_url*, to publish to.

        Raises:
            ValueError: it is another view's.
        """
        if self._base is not None and type_url not in self._tables:
            text = f"{type_url} is shared with the base of this group: publish it there"
            raise ValueError(text)
        table = self._tables[type_url] = self.table(type_url)
        return table


def _encode_all(
    resources: Iterable[Publishable], version: str
) -> Mapping[str, tuple[Resource, ...]]:
    """Return *resources*, encoded, by type URL."""
    found: dict[str, dict[str, Resource]] = {}
    for each in resources:
        resource = each if isinstance(each, Resource) else resource_of(each)
        if version and not resource.version:
            resource = replace(resource, version=version)
        of_type = found.setdefault(resource.type_url, {})
        if resource.name in of_type:
            text = f"{resource.name!r} is given twice ({resource.type_url})"
            raise ValueError(text)
        of_type[resource.name] = resource
    return {type_url: tuple(named.values()) for type_url, named in found.items()}
