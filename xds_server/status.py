"""What `/status` says, as JSON values: nodes, policies, weights, problems.

In: the index, how weighed ports stand, and the connected clients, at one moment. Out:
plain mappings whose keys are camelCase, like all that users read and write. Nothing is
decided here.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from xds_server.api.problem import Problem, in_order
from xds_server.control.standing import EndpointStanding, PortStanding
from xds_server.engine import ClientStatus, Rejection, TypeStatus
from xds_server.mesh.audience import (
    audience_of,
    client_of,
    service_of as own_service,
)
from xds_server.mesh.index import Index
from xds_server.mesh.model import Client
from xds_server.mesh.neighbour import are_wanted, knows_zones, tell_strangers
from xds_server.mesh.proxyless import tell
from xds_server.mesh.service import ServiceName
from xds_server.mesh.status import PolicyStatus
from xds_server.translate.proxyless import service_of
from xds_server.xds import CLUSTER, LISTENER, SHORT_NAMES

Json = Mapping[str, object]

_BETWEEN_WORDS: Final = re.compile(r"[\s'\"`,;()\[\]{}]+")


def status_of(
    index: Index,
    clients: Iterable[ClientStatus],
    *,
    untranslated: Iterable[Problem],
    weighed: Iterable[PortStanding] = (),
    version: str,
    is_ready: bool,
) -> Json:
    """Return everything that `/status` says.

    *untranslated* are the problems beside those of the index. What gRPC clients get in
    place of a policy is told while one is connected.
    """
    clients = tuple(clients)
    rejections = _rejections(clients)
    statuses = [index.statuses[key] for key in sorted(index.statuses)]
    if any(map(_is_grpc, clients)):
        statuses = [tell(status, index.services) for status in statuses]
    if are_wanted(index.services):
        envoys = [each for each in clients if not _is_grpc(each)]
        strangers = sum(not _knows_zones(each, index) for each in envoys)
        counts = {"strangers": strangers, "number": len(envoys)}
        if strangers:
            statuses = [tell_strangers(s, index.services, **counts) for s in statuses]
    return {
        "server": {
            "version": version,
            "ready": is_ready,
            "services": len(index.services),
        },
        "nodes": [_node(client, index.services) for client in clients],
        "policies": [
            _policy(status, rejections.get(str(status.key), ())) for status in statuses
        ],
        "weights": [_weights(port) for port in weighed],
        "problems": [
            _problem(problem) for problem in in_order((*index.problems, *untranslated))
        ],
    }


def _is_grpc(client: ClientStatus) -> bool:
    return client_of(client.connection.node.user_agent) is Client.GRPC


def _knows_zones(client: ClientStatus, index: Index) -> bool:
    node = client.connection.node
    audience, _ = audience_of(node.metadata, node_id=node.id)
    own = own_service(node.metadata, audience.namespace)
    return knows_zones(own, node.zone, index.services)


def _node(client: ClientStatus, services: Collection[ServiceName]) -> Json:
    connection = client.connection
    return {
        "id": connection.node.id,
        "cluster": connection.node.cluster,
        "userAgent": connection.node.user_agent,
        "mode": connection.mode,
        "peer": connection.peer,
        "connectedAt": connection.connected_at.isoformat(),
        "types": {
            SHORT_NAMES.get(each.type_url, each.type_url): _type(each, services)
            for each in client.types
        },
    }


def _type(status: TypeStatus, services: Collection[ServiceName]) -> Json:
    return {
        "state": _state(status),
        "sentVersion": status.sent.version if status.sent else None,
        "acknowledgedVersion": status.accepted_version,
        "rejected": [
            {
                "version": rejection.head.version,
                "nonce": rejection.head.nonce,
                "resources": list(rejection.suspects),
                "owners": list(rejection.owners)
                or list(dict.fromkeys(_named(rejection, services))),
                "message": rejection.message,
            }
            for rejection in status.rejections
        ],
    }


def _named(rejection: Rejection, services: Collection[ServiceName]) -> Iterator[str]:
    """Yield the Services that the client's words name, by a domain or a virtual host.

    The routes of an Envoy are made of all Services: to name each would name none.
    """
    for word in _BETWEEN_WORDS.split(rejection.message):
        name = word.strip(".:")
        # A virtual host is called like its cluster, its domains are targets. A lone
        # word is about no Service: these are of a namespace, and none is called "".
        for type_url in (CLUSTER, LISTENER):
            owner = service_of(type_url, name, namespace="")
            if owner and owner in services and name not in rejection.suspects:
                yield "Service " + "/".join(owner)


def _state(status: TypeStatus) -> str:
    if status.rejections:
        return "Rejected"
    if status.is_waiting:
        return "Sent"
    return "Acknowledged" if status.accepted_version is not None else "Subscribed"


def _rejections(clients: Iterable[ClientStatus]) -> Mapping[str, Sequence[str]]:
    """Return what nodes rejected, in words, by each object that it was made of."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for client in clients:
        node = client.connection.node.id
        for each in client.types:
            name = SHORT_NAMES.get(each.type_url, each.type_url)
            for rejection in each.rejections:
                suspects = ", ".join(rejection.suspects)
                text = f"{node} rejects {name} {suspects}: {rejection.message}"
                for owner in rejection.owners:
                    found[owner].append(text)
    return found


def _policy(status: PolicyStatus, rejections: Sequence[str]) -> Json:
    programmed = [
        {
            "type": "Programmed",
            "status": "False",
            "reason": "Rejected",
            "message": "; ".join(rejections),
        }
        for _ in rejections[:1]
    ]
    return {
        "namespace": status.key.namespace,
        "name": status.key.name,
        "accepted": status.accepted,
        "targets": [
            {
                "target": target.target
                and target.target.model_dump(by_alias=True, exclude_none=True),
                "conditions": [
                    {
                        "type": condition.type,
                        "status": "True" if condition.status else "False",
                        "reason": condition.reason,
                        "message": condition.message,
                    }
                    for condition in target.conditions
                ]
                + programmed,
            }
            for target in status.targets
        ],
    }


def _weights(port: PortStanding) -> Json:
    return {
        "namespace": port.namespace,
        "service": port.service,
        "port": port.port,
        "periodSeconds": port.period,
        "reporters": port.reporters,
        "lastReportSecondsAgo": _rounded(port.report_age),
        "lastPushSecondsAgo": _rounded(port.push_age),
        "pushes": port.pushes,
        "endpoints": [_endpoint(each) for each in port.endpoints],
    }


def _endpoint(endpoint: EndpointStanding) -> Json:
    return {
        "address": endpoint.address,
        "weight": endpoint.weight,
        "baseWeight": endpoint.base,
        "share": _rounded(endpoint.share),
        "answersPerSecond": _rounded(endpoint.rate),
        "latencySeconds": _rounded(endpoint.latency),
        "errorRatio": _rounded(endpoint.errors),
        "load": _rounded(endpoint.load),
        "errorFactor": _rounded(endpoint.error_factor),
        "evidenceSecondsAgo": _rounded(endpoint.evidence_age),
        "reason": endpoint.reason,
    }


def _rounded(number: float | None) -> float | None:
    """Return *number* with as many digits as somebody reads."""
    return None if number is None else float(f"{number:.4g}")


def _problem(problem: Problem) -> Json:
    return {
        "place": str(problem.place),
        "path": problem.path,
        "severity": problem.severity,
        "message": problem.message,
        "hint": problem.hint,
    }
