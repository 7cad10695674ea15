"""What the dashboard asks Prometheus, as Grafana would send it.

The dashboard's JSON in; expressions without variables, and where each is, out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from tools.grafana.dashboard import FILE

VALUES: Final = {
    "$__rate_interval": "20s",
    "$__range": "5m",
    "$job": ".+",
    "$instance": ".+",
    "$cluster": ".+/.+/.+",
}
"""What stands for each variable; those of the dashboard's own are "All"."""
_LABEL_VALUES: Final = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")


class Query(msgspec.Struct, frozen=True):
    """A query of a variable."""

    query: str


class Variable(msgspec.Struct, frozen=True, rename="camel"):
    """A variable of the dashboard."""

    name: str
    type: str
    query: Query | str
    all_value: str = ""
    regex: str = ""


class Templating(msgspec.Struct, frozen=True):
    """All variables."""

    list: tuple[Variable, ...]


class Target(msgspec.Struct, frozen=True, rename="camel"):
    """A query of a panel."""

    expr: str
    ref_id: str


class Position(msgspec.Struct, frozen=True):
    """Where a panel is, on a grid of 24 columns."""

    x: int
    y: int
    w: int
    h: int


class Defaults(msgspec.Struct, frozen=True):
    """How a panel shows its values."""

    unit: str = ""


class FieldConfig(msgspec.Struct, frozen=True):
    """The same, and exceptions."""

    defaults: Defaults = Defaults()


class Panel(msgspec.Struct, frozen=True, rename="camel"):
    """A panel, or the heading of a row."""

    id: int
    type: str
    title: str
    grid_pos: Position
    description: str = ""
    targets: tuple[Target, ...] = ()
    field_config: FieldConfig = FieldConfig()


class Dashboard(msgspec.Struct, frozen=True, rename="camel"):
    """What tests look at."""

    uid: str
    panels: tuple[Panel, ...]
    templating: Templating


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An expression, and which panel asks it."""

    place: str
    expression: str


def read() -> Dashboard:
    """Return the dashboard as it is in deploy/."""
    return msgspec.json.decode(FILE.read_bytes(), type=Dashboard)


def expressions(dashboard: Dashboard) -> Iterator[Asked]:
    """Yield every expression of the panels."""
    for panel in dashboard.panels:
        for target in panel.targets:
            place = f"{panel.title} {target.ref_id}"
            yield Asked(place=place, expression=substituted(target.expr))


def label_values(dashboard: Dashboard) -> Iterator[tuple[Variable, str, str]]:
    """Yield every variable that is queried: the label, and the series that have it."""
    for variable in dashboard.templating.list:
        if isinstance(variable.query, Query):
            found = _LABEL_VALUES.fullmatch(substituted(variable.query.query))
            assert found, variable.query
            yield variable, found["label"], found["selector"]


def substituted(text: str) -> str:
    """Return *text* with a value for every variable."""
    for name, value in VALUES.items():
        text = re.sub(rf"{re.escape(name)}\b", value, text)
    assert "$" not in text, f"a variable without a value: {text}"
    return text
