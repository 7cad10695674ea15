"""What an API server checks by a pattern is what the check in Python takes.

By RE2, which reads patterns as an API server does. Where a rule in CEL adds to the
pattern, the real one is asked in tests/integration/kubernetes.
"""

import unicodedata
from collections.abc import Callable
from typing import Final, Protocol, get_args

import pytest
import re2  # type: ignore[import-untyped]  # ships no types
from hypothesis import example, given, strategies as st
from pydantic import TypeAdapter, ValidationError, WithJsonSchema

from xds_server.api import duration, field, quantity
from xds_server.api.duration import parse_duration
from xds_server.api.quantity import parse_quantity
from xds_server.api.regular_expression import SUBSTITUTION_FORM, substitution_error


class Match(Protocol):
    """Whether a pattern is found in a text."""

    def __call__(self, pattern: str, text: str) -> object: ...


SEARCH: Final[Match] = re2.search


def accepts(kind: object) -> Callable[[str], bool]:
    """Return whether a type of text takes a text."""
    adapter: TypeAdapter[str] = TypeAdapter(kind)  # type: ignore[arg-type]  # a form

    def check(text: str) -> bool:
        try:
            adapter.validate_python(text)
        except ValidationError:
            return False
        return True

    return check


def is_taken_by_form(kind: object, text: str) -> bool:
    """Return whether the pattern and the lengths of a type of text take a text."""
    (schema,) = (
        one.json_schema or {}
        for one in get_args(kind)
        if isinstance(one, WithJsonSchema)
    )
    most = schema.get("maxLength", len(text))
    return len(text) <= most and SEARCH(schema["pattern"], text) is not None


TYPES: Final = {
    "HeaderName": field.HeaderName,
    "CookieName": field.CookieName,
    "QueryName": field.QueryName,
    "CookiePath": field.CookiePath,
    "DnsLabel": field.DnsLabel,
    "DnsName": field.DnsName,
    "LabelKey": field.LabelKey,
}
ODD: Final = "aZ09-._/:;=&# \t\n\x00\x7f~`|é\u00a0\u200b\u2028\u212a\ufeff"
TEXTS: Final = st.text(alphabet=ODD, max_size=12) | st.text(max_size=5).filter(
    lambda text: all(unicodedata.category(one) != "Cn" for one in text)
)


@pytest.mark.parametrize("name", TYPES)
@given(text=TEXTS)
@example("a" * 63)
@example("a" * 64)
@example("a.b/" + "c" * 63)
@example(":Path")
@example(":status")
@example("/")
def test_a_pattern_takes_what_the_check_takes(name: str, text: str) -> None:
    kind = TYPES[name]

    assert is_taken_by_form(kind, text) == accepts(kind)(text)


@given(st.text(alphabet="0123456789hms.- ", max_size=10).filter(bool))
@example("1h2m3s4ms")
@example("999999999h999999999m999999999s999999999ms")
@example("1ms1s")
def test_so_does_the_pattern_of_durations(text: str) -> None:
    is_taken = SEARCH(duration.FORM, text) is not None

    assert is_taken == (parse_duration(text) is not None)
    assert not is_taken or len(text) <= duration.LONGEST


@given(st.text(alphabet="0123456789.+-numkMGTPEei ", max_size=10))
@example("+" + "9" * 20 + "." + "9" * 20 + "e+99")
def test_so_does_the_pattern_of_quantities(text: str) -> None:
    is_taken = SEARCH(quantity.FORM, text) is not None

    assert is_taken == (parse_quantity(text) is not None)
    assert not is_taken or len(text) <= quantity.LONGEST


@given(TEXTS | st.text(alphabet="\\019a ", max_size=6))
def test_so_does_the_pattern_of_substitutions(text: str) -> None:
    """With as many groups as a substitution can name."""
    is_taken = SEARCH(SUBSTITUTION_FORM, text) is not None

    assert is_taken == (substitution_error(text, "()" * 9) is None)


@given(st.lists(st.sampled_from(["a", "7", "-", ".", "10"]), max_size=9).map("".join))
@example("a" * 63 + ".1")
def test_what_is_no_address_for_its_last_label_is_none(text: str) -> None:
    (form,) = (
        one.json_schema or {}
        for one in get_args(field.Address)
        if isinstance(one, WithJsonSchema)
    )
    ipv4, _, name = form["anyOf"]
    is_either = SEARCH(ipv4["pattern"], text) or not SEARCH(
        name["not"]["pattern"], text
    )

    assert bool(is_taken_by_form(field.Address, text) and is_either) == accepts(
        field.Address
    )(text)
