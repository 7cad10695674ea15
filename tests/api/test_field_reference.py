"""docs/policy.md has every field that is built, with its default and range."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeGuard, get_args
from unittest import mock

import pytest
from annotated_types import Ge, Gt, Le
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from xds_server.api.duration import format_duration
from xds_server.api.model import Model
from xds_server.api.policy import PolicyMetadata, PolicySpec, Retry
from xds_server.api.weights import WEIGHT_ANNOTATION, Weights
from xds_server.mesh.model import Sections

PAGE: Final = Path(__file__).parents[2] / "docs" / "policy.md"
REQUIRED: Final = {  # by rules between fields, which a field itself does not know
    "spec.loadBalancer.hashOn",
    "spec.healthCheck.http",
    "spec.session.cookie",
    "spec.session.header",
    "spec.locality.weighted",
}
FILLED: Final = {
    "spec.loadBalancer.weighted",
    "spec.loadBalancer.leastRequest",
    "spec.loadBalancer.ringHash",
    "spec.loadBalancer.maglev",
    "spec.loadBalancer.ipHash",
    "spec.loadBalancer.performanceBased",
    "spec.loadBalancer.weights",
    "spec.healthCheck.grpc",
    "spec.healthCheck.tcp",
    "spec.retry.backoff",
    "spec.adaptiveConcurrency.minRTT",
    "spec.locality.failover",
    "spec.locality.zoneAware",
    "spec.locality.loadAware",
}
"""Blocks that their type brings along: left out, they are empty."""

_SPELLED: Final[Mapping[object, str]] = {
    "": '""',
    ("200",): '["200"]',
    ("100-499",): '["100-499"]',
    ("Zone", "Region"): "[Zone, Region]",
    Retry().retry_on: f"[{', '.join(Retry().retry_on)}]",
    Weights().rules: f"[{{fromAnnotation: {WEIGHT_ANNOTATION}}}]",
}

Row = dict[str, str]


def rows() -> dict[str, dict[str, Row]]:
    """Return the rows of the page by section and field, each by its headings."""
    found: dict[str, dict[str, Row]] = {}
    section, headings = "", list[str]()
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| field |"):
            headings = cells
        elif line.startswith("| `") and headings:
            row = dict(zip(headings, cells, strict=False))
            found.setdefault(section, {})[row["field"].strip("`")] = row
        elif not line:
            headings = []
    return found


def models(model: type[Model], path: str) -> Iterator[tuple[str, type[Model]]]:
    """Yield *model* and all parts of it that are built, each with its path."""
    yield path, model
    for name, field in built(model).items():
        parts = [one for one in leaves(field.annotation) if is_model(one)]
        is_list = "tuple" in str(field.annotation)
        for part in parts:
            if part.model_fields:
                yield from models(part, f"{path}.{name}{'[]' * is_list}")


def built(model: type[Model]) -> dict[str, FieldInfo]:
    """Return the fields that a user may write now."""
    fields = {f.alias or name: f for name, f in model.model_fields.items()}
    return {name: f for name, f in fields.items() if name not in model.later}


def leaves(annotation: object) -> Iterator[object]:
    """Yield the plain types that an annotation is made of."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for one in inner:
        yield from leaves(one)


def is_model(one: object) -> TypeGuard[type[Model]]:
    return isinstance(one, type) and issubclass(one, Model)


def written(default: object) -> str:
    """Return a default as a user would write it."""
    if default in (None, ()):
        return "left out"
    spelled = _SPELLED.get(default, str(default))
    if isinstance(default, timedelta):
        spelled = format_duration(default)
    elif isinstance(default, bool):
        spelled = spelled.lower()
    return f"`{spelled}`"


def bounds(field: FieldInfo) -> str:
    """Return the range of a number or duration, empty where it has none."""

    def said(bound: object) -> str:
        return format_duration(bound) if isinstance(bound, timedelta) else str(bound)

    least = [said(m.ge) for m in field.metadata if isinstance(m, Ge)]
    least += [f"above {said(m.gt)}" for m in field.metadata if isinstance(m, Gt)]
    most = [said(m.le) for m in field.metadata if isinstance(m, Le)]
    return f"{least[-1]}..{most[-1]}" if least and most else ""


SECTIONS: Final = dict(
    [*models(PolicyMetadata, "metadata"), *models(PolicySpec, "spec")]
)


def test_the_page_has_a_section_for_every_part() -> None:
    assert set(rows()) == set(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_has_every_field_that_is_built_and_no_other(section: str) -> None:
    assert set(rows()[section]) == set(built(SECTIONS[section]))


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_and_ranges_are_those_of_the_models(section: str) -> None:
    for name, field in built(SECTIONS[section]).items():
        row = rows()[section][name]
        expected = written(field.get_default())
        if field.is_required() or f"{section}.{name}" in REQUIRED:
            expected = "required"
        elif f"{section}.{name}" in FILLED:
            expected = "`{}`"

        assert (name, row["default"]) == (name, expected)
        assert (name, row.get("range", "")) == (name, bounds(field))


@pytest.mark.parametrize("section", SECTIONS)
def test_what_a_field_means_is_said_in_the_same_words(section: str) -> None:
    """On the page, and to whoever asks an API server or an editor."""
    for name, field in built(SECTIONS[section]).items():
        meaning = " ".join((field.description or "").split()).removesuffix(".")
        row = rows()[section][name]["meaning"]

        assert row
        assert (name, meaning[1:]) == (name, row.removesuffix(".")[1:])


def test_every_choice_is_named() -> None:
    page = PAGE.read_text("utf-8")
    for model in SECTIONS.values():
        for field in built(model).values():
            for one in leaves(field.annotation):
                if isinstance(one, type) and issubclass(one, StrEnum):
                    assert {f"`{c}`" for c in one} <= set(
                        re.findall(r"`[^`\n]+`", page)
                    )


def test_what_begins_anew_with_routes_names_all_that_routes_go_by() -> None:
    every = Sections()
    for each in fields(Sections):
        object.__setattr__(every, each.name, mock.sentinel.given)
    of_routes = every.of_routes
    names = {
        to_camel(each.name)
        for each in fields(Sections)
        if getattr(of_routes, each.name) is mock.sentinel.given
    }
    said = re.findall(r"what routes go by \((.*?)\)", PAGE.read_text("utf-8"))

    assert len(said) == 2
    for each in said:
        assert set(each.replace("`", "").split(", ")) == names
