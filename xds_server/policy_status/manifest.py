"""What is sent to an API server: a policy with its status, the Event of a rejection.

In: descriptions. Out: paths, and objects as JSON values.
"""

import hashlib
import socket
from datetime import datetime
from typing import Final

import msgspec

from xds_server.api.policy import API_VERSION
from xds_server.policy_status.census import Refusal
from xds_server.policy_status.condition import CONTROLLER, Ancestors
from xds_server.policy_status.survey import Description
from xds_server.sources.kube_api import Json

_EVENTS: Final = "events.k8s.io/v1"
_LONGEST_NOTE: Final = 1024  # bytes
_LONGEST: Final = 236
"""So many characters of a policy's name leave room for what tells its Events apart."""


def status_path(described: Description) -> str:
    """Return where the status of a policy is."""
    plural = _path(API_VERSION, described.key.namespace, "trafficpolicies")
    return f"{plural}/{described.key.name}/status"


def events_path(described: Description) -> str:
    """Return where the Events of a policy are."""
    return _path(_EVENTS, described.key.namespace, "events")


def _path(api_version: str, namespace: str, plural: str) -> str:
    return f"/apis/{api_version}/namespaces/{namespace}/{plural}"


def status_body(described: Description, ancestors: Ancestors) -> Json:
    """Return the policy as far as we say what is in it.

    The uid keeps it off a policy of the same name that came after.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "TrafficPolicy",
        "metadata": {
            "namespace": described.key.namespace,
            "name": described.key.name,
            "uid": described.revision.uid,
        },
        "status": {"ancestors": msgspec.to_builtins(ancestors)},
    }


def rejection_event(described: Description, refusal: Refusal, now: datetime) -> Json:
    """Return the Event of a rejection; of the same one its name is the same."""
    key, uid = described.key, described.revision.uid
    digest = hashlib.sha256(f"{uid} {refusal.text}".encode()).hexdigest()
    note = str(refusal).encode()[:_LONGEST_NOTE].decode(errors="ignore")
    return {
        "apiVersion": _EVENTS,
        "kind": "Event",
        "metadata": {
            "namespace": key.namespace,
            "name": f"{key.name[:_LONGEST]}.{digest[:16]}",
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": socket.gethostname(),
        "type": "Warning",
        "reason": "Rejected",
        "action": "Distribute",
        "note": note,
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": key.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
    }
