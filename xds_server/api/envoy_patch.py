"""What is changed in what an Envoy is sent, as a last resort: `envoyPatch` of a policy.

It is in the words of Envoy, which are not known here: that every name and value is one
of Envoy's is found out where there is something to change.
"""

import json
from typing import Annotated

from pydantic import BeforeValidator

from xds_server.api.field import complain
from xds_server.api.model import Model
from xds_server.api.schema import form
from xds_server.api.wording import got


def _json_object(value: object) -> str:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            complain(f"must be a mapping{got(value)}")
    if not isinstance(value, dict):
        complain(f"must be a mapping{got(value)}")
    if not value:
        complain("must have at least 1 entry (got 0)")
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        complain("must be JSON: texts, finite numbers, booleans, lists and mappings")


JsonObject = Annotated[
    str,
    BeforeValidator(_json_object),
    form(
        type="object",
        minProperties=1,
        **{"x-kubernetes-preserve-unknown-fields": True},
    ),
]
"""Written as a mapping; kept as JSON text with sorted keys, which can be hashed."""


class EnvoyPatch(Model):
    """Changes of generated messages."""

    cluster: JsonObject
    """What is merged into the `Cluster` of each port, in its JSON form, with names as
    in Envoy's documentation; `null` takes a field out."""
