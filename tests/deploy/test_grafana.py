"""The dashboard is what its source says, and Grafana's own types know all of it.

That its queries have data is shown in tests/integration/observe.
"""

import json
from itertools import combinations

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.panels import Panel, expressions, label_values, read
from tools.grafana.dashboard import FILE, text

DASHBOARD = read()
PANELS = [panel for panel in DASHBOARD.panels if panel.type != "row"]


def test_the_file_is_what_its_source_says() -> None:
    """`python -m tools.grafana.dashboard` writes it."""
    assert FILE.read_text() == text()


def test_grafanas_types_know_every_field() -> None:
    """What they do not know, they drop on the way through."""
    register_default_plugins()
    told = json.loads(FILE.read_text())
    read_back = json.dumps(Dashboard.from_json(told), cls=JSONEncoder)

    assert json.loads(read_back) == told


def test_every_panel_says_what_it_shows() -> None:
    assert [each.title for each in PANELS if not each.description.endswith(".")] == []
    assert [
        each.title
        for each in PANELS
        if each.type != "table" and not each.field_config.defaults.unit
    ] == []
    assert all(each.targets for each in PANELS)


def test_names_and_numbers_are_distinct() -> None:
    """Links are by number, tests are by name."""
    for names in (
        [each.title for each in PANELS],
        [each.id for each in DASHBOARD.panels],
        [each.place for each in expressions(DASHBOARD)],
    ):
        assert len(names) == len(set(names))


def test_no_two_panels_overlap() -> None:
    def overlap(one: Panel, other: Panel) -> bool:
        a, b = one.grid_pos, other.grid_pos
        beside = a.x + a.w <= b.x or b.x + b.w <= a.x
        above = a.y + a.h <= b.y or b.y + b.h <= a.y
        return not beside and not above

    pairs = combinations(DASHBOARD.panels, 2)
    assert [(a.title, b.title) for a, b in pairs if overlap(a, b)] == []
    assert all(each.grid_pos.x + each.grid_pos.w <= 24 for each in DASHBOARD.panels)


def test_what_can_be_chosen_is_all_unless_chosen() -> None:
    assert [variable.name for variable in DASHBOARD.templating.list] == [
        "datasource",
        "job",
        "instance",
        "cluster",
    ]
    assert all(variable.all_value for variable, _, _ in label_values(DASHBOARD))
