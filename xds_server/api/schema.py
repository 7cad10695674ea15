"""What an API server checks by itself: the forms of values, and rules in CEL.

In: patterns, lengths and rules, from the types and models that check the same in
Python: each stands beside its twin. Out: parts of an OpenAPI v3 schema, which
`xds_server.api.crd` puts together. CEL knows no more than the object:
https://kubernetes.io/docs/reference/using-api/cel/
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import WithJsonSchema

RULES: Final = "x-kubernetes-validations"

Schema = dict[str, object]
"""A part of an OpenAPI schema, or of an object that holds one."""

INVALID: Final = "FieldValueInvalid"
FORBIDDEN: Final = "FieldValueForbidden"
REQUIRED: Final = "FieldValueRequired"

Reason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: the expression that holds, and the message where it does not.

    `{}` in the message is replaced by the value of `found`, an expression that gives a
    string. `at` is the field below the rule's own place that the error is about.
    """

    holds: str
    message: str
    found: str | None = None
    at: str | None = None
    reason: Reason = INVALID

    def as_mapping(self) -> dict[str, object]:
        """Write the rule as CustomResourceDefinitions do."""
        written: dict[str, object] = {"rule": self.holds, "reason": self.reason}
        if self.found is None:
            written["message"] = self.message
        else:
            before, after = self.message.split("{}")
            written["messageExpression"] = (
                f"{quoted(before)} + {self.found} + {quoted(after)}"
            )
        if self.at is not None:
            written["fieldPath"] = f".{self.at}"
        return written


def quoted(text: str) -> str:
    """Write a text as CEL does; its escapes are those of JSON and some more."""
    return json.dumps(text)


def has_one_of(fields: tuple[str, ...]) -> str:
    """Write that exactly one of the fields is there."""
    found = ", ".join(f"has(self.{field})" for field in fields)
    return f"[{found}].exists_one(one, one)"


def form(
    *,
    pattern: str | None = None,
    most: int | None = None,
    least: int | None = None,
    rules: Sequence[Rule] = (),
    **others: object,
) -> WithJsonSchema:
    """Make the annotation of a type of text: its pattern, in RE2, and its lengths.

    Rules need a length: an API server refuses what may take too long to check.
    """
    bounds = {"pattern": pattern, "maxLength": most, "minLength": least}
    schema = {key: value for key, value in bounds.items() if value is not None}
    if rules:
        others[RULES] = [rule.as_mapping() for rule in rules]
    return WithJsonSchema({**schema, **others})
