"""Every limit of a field: the last values that are good, the first that are not."""

import pytest

from tests.api.policies import errors, load_balancer

LEAST = "{{type: LeastRequest, leastRequest: {{{}}}}}"
RING = "{{type: RingHash, hashOn: [{{sourceIP: {{}}}}], ringHash: {{{}}}}}"
MAGLEV = "{{type: Maglev, hashOn: [{{sourceIP: {{}}}}], maglev: {{{}}}}}"
ORCA = "{{type: PerformanceBased, performanceBased: {{source: OrcaHeaders, {}}}}}"
SLOW = "{{type: RoundRobin, slowStart: {{{}}}}}"
WEIGHTS = "{{type: Weighted, weights: {{{}}}}}"
KEY = "{{type: Maglev, hashOn: [{{{}}}]}}"

PRIME = "must be a prime number"

LIMITS: list[tuple[str, str, list[str], list[str], str]] = [
    (LEAST, "choiceCount", ["2", "100"], ["1", "101", "2.0", "true", '"2"'],
     "must be an integer between 2 and 100"),
    (LEAST, "activeRequestBias", ["0", "1.5", "100"], ["-0.1", "100.1", "x", ".inf"],
     "must be a number between 0 and 100"),
    (RING, "minimumRingSize", ["1", "8388608"], ["0", "8388609", "1e3"],
     "must be an integer between 1 and 8388608"),
    (RING, "maximumRingSize", ["1024", "8388608"], ["0", "8388609", "[]"],
     "must be an integer between 1 and 8388608"),
    (RING, "boundedLoadPercent", ["100", "10000"], ["99", "10001", "100.5"],
     "must be an integer between 100 and 10000"),
    (MAGLEV, "tableSize", ["251", "5000011"], ["250", "5000012", "1", "0"],
     "must be an integer between 251 and 5000011"),
    (MAGLEV, "tableSize", ["65537"], ["252", "65536", "4999998"], PRIME),
    (MAGLEV, "boundedLoadPercent", ["100", "10000"], ["99", "10001"],
     "must be an integer between 100 and 10000"),
    (ORCA, "errorPenalty", ["0", "100"], ["-1", "100.5", ".nan"],
     "must be a number between 0 and 100"),
    (ORCA, "blackoutPeriod", ["1ms", "87600h"], ["0s", "87600h1ms"],
     "must be a duration between 1ms and 87600h"),
    (ORCA, "expiration", ["1ms", "1h30m"], ["0ms", "90000h"],
     "must be a duration between 1ms and 87600h"),
    (ORCA, "updatePeriod", ["100ms", "87600h"], ["99ms", "87601h"],
     "must be a duration between 100ms and 87600h"),
    (SLOW, "window", ["1s", "87600h"], ["999ms", "0s", "87601h"],
     "must be a duration between 1s and 87600h"),
    (SLOW, "window", ["1m30s"], ["10", "-1s", "1.5s", "s", "1d", "''"],
     "must be a duration such as 500ms, 10s or 1m30s"),
    (SLOW, "window: 1s, aggression", ["0.001", "100"], ["0", "-1", "100.1", ".nan"],
     "must be a number above 0, at most 100"),
    (SLOW, "window: 1s, minWeightPercent", ["1", "99.5", "100"], ["0.9", "101", ".nan"],
     "must be a number between 1 and 100"),
    (WEIGHTS, "default", ["0", "1000000"], ["-1", "1000001", "1.5"],
     "must be an integer between 0 and 1000000"),
    (WEIGHTS, "rules", ["[]"], ["{}", "5"], "must be a list"),
]  # fmt: skip


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


NAMES: list[tuple[str, list[str], list[str], str | tuple[str, ...]]] = [
    ("header: {{name: {}}}", ["X-User", "':path'", "a" * 256, "'!#$%&*+-.^_|~'"],
     ["''", "'a b'", "a:b", "a" * 257, "':status'", '"a\\nb"', "é"],
     "must be a header name"),
    ("cookie: {{name: {}}}", ["sid", "__Host-id"], ["'a;b=c'", "''", "'a b'", "a=b"],
     "must be a cookie name"),
    ("cookie: {{name: a, path: {}}}", ["/", "/a/b"], ["a", "''", "/;x", '"/\\n"'],
     "must be a path that begins with /"),
    ("cookie: {{name: a, ttl: {}}}", ["0s", "1h", "2000ms"], ["500ms", "1s1ms"],
     "must be whole seconds"),
    ("cookie: {{name: a, sameSite: {}}}", ["Lax", "STRICT", '"None"'], ["maybe"],
     "unknown value"),
    ("cookie: {{name: a, secure: {}}}", ["true", "off"], ['"true"', "1"],
     "must be true or false"),
    ("queryParameter: {{name: {}}}", ["user", "'a[b]'", "é" * 128],
     ["''", "a=b", "'a&b'", "'a#b'", "é" * 129, '"a\\tb"'],
     "must be a query parameter's name"),
    ("header: {{name: a, regex: {{pattern: {}, substitution: x}}}}",
     ["'^([^,]*).*$'", "'(?P<a>b)'", "'(?i)x{96}'", r"'\d+\.[(?=]'", "'é{10}'"],
     ["'('", "'a(?=b)'", "'a(?!b)'", "'(?<=a)b'", r"'(a)\1'", "'(?>a)'", "a++",
      "'x{1001}'", "'x{2,1001}'", "'x{1001,}'", r"'\Z'", "'(?#c)'", "'(a{1000}){1000}'",
      "'((a{100}){100}){100}'", r"'\é'", "'(?P<é>a)'"],
     "must be a regular expression (RE2): "),
    ("header: {{name: a, regex: {{pattern: {}, substitution: x}}}}",
     ["'^[A-Za-z0-9_-]{2,18}$'"], ["'^[A-Za-z0-9_-]{20,200}$'", "'x{97}'"],
     "needs "),
    ("header: {{name: a, regex: {{pattern: {}, substitution: x}}}}",
     ["'" + "()" * 12 + "'"], ["''", "'" + "(" * 2000 + "'"],
     "must be 1 to 1024 characters"),
    ("header: {{name: a, regex: {{pattern: '(a)(b)', substitution: {}}}}}",
     [r"'\2-\1\\'", "''", r"'\0'"], [r"'\3'", r"'\x'", r"'a\'", r'"\n"'],
     ("refers to group", "must follow", "must be printable")),
]  # fmt: skip


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


METRIC = "performanceBased.metrics[0]"
RULE = "{{type: Weighted, weights: {{rules: [{{{}}}]}}}}"
SOURCES = "matchLabels, addresses, fromAnnotation, fromLabel, fromResourceRequest"
QUANTITY = "must be a Kubernetes quantity above 0, such as 100m or 1Gi"
LABEL_KEY = "must be a label key such as app or example.com/app"
LABEL_VALUE = "must be a label value: letters, digits, - _ ., at most 63"
RULES = {
    "weight: 1": f": exactly one of {SOURCES} (got none)",
    "fromLabel: a, fromAnnotation: b": (
        f": exactly one of {SOURCES} (got fromAnnotation, fromLabel)"
    ),
    "matchLabels: {a: b}": ".weight: required with matchLabels",
    "matchLabels: {}, weight: 1": ".matchLabels: must have at least 1 entry (got 0)",
    "matchLabels: {a b: c}, weight: 1": f".matchLabels[a b]: {LABEL_KEY}",
    "matchLabels: {a: 1}, weight: 1": f".matchLabels.a: {LABEL_VALUE} (got 1)",
    "matchLabels: x, weight: 1": (
        '.matchLabels: must be a mapping of labels (got "x")'
    ),
    "addresses: [10.0.0.300], weight: 1": (
        '.addresses[0]: must be an IP address or a DNS name (got "10.0.0.300")'
    ),
    "addresses: [], weight: 1": ".addresses: must have at least 1 entry (got 0)",
    "addresses: [10.0.0.1], weight: 1000001": (
        ".weight: must be an integer between 0 and 1000000 (got 1000001)"
    ),
    "fromLabel: a, weight: 1": (
        ".weight: not allowed with fromLabel: the Pod says it (got 1)"
    ),
    "fromLabel: a b": f'.fromLabel: {LABEL_KEY} (got "a b")',
    "fromResourceRequest: {resource: cpu, divisor: 0}": (
        ".fromResourceRequest.divisor: must be a string (got 0)"
    ),
    "fromResourceRequest: {resource: cpu, divisor: '0'}": (
        f'.fromResourceRequest.divisor: {QUANTITY} (got "0")'
    ),
}


@pytest.mark.parametrize(("rule", "expected"), RULES.items())
def test_a_weight_rule_has_one_source_and_that_is_valid(
    rule: str, expected: str
) -> None:
    assert errors(RULE.format(rule)) == [f"weights.rules[0]{expected}"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            WEIGHTS.format(f"rules: [{','.join(['{fromLabel: a}'] * 33)}]"),
            "weights.rules: must have at most 32 entries (got 33)",
        ),
        (
            f"{{type: Maglev, hashOn: [{','.join(['{sourceIP: {}}'] * 9)}]}}",
            "hashOn: must have at most 8 entries (got 9)",
        ),
        (
            ORCA.format("metrics: []"),
            "performanceBased.metrics: must have at least 1 entry (got 0)",
        ),
        (
            ORCA.format("metrics: [cpu]"),
            f'{METRIC}: must be the name of an ORCA metric (got "cpu")',
        ),
        (
            ORCA.format("metrics: [5]"),
            f"{METRIC}: must be a string (got 5)",
        ),
    ],
)
def test_lists_have_limits_too(written: str, expected: str) -> None:
    assert errors(written) == [expected]
