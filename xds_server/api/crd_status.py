"""The status of a policy as it stands in a cluster: for each target, conditions.

Out: its schema, a part of the CustomResourceDefinition. It follows GEP-713
(https://gateway-api.sigs.k8s.io/geps/gep-713/), so what reads the status of other
policies reads this one: an ancestor is what the policy is for, a condition is a
`metav1.Condition`.
"""

from typing import Final

from xds_server.api.name import DNS_LABEL_FORM, LONGEST_LABEL, LONGEST_NAME
from xds_server.api.schema import Schema

MOST_ANCESTORS: Final = 16
"""GEP-713's own limit, and that of `spec.targetRefs`."""

MOST_CONDITIONS: Final = 16
_CONTROLLER_FORM: Final = (
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
    r"\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
)
_REASON_FORM: Final = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
_TYPE_FORM: Final = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)


def status_schema() -> Schema:
    """Make the schema of `status`, which is written by the server alone."""
    return {
        "description": "What became of the policy, for each of its targets.",
        "type": "object",
        "required": ["ancestors"],
        "properties": {
            "ancestors": {
                "type": "array",
                "maxItems": MOST_ANCESTORS,
                "x-kubernetes-list-type": "atomic",
                "items": _ancestor(),
            }
        },
    }


def _ancestor() -> Schema:
    return {
        "description": "What became of the policy for one target.",
        "type": "object",
        "required": ["ancestorRef", "controllerName", "conditions"],
        "properties": {
            "ancestorRef": _ancestor_ref(),
            "controllerName": {
                "description": "Who says so: a domain and a path.",
                **_text(1, LONGEST_NAME),
                "pattern": _CONTROLLER_FORM,
            },
            "conditions": {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_CONDITIONS,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": _condition(),
            },
        },
    }


def _ancestor_ref() -> Schema:
    label = {**_text(1, LONGEST_LABEL), "pattern": DNS_LABEL_FORM}
    return {
        "description": "The target.",
        "type": "object",
        "required": ["kind", "name"],
        "properties": {
            "group": {**_text(0, LONGEST_NAME), "default": ""},
            "kind": _text(1, LONGEST_LABEL),
            "namespace": dict(label),
            "name": _text(1, LONGEST_NAME),
            "sectionName": dict(label),
        },
    }


def _condition() -> Schema:
    """Make the schema of a `metav1.Condition`, as Kubernetes' own tools make it."""
    return {
        "description": "One thing that is true of the policy and its target, or not.",
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "type": {
                "description": "What is said: Accepted, Programmed, Distributed...",
                **_text(0, 316),
                "pattern": _TYPE_FORM,
            },
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "observedGeneration": {
                "description": "The metadata.generation that it is said of.",
                "type": "integer",
                "format": "int64",
                "minimum": 0,
            },
            "lastTransitionTime": {
                "description": "When the status was last another one.",
                "type": "string",
                "format": "date-time",
            },
            "reason": {
                "description": "Why, in one word for programs.",
                **_text(1, 1024),
                "pattern": _REASON_FORM,
            },
            "message": {
                "description": "Why, in words for people.",
                **_text(0, 32768),
            },
        },
    }


def _text(least: int, most: int) -> Schema:
    lengths = {"minLength": least, "maxLength": most}
    return {"type": "string", **{k: v for k, v in lengths.items() if v}}
