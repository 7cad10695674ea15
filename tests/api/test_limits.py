"""Every limit of a field: the last values that are good, the first that are not."""

import pytest

from tests.api.corpus import KEY, LIMITS, LISTS, NAMES, RULE, RULES
from tests.api.policies import errors, load_balancer


@pytest.mark.parametrize(
    ("written", "field", "good"),
    [(written, field, one) for written, field, good, _, _ in LIMITS for one in good],
)
def test_values_within_the_limits_are_taken(
    written: str, field: str, good: str
) -> None:
    assert errors(written.format(f"{field}: {good}")) == []


@pytest.mark.parametrize(
    ("written", "field", "bad", "message"),
    [
        (written, field, one, message)
        for written, field, _, bad, message in LIMITS
        for one in bad
    ],
)
def test_values_outside_are_refused_in_one_sentence(
    written: str, field: str, bad: str, message: str
) -> None:
    (error,) = errors(written.format(f"{field}: {bad}"))
    path, _, said = error.partition(": ")

    assert path.endswith(field.rpartition(" ")[2])
    assert said.startswith(f"{message} (got ")


@pytest.mark.parametrize(
    ("written", "good"),
    [(written, one) for written, good, _, _ in NAMES for one in good],
)
def test_names_that_envoy_takes_are_taken(written: str, good: str) -> None:
    assert errors(KEY.format(written.format(good))) == []


@pytest.mark.parametrize(
    ("written", "bad", "message"),
    [(written, one, message) for written, _, bad, message in NAMES for one in bad],
)
def test_names_that_envoy_only_seems_to_take_are_refused(
    written: str, bad: str, message: str | tuple[str, ...]
) -> None:
    """Envoy checks none of them in a load-balancing policy, and then misbehaves."""
    (error,) = errors(KEY.format(written.format(bad)))

    assert error.partition(": ")[2].startswith(message)


def test_header_names_are_lower_cased() -> None:
    (key,) = load_balancer(KEY.format("header: {name: X-User}")).hash_on

    assert key.header is not None
    assert key.header.name == "x-user"


@pytest.mark.parametrize(("rule", "expected"), RULES.items())
def test_a_weight_rule_has_one_source_and_that_is_valid(
    rule: str, expected: str
) -> None:
    assert errors(RULE.format(rule)) == [f"weights.rules[0]{expected}"]


@pytest.mark.parametrize(("written", "expected"), LISTS)
def test_lists_have_limits_too(written: str, expected: str) -> None:
    assert errors(written) == [expected]
