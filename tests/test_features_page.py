"""docs/features.md names examples and tests that there are, and every section."""

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import yaml

from xds_server.api.policy import PolicySpec

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "features.md"
TESTS: Final = (ROOT / "tests" / "integration", ROOT / "tests")


def rows() -> list[tuple[str, str, str, str]]:
    """Return all rows of the page: feature, field, example, tests."""
    found = [
        tuple(cell.strip() for cell in line[1:-1].split("|"))
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| feature", "| ---"))
    ]
    return [(feature, here, example, seen) for feature, here, example, seen in found]


HERE: Final = [row for row in rows() if row[1] != "not here"]


@cache
def source(file: str) -> str:
    """Return the text of a file of tests."""
    return next(
        (folder / file).read_text("utf-8")
        for folder in TESTS
        if (folder / file).is_file()
    )


@pytest.mark.parametrize("row", HERE, ids=lambda row: row[0])
def test_what_a_row_names_is_there(row: tuple[str, str, str, str]) -> None:
    _, _, example, seen = row
    (path,) = re.findall(r"\]\(\.\./(policies/[\w-]+\.yaml)\)", example)
    names = re.findall(r"`([^`]+)`", seen)

    assert (ROOT / path).is_file()
    assert names
    for name in names:
        if measured := re.fullmatch(r"try\[(.+)\]", name):
            assert (ROOT / "policies" / f"{measured[1]}.yaml").is_file()
        else:
            file, _, test = name.partition("::")
            function, _, parameter = test.partition("[")
            assert f"def {function}(" in source(file), name
            assert parameter.removesuffix("]") in source(file), name


def test_what_is_not_here_says_why() -> None:
    missing = [seen for _, here, example, seen in rows() if here == "not here"]

    assert len(missing) > 5
    assert all(missing)


def test_every_section_is_in_a_row_and_in_an_example() -> None:
    fields = " ".join(here for _, here, _, _ in rows())
    written: set[str] = set()
    for file in (ROOT / "policies").glob("*.yaml"):
        for document in yaml.safe_load_all(file.read_text("utf-8")):
            if document["kind"] == "TrafficPolicy":
                written.update(document["spec"])

    for section in PolicySpec.known_sections().values():
        assert re.search(rf"`{section}\b", fields), section
        assert section in written, section
