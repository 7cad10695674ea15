"""The table of rules in docs/protocol.md says what the tests do, and all of it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.wire import variant as variants
from tests.wire.variant import ADS, ALL, DELTA, SINGLE, SOTW, Variant

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = TESTS.parent / "docs" / "protocol.md"
RULES: Final = range(1, 50)
NUMBERED: Final = re.compile(r"test_rules?_(\d+)(?:_and_(\d+))?_")
APPLIES: Final = {
    "all": ALL,
    "ADS": ADS,
    "SotW": SOTW,
    "delta": DELTA,
    "": (),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A rule, as the page has it."""

    number: int
    variants: frozenset[Variant]
    reason: str
    files: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class NumberedTest:
    """A test that is named after a rule; `variants` are those it runs over."""

    number: int
    file: str
    variants: frozenset[Variant]


def rows() -> dict[int, Row]:
    """Return the rows of the table, by the rules' numbers."""
    cells = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in PAGE.read_text().splitlines()
        if re.match(r"\| \d+ \|", line)
    ]
    found = [
        Row(
            number=int(number),
            variants=frozenset(APPLIES[applies]),
            reason=reason,
            files=frozenset(files.split(", ")),
        )
        for number, _, applies, reason, files in cells
    ]
    assert len(found) == len({row.number for row in found})
    return {row.number: row for row in found}


def numbered_tests() -> Iterator[NumberedTest]:
    """Yield every test of a rule, of whatever kind."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                match = NUMBERED.match(node.name)
                for number in filter(None, match.groups()) if match else ():
                    yield NumberedTest(
                        number=int(number),
                        file=str(path.relative_to(TESTS).with_suffix("")),
                        variants=frozenset(variants_of(node)),
                    )


def variants_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Variant]:
    """Return what `over` says of a test."""
    found: list[Variant] = []
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(func=ast.Name(id="over"), args=[ast.Name(id=name)]):
                found += getattr(variants, name)
            case ast.Call(func=ast.Name(id="over"), args=[ast.Tuple(elts=elements)]):
                found += [Variant[e.attr] for e in elements if hasattr(e, "attr")]
            case _:
                pass
    return found


@pytest.fixture(scope="module")
def tested() -> dict[int, list[NumberedTest]]:
    """The tests of each rule."""
    found = defaultdict(list)
    for test in numbered_tests():
        found[test.number].append(test)
    return found


def test_every_rule_is_on_the_page() -> None:
    assert list(rows()) == list(RULES)


@pytest.mark.parametrize("number", RULES)
def test_a_rule_is_tested_where_the_page_says(
    number: int, tested: dict[int, list[NumberedTest]]
) -> None:
    """In these files and in no others; and over the wire."""
    files = rows()[number].files

    assert files == {test.file for test in tested[number]}
    assert any(file.startswith("wire/") for file in files)


@pytest.mark.parametrize("number", RULES)
def test_a_rule_is_tested_over_all_that_it_applies_to(
    number: int, tested: dict[int, list[NumberedTest]]
) -> None:
    """Where it does not apply, the page says why."""
    row = rows()[number]
    over_wire = {
        variant
        for test in tested[number]
        if test.file.startswith("wire/")
        for variant in test.variants
    }

    assert row.variants <= over_wire
    assert bool(row.reason) == (row.variants != frozenset(ALL))


def test_no_test_has_another_number(tested: dict[int, list[NumberedTest]]) -> None:
    assert set(tested) == set(RULES)


def test_the_variants_are_told_apart() -> None:
    """What `over` takes by name is what this page means by it."""
    assert set(ADS) | set(SINGLE) == set(SOTW) | set(DELTA) == set(ALL)
