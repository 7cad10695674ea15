"""docs/import.md says of each field what the tables do."""

import re
from pathlib import Path

import pytest

from xds_server.api.decode import decode
from xds_server.api.policy import PolicySpec
from xds_server.importer import gateway_fields, istio_fields
from xds_server.importer.table import Table

GUIDE = Path(__file__).parents[2] / "docs" / "import.md"
ROW = re.compile(r"\| `([^`]+)` \| (?:`([^`]+)`|-) \| (.*) \|")
YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(
    ("table", "title"),
    [
        (istio_fields.TRAFFIC_POLICY, "DestinationRules"),
        (gateway_fields.SPEC, "BackendTrafficPolicies"),
    ],
)
def test_the_guide_has_all_fields_and_what_they_become(
    table: Table, title: str
) -> None:
    section = GUIDE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    said = {found[1]: (found[2] or "", found[3]) for found in ROW.finditer(section)}

    assert {field: to for field, (to, _) in said.items()} == {
        row.field: row.to for row in table.rows
    }
    for row in table.rows:
        assert row.why in said[row.field][1]


def test_the_guide_says_which_sections_are_not_built() -> None:
    rows = (*istio_fields.TRAFFIC_POLICY.rows, *gateway_fields.SPEC.rows)
    sections = {row.to.partition(".")[0] for row in rows}
    waiting = sorted(sections & PolicySpec.later)

    assert (
        re.findall(r"\n- `(\w+)` of a policy is not built", GUIDE.read_text())
        == waiting
    )


def test_the_policies_of_the_guide_are_accepted() -> None:
    written = YAML.findall(GUIDE.read_text())

    assert len(written) == 2
    for text in written:
        decoded = decode(text.encode(), source="import.md")
        assert (len(decoded.documents), decoded.problems) == (1, ())
