"""What `/status` says, as JSON values: nodes, policies, problems.

In: the index and the connected clients, at one moment. Out: plain mappings whose keys
are camelCase, like all that users read and write. Nothing is decided here.
"""

from collections.abc import Iterable, Mapping

from xds_server.api.problem import Problem
from xds_server.mesh.index import Index
from xds_server.mesh.status import PolicyStatus
from xds_server.serve.client import ClientStatus, TypeStatus
from xds_server.xds import SHORT_NAMES

Json = Mapping[str, object]


def status_of(
    index: Index, clients: Iterable[ClientStatus], *, version: str, is_ready: bool
) -> Json:
    """Return everything that `/status` says."""
    return {
        "server": {
            "version": version,
            "ready": is_ready,
            "services": len(index.services),
        },
        "nodes": [_node(client) for client in clients],
        "policies": [_policy(index.statuses[key]) for key in sorted(index.statuses)],
        "problems": [_problem(problem) for problem in index.problems],
    }


def _node(client: ClientStatus) -> Json:
    connection = client.connection
    return {
        "id": connection.node.id,
        "cluster": connection.node.cluster,
        "userAgent": connection.node.user_agent,
        "mode": connection.mode,
        "peer": connection.peer,
        "connectedAt": connection.connected_at.isoformat(),
        "types": {
            SHORT_NAMES.get(each.type_url, each.type_url): _type(each)
            for each in client.types
        },
    }


def _type(status: TypeStatus) -> Json:
    return {
        "state": _state(status),
        "sentVersion": status.sent.version if status.sent else None,
        "acknowledgedVersion": status.accepted_version,
        "rejected": [
            {
                "version": rejection.head.version,
                "nonce": rejection.head.nonce,
                "resources": list(rejection.suspects),
                "message": rejection.message,
            }
            for rejection in status.rejections
        ],
    }


def _state(status: TypeStatus) -> str:
    if status.rejections:
        return "Rejected"
    if status.is_waiting:
        return "Sent"
    return "Acknowledged" if status.accepted_version is not None else "Subscribed"


def _policy(status: PolicyStatus) -> Json:
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
                ],
            }
            for target in status.targets
        ],
    }


def _problem(problem: Problem) -> Json:
    return {
        "place": str(problem.place),
        "path": problem.path,
        "severity": problem.severity,
        "message": problem.message,
        "hint": problem.hint,
    }
