"""Where endpoints run, and whose clients they are near to.

An endpoint of a slice and the labels of its Node in; its `Site` out. What the slice
says of the zone goes before the Node's labels: it was so when the endpoint was made.
"""

from collections.abc import Callable
from typing import NamedTuple

from xds_server.api.document import Document
from xds_server.api.kubernetes import REGION, ZONE, EndpointHints, Node, SliceEndpoint
from xds_server.api.problem import ObjectKey
from xds_server.mesh.model import Locality

FindNode = Callable[[str], Document | None]
"""Returns the Node of a name, None where it is not known."""


class Site(NamedTuple):
    """Where an endpoint runs, and the zones and nodes that hints, or else this, name.

    Their clients it is near to, where hints count.
    """

    locality: Locality = Locality()
    node: str = ""
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


class Sites:
    """Finds the sites of endpoints; equal ones are one object.

    It is for one moment: it remembers what Nodes are.
    """

    def __init__(self, find_node: FindNode) -> None:
        self._find_node = find_node
        self._found: dict[tuple[str, str, EndpointHints | None], Site] = {}

    def site_of(self, endpoint: SliceEndpoint) -> Site:
        """Return the site of *endpoint*.

        Hints say whose clients it is near to, where there are some; else it is near to
        those of its own zone, and of its own Node.
        """
        key = endpoint.zone or "", endpoint.node_name or "", endpoint.hints
        site = self._found.get(key)
        if site is None:
            site = self._found[key] = self._find(*key)
        return site

    def _find(self, zone: str, node: str, hints: EndpointHints | None) -> Site:
        locality = locality_of(self._find_node(node) if node else None)
        zone = zone or locality.zone
        hinted = hints or EndpointHints()
        return Site(
            locality=Locality(region=locality.region, zone=zone),
            node=node,
            zones=tuple(each.name for each in hinted.for_zones) or _some(zone),
            nodes=tuple(each.name for each in hinted.for_nodes) or _some(node),
        )


def node_key(name: str) -> ObjectKey:
    """Return the key of the Node called *name*."""
    return ObjectKey("Node", "default", name)


def locality_of(node: Document | None) -> Locality:
    """Return where *node* stands, by its labels."""
    if node is None:
        return Locality()
    assert isinstance(node.body, Node)  # noqa: S101 - narrows the union
    labels = node.body.metadata.labels
    return Locality(region=labels.get(REGION, ""), zone=labels.get(ZONE, ""))


def _some(name: str) -> tuple[str, ...]:
    return (name,) if name else ()
