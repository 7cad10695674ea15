"""Good and bad policies, as tables: what is said of each, and all of them at once.

The tests of this folder hold `check` to what the tables say; those that meet a real API
server hold its verdicts to those of `check`.
"""

import re
from pathlib import Path

from tests.api import sections
from tests.api.policies import HEAD

SOURCE_IP = "hashOn: [{sourceIP: {}}]"
VARIANTS = {
    "RoundRobin": "type: RoundRobin",
    "Random": "type: Random",
    "Weighted RoundRobin": "type: Weighted",
    "Weighted Random": "type: Weighted, weighted: {selection: Random}",
    "LeastRequest": "type: LeastRequest",
    "RingHash": f"type: RingHash, {SOURCE_IP}",
    "Maglev": f"type: Maglev, {SOURCE_IP}",
    "IPHash": "type: IPHash",
    "PerformanceBased": "type: PerformanceBased",
    "PerformanceBased metrics": "type: PerformanceBased, "
    "performanceBased: {metrics: [cpu_utilization]}",
    "PerformanceBased CPU": "type: PerformanceBased, "
    "performanceBased: {metrics: [kubernetes.cpu]}",
    "PerformanceBased OrcaHeaders": "type: PerformanceBased, "
    "performanceBased: {source: OrcaHeaders}",
    "PerformanceBased OrcaOutOfBand": "type: PerformanceBased, "
    "performanceBased: {source: OrcaOutOfBand}",
}
WITH_SLOW_START = {
    "RoundRobin",
    "Weighted RoundRobin",
    "LeastRequest",
    "PerformanceBased",
    "PerformanceBased metrics",
    "PerformanceBased CPU",
    "PerformanceBased OrcaHeaders",
    "PerformanceBased OrcaOutOfBand",
}
WITH_WEIGHTS = {
    "Weighted RoundRobin",
    "Weighted Random",
    "LeastRequest",
    "RingHash",
    "Maglev",
    "IPHash",
    "PerformanceBased",
    "PerformanceBased metrics",
    "PerformanceBased CPU",
}
HASHED = {"RingHash", "Maglev"}
BLOCKS = {
    "Weighted": "weighted",
    "LeastRequest": "leastRequest",
    "RingHash": "ringHash",
    "Maglev": "maglev",
    "IPHash": "ipHash",
    "PerformanceBased": "performanceBased",
}

_EXAMPLES = """
{type: Weighted, slowStart: {window: 30s},
 weights: {rules: [{matchLabels: {size: large}, weight: 3}, {fromAnnotation: a.b/c}]}}

{type: Weighted, weighted: {selection: Random},
 weights: {rules: [{matchLabels: {track: canary}, weight: 5}], default: 95}}

{type: Weighted, weights: {rules: [{addresses: [10.0.0.7, '::1', db.a], weight: 0},
 {fromLabel: weight}, {fromResourceRequest: {resource: cpu, divisor: 100m}}]}}

{type: RingHash, ringHash: {minimumRingSize: 4096, boundedLoadPercent: 150},
 hashOn: [{header: {name: x-user}, terminal: true},
 {cookie: {name: sid, ttl: 1h, sameSite: Lax}}]}

{type: IPHash, ipHash: {algorithm: RingHash, addressFrom: XForwardedFor}}

{type: PerformanceBased, performanceBased: {source: OrcaHeaders,
 metrics: [application_utilization, named_metrics.queue, utilization.gpu]}}

{type: PerformanceBased, performanceBased: {balance: RoundRobin, updatePeriod: 30s},
 weights: {rules: [{fromLabel: weight}]}, slowStart: {window: 30s}}

{type: Weighted, weights: {groups: [{matchLabels: {version: v2}, share: 10},
 {matchLabels: {version: v1}, share: 90}]}}

{type: Maglev, hashOn: [{sourceIP: {}}], weights: {rules: [{fromLabel: size}],
 groups: [{matchLabels: {track: canary}, share: 0.5}], others: 99.5}}

{type: LeastRequest, leastRequest: {selectionMethod: FullScan}, weights: {},
 slowStart: {window: 1m, aggression: 2, minWeightPercent: 1}}
"""
EXAMPLES = [one.strip() for one in _EXAMPLES.replace("\n ", " ").split("\n\n")]

LEAST = "{{type: LeastRequest, leastRequest: {{{}}}}}"
RING = "{{type: RingHash, hashOn: [{{sourceIP: {{}}}}], ringHash: {{{}}}}}"
MAGLEV = "{{type: Maglev, hashOn: [{{sourceIP: {{}}}}], maglev: {{{}}}}}"
COMPUTED = "{{type: PerformanceBased, performanceBased: {{{}}}}}"
ORCA = "{{type: PerformanceBased, performanceBased: {{source: OrcaHeaders, {}}}}}"
OUT_OF_BAND = ORCA.replace("OrcaHeaders", "OrcaOutOfBand")
SLOW = "{{type: RoundRobin, slowStart: {{{}}}}}"
WEIGHTS = "{{type: Weighted, weights: {{{}}}}}"
GROUP = "{{type: Weighted, weights: {{groups: [{{matchLabels: {{a: b}}, {}}}]}}}}"
OTHERS = WEIGHTS.replace(
    "{{{}}}", "{{groups: [{{matchLabels: {{a: b}}, share: 1}}], {}}}"
)
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
    (OUT_OF_BAND, "reportPeriod", ["100ms", "87600h"], ["99ms", "87601h"],
     "must be a duration between 100ms and 87600h"),
    (OUT_OF_BAND, "reportPort", ["1", "65535"], ["0", "65536", "1.5"],
     "must be an integer between 1 and 65535"),
    (COMPUTED, "updatePeriod", ["1s", "87600h"], ["99ms", "87601h"],
     "must be a duration between 100ms and 87600h"),
    (COMPUTED, "updatePeriod", ["1s"], ["100ms", "999ms"],
     "must be >= 1s when source is ControlPlane"),
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
    (WEIGHTS, "groups", ["[]"], ["{}", "5"], "must be a list"),
    (GROUP, "share", ["0", "0.001", "1000000"], ["-1", "1000001", ".nan", '"5"'],
     "must be a number between 0 and 1000000"),
    (OTHERS, "others", ["0", "0.5", "1000000"], ["-1", "1000001", ".inf"],
     "must be a number between 0 and 1000000"),
    (WEIGHTS, "others", [], ["0", "1"], "only allowed with groups"),
    (WEIGHTS, "groups: [], others", [], ["1"], "only allowed with groups"),
]  # fmt: skip

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
     ["'^([^,]*).*$'", "'(?P<a>b)'", "'(?i)x{96}'", r"'\d+\.[(?=]'", "'é{10}'",
      r"'\C'"],
     ["'('", "'a(?=b)'", "'a(?!b)'", "'(?<=a)b'", r"'(a)\1'", "'(?>a)'", "a++",
      "'x{1001}'", "'x{2,1001}'", "'x{1001,}'", r"'\Z'", "'(?#c)'", "'(a{1000}){1000}'",
      "'((a{100}){100}){100}'", r"'\é'", r"'\x{263a}'", "'(?P<é>a)'"],
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

METRICS = "performanceBased.metrics"
METRIC = f"{METRICS}[0]"
CPU_COMPUTED = "kubernetes.cpu is only allowed when source is ControlPlane"
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
_ONE_GROUP = "{matchLabels: {a: b}, share: 1}"
LISTS: list[tuple[str, str]] = [
    (
        WEIGHTS.format(f"rules: [{','.join(['{fromLabel: a}'] * 33)}]"),
        "weights.rules: must have at most 32 entries (got 33)",
    ),
    (
        WEIGHTS.format(f"groups: [{','.join([_ONE_GROUP] * 33)}]"),
        "weights.groups: must have at most 32 entries (got 33)",
    ),
    (
        WEIGHTS.format(
            "groups: [{matchLabels: {a: b, c: d}, share: 1}, "
            "{matchLabels: {a: b}, share: 1}, {matchLabels: {c: d, a: b}, share: 2}]"
        ),
        "weights.groups[2]: named twice",
    ),
    (
        WEIGHTS.format("groups: [{share: 1}]"),
        "weights.groups[0].matchLabels: required",
    ),
    (
        WEIGHTS.format("groups: [{matchLabels: {a: b}}]"),
        "weights.groups[0].share: required",
    ),
    (
        WEIGHTS.format("groups: [{matchLabels: {}, share: 1}]"),
        "weights.groups[0].matchLabels: must have at least 1 entry (got 0)",
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
    (
        COMPUTED.format("metrics: [cpu_utilization, kubernetes.cpu]"),
        f"{METRICS}: must have no other entry beside kubernetes.cpu (got 2)",
    ),
    (
        OUT_OF_BAND.format("metrics: [kubernetes.cpu]"),
        f"{METRICS}: {CPU_COMPUTED} (got OrcaOutOfBand)",
    ),
]

LATER_FIELDS = ["retry.perTryTimeout", "tls.ca.system", "tls.ca.configMapRef"]

MANY = ", ".join(f"{{kind: Service, name: a{number}}}" for number in range(17))
TARGETS = {
    "[]": "x.yaml:5:15: spec.targetRefs: must have at least 1 entry (got 0)",
    "null": "x.yaml:5:15: spec.targetRefs: required",
    "cart": 'x.yaml:5:15: spec.targetRefs: must be a list (got "cart")',
    "[cart]": 'x.yaml:5:16: spec.targetRefs[0]: must be a mapping (got "cart")',
    "[{name: cart}]": "x.yaml:5:16: spec.targetRefs[0].kind: required",
    "[{kind: Service, name: Cart}]": (
        "x.yaml:5:38: spec.targetRefs[0].name: must be a DNS label: "
        'lower-case letters, digits and -, at most 63 (got "Cart")'
    ),
    "[{kind: Servise, name: cart}]": (
        'x.yaml:5:23: spec.targetRefs[0].kind: unknown value "Servise" '
        "(allowed: Service, Namespace)\n  hint: did you mean Service?"
    ),
    "[{group: apps, kind: Service, name: cart}]": (
        'x.yaml:5:24: spec.targetRefs[0].group: must be "" (got "apps")\n'
        '  hint: Services are of the core group: group: ""'
    ),
    "[{kind: Service, name: a}, {kind: Service, name: a}]": (
        'x.yaml:5:42: spec.targetRefs[1]: named twice (got Service "a" again)'
    ),
    f"[{MANY}]": (
        "x.yaml:5:15: spec.targetRefs: must have at most 16 entries (got 17)"
    ),
    "[{kind: Namespace, name: shop, sectionName: http}]": (
        "x.yaml:5:59: spec.targetRefs[0].sectionName: a Namespace has no ports "
        '(got "http")\n  hint: leave it out, or name a Service'
    ),
    "[{kind: Service, name: a, namespace: b}]": (
        "x.yaml:5:41: spec.targetRefs[0].namespace: a policy cannot reach into another "
        'namespace (got "b")\n  hint: leave it out: targets are in the namespace of '
        "the policy, which may be that of the Service"
    ),
    "[{kind: Service, name: a, section: b}]": (
        "x.yaml:5:41: spec.targetRefs[0].section: unknown field\n"
        "  hint: did you mean sectionName?"
    ),
}


def _labels(written: str) -> str:
    return RULE.format(f"matchLabels: {{{written}}}, weight: 1")


def one_address(written: str) -> str:
    """Return a balancer with a weight for this address."""
    return RULE.format(f"addresses: [{written}], weight: 1")


def _divisor(written: str) -> str:
    return RULE.format(f"fromResourceRequest: {{resource: cpu, divisor: '{written}'}}")


_TOO_LONG = ".".join(["a" * 63] * 4)[:-1]  # 254 characters

MORE: list[str] = [
    *(f"{{{variant}}}" for variant in VARIANTS.values()),
    *(
        f"{{{variant}, {more}}}"
        for variant in VARIANTS.values()
        for more in (
            "slowStart: {window: 10s}",
            "weights: {default: 2}",
            "hashOn: []",
            SOURCE_IP,
            *(f"{block}: {{}}" for block in BLOCKS.values()),
        )
        if more.partition(":")[0] not in variant
    ),
    "{}",
    "null",
    "[]",
    "{type: null}",
    "{type: Maglev}",
    "{type: PerformanceBased}",
    "{type: LeastRequest, leastRequest: {choiceCount: null}, maglev: ~}",
    "{type: LeastRequest, least_request: {}}",
    LEAST.format("selectionMethod: FullScan"),
    LEAST.format("selectionMethod: FullScan, choiceCount: 2"),
    LEAST.format("selectionMethod: NChoices, choiceCount: 2"),
    RING.format("minimumRingSize: 100000"),
    RING.format("minimumRingSize: 100000, maximumRingSize: 65536"),
    RING.format("minimumRingSize: 2048, maximumRingSize: 2048"),
    RING.format("maximumRingSize: 1023"),
    *(
        MAGLEV.format(f"tableSize: {size}")
        for size in (257, 289, 2237, 4999999, 4995225)
    ),
    *(SLOW.format(f"window: {window}") for window in ("1000ms", "0.5s", "9999999h")),
    KEY.format("terminal: true"),
    KEY.format("sourceIP: {}, terminal: yes"),
    KEY.format("sourceIP: {}, header: {name: a}"),
    KEY.format("header: {name: ':AUTHORITY'}"),
    KEY.format("header: {}"),
    KEY.format("header: {name: \u212aey}"),  # whose lower case is k
    KEY.format("sourceIP: {port: 1}"),
    "{type: Maglev, hashOn: [null]}",
    *(
        _labels(label)
        for label in (
            "a: ''",
            "a.example/b_C.d: -",
            "a.example/b_C.d: x_y.Z-1",
            "'a/b/c': d",
            "'/a': b",
            "'a/': b",
            f"{'a' * 63}: {'b' * 63}",
            f"{'a' * 64}: b",
            f"a: {'b' * 64}",
            f"{_TOO_LONG[:253]}/a: b",
            f"{_TOO_LONG}/a: b",
            ", ".join(f"a{number}: b" for number in range(16)),
            ", ".join(f"a{number}: b" for number in range(17)),
        )
    ),
    *(RULE.format(f"fromLabel: {_TOO_LONG[:end]}/a") for end in (253, 254)),
    *(
        one_address(address)
        for address in (
            "10.0.0.1",
            "127.0.0.1",
            "169.254.0.1",
            "240.0.0.1",
            "0.0.0.0",  # noqa: S104 - nobody binds to it
            "224.0.0.1",
            "255.255.255.255",
            "010.0.0.1",
            "'10.1'",
            "10.0.0.1.",
            "'fd00::1'",
            "'FE80::1'",
            "'::'",
            "'ff02::1'",
            "'ff0e::1'",
            "'[::1]'",
            "'fe80::1%eth0'",
            "'::ffff:10.0.0.1'",
            "'1:2:3'",
            "'1:2:3:4:5:6:7::'",
            "'::2:3:4:5:6:7:8'",
            "'::0:1:2:3:4:5:6:7'",
            "'1::2::3'",
            "'12345::'",
            "'00ff::1'",
            "'0::0'",
            "'64:ff9b::10.0.0.1'",
            "'10.0.0.1:80'",
            "Web.Shop.Example.",
            "a.1",
            "a.1b",
            "a_b",
            "'*.a'",
            "\u212aa.b",
            "1-1",
            "a.1-1",
            "a.1a1.",
            _TOO_LONG[:253],
            f"{_TOO_LONG[:253]}.",
            _TOO_LONG,
        )
    ),
    *(
        _divisor(quantity)
        for quantity in (
            *("100m", "0.5", ".5Gi", "5.", "3e2", "1E", "1n", "+1", "1e10"),
            *("1e99", "1e-99", "9" * 20 + "E", "0." + "0" * 19 + "1", "9" * 21),
            *("-1", "0m", "0.0", "1x", "", " 1", "1 k", "1e", "1Kii", "0x1"),
        )
    ),
    ORCA.format("metrics: [named_metrics.a/b, utilization.x]"),
    ORCA.format("metrics: ['named_metrics.a b']"),
    ORCA.format("metrics: [named_metrics.]"),
    COMPUTED.format("metrics: [named_metrics.queue]"),
    COMPUTED.format("metrics: [kubernetes.memory]"),
    ORCA.format("metrics: [kubernetes.cpu, cpu_utilization]"),
    COMPUTED.format("balance: LeastRequest"),
    COMPUTED.format("balance: Random"),
    COMPUTED.format("source: ControlPlane, errorPenalty: 1"),
    COMPUTED.format("blackoutPeriod: 10s"),
    COMPUTED.format("expiration: 3m"),
    COMPUTED.format("reportPort: 9090"),
    COMPUTED.format("smoothing: 0.5"),
    ORCA.format("balance: LeastRequest"),
    ORCA.format("reportPort: 9090"),
    ORCA.format("reportPeriod: 1s"),
    OUT_OF_BAND.format("metrics: [cpu_utilization]"),
    "{type: PerformanceBased, performanceBased: {}}",
    "{type: Random, performanceBased: {source: OrcaHeaders}}",
    KEY.format("cookie: {name: a, ttl: 87600h1s}"),
    "{type: CLIENT_SIDE_WEIGHTED_ROUND_ROBIN, performanceBased: {}}",
    *(f"{{type: {name}}}" for name in ("ROUND_ROBIN", "least-conn", "SUBSET")),
    *(
        RULE.format(rule)
        for rule in (
            "fromLabel: a",
            "fromAnnotation: a.b/c",
            "fromResourceRequest: {resource: cpu, divisor: 1}",
            "fromResourceRequest: {resource: nvidia.com/gpu, divisor: '1'}",
            "addresses: [10.0.0.1]",
            "fromAnnotation: a, weight: 1",
            "fromResourceRequest: {resource: cpu, divisor: '1'}, weight: 1",
            "addresses: [10.0.0.1], matchLabels: {a: b}, weight: 1",
        )
    ),
]
"""More of what may stand at `loadBalancer`, good and bad."""

MORE_TARGETS: list[str] = [
    "[{kind: Service, name: a}, {kind: Service, name: a, sectionName: http}]",
    "[{kind: Service, name: a}, {group: '', kind: Service, name: a}]",
    f"[{', '.join(['{kind: Service, name: a, sectionName: b}'] * 2)}]",
    "[{kind: Service, name: a, sectionName: '80'}]",
    "[{kind: Service, name: a, sectionName: 80}]",
    "[{kind: Service, name: a, sectionName: ''}]",
    "[{kind: Namespace, name: shop}]",
    f"[{{kind: Service, name: {'a' * 63}}}]",
    f"[{{kind: Service, name: {'a' * 64}}}]",
]

_ANYBODY = "needs namespaces, matchLabels or both (got none)"
_MANY = ", ".join(f"n{number}" for number in range(17))

SELECTORS: list[tuple[str, str]] = [
    ("{namespaces: [ops]}", ""),
    ("{namespaces: [ops, jobs]}", ""),
    ("{matchLabels: {tier: batch}}", ""),
    ("{namespaces: [ops], matchLabels: {tier: batch}}", ""),
    ("{namespaces: null, matchLabels: {tier: batch}}", ""),
    ("{}", f": {_ANYBODY}"),
    ("{namespaces: null}", f": {_ANYBODY}"),
    ("{namespaces: []}", "namespaces: must have at least 1 entry (got 0)"),
    ("{namespaces: ops}", 'namespaces: must be a list (got "ops")'),
    ("{namespaces: [Ops]}", "namespaces[0]: must be a DNS label"),
    ("{namespaces: [ops, jobs, ops]}", "namespaces[2]: named twice (got ops again)"),
    (f"{{namespaces: [{_MANY}]}}", "namespaces: must have at most 16 entries"),
    ("{namespaces: [ops], matchLabels: {}}", "matchLabels: must have at least 1 entry"),
]
"""What may stand at `clientSelector`, and how what is said of it begins."""

_FOLDER = Path(__file__).parent
_FILES = [
    *_FOLDER.glob("testdata/*.in.yaml"),
    *_FOLDER.parents[1].glob("policies/*.yaml"),
]


LOCALITIES = {
    "None": "{type: None}",
    "Failover": "{type: Failover}",
    "Weighted": "{type: Weighted, weighted: {rules: [{to: [{zone: a, weight: 1}]}]}}",
    "ZoneAware": "{type: ZoneAware}",
    "LoadAware": "{type: LoadAware}",
}
_PLAIN = {"RoundRobin", "Random", "Weighted RoundRobin", "LeastRequest"}
ZONED = {
    *(*_PLAIN, "PerformanceBased"),
    *("PerformanceBased metrics", "PerformanceBased CPU"),
}
"""The algorithms that can route by zones."""
LOADED = {*_PLAIN, "PerformanceBased metrics", "PerformanceBased OrcaHeaders"}
"""Those that can do so by load, with the endpoints' reports in answers."""


def corpus() -> dict[str, str]:
    """Return documents of one policy each, by what is special in them."""
    found = {
        f"{file.name}#{position}": text
        for file in _FILES
        if b"kind: TrafficPolicy" in file.read_bytes()
        for position, text in enumerate(
            re.split(r"(?m)^---\n", file.read_text("utf-8"))
        )
        if "kind: TrafficPolicy" in text
    }
    balancers = [
        *(
            written.format(f"{field}: {value}")
            for written, field, good, bad, _ in LIMITS
            for value in (*good, *bad)
        ),
        *(
            KEY.format(written.format(value))
            for written, good, bad, _ in NAMES
            for value in (*good, *bad)
        ),
        *map(RULE.format, RULES),
        *(written for written, _ in LISTS),
        *EXAMPLES,
        *MORE,
    ]
    found |= {one: f"{HEAD}  loadBalancer: {one}\n" for one in balancers}
    found |= {
        f"{section}: {one}": f"{HEAD}  {section}: {one}\n"
        for section, one in sections.ALL
    }
    found |= {
        f"targetRefs: {one}": HEAD.replace("[{kind: Service, name: cart}]", one)
        for one in (*TARGETS, *MORE_TARGETS)
    }
    found |= {
        f"clientSelector: {one}": f"{HEAD}  clientSelector: {one}\n"
        for one, _ in SELECTORS
    }
    found |= {
        f"{name} with {kind}": f"{HEAD}  loadBalancer: {{{balancer}}}\n"
        f"  locality: {locality}\n"
        for name, balancer in VARIANTS.items()
        for kind, locality in LOCALITIES.items()
    }
    return found | {
        "nothing but targets": HEAD,
        "no spec": HEAD.partition("spec:")[0],
        "metadata.nam": HEAD.replace("name: cart}\nspec", "name: cart, nam: a}\nspec"),
        "metadata.name: Cart": HEAD.replace("cart}\nspec", "Cart}\nspec"),
        "metadata.name: a.b": HEAD.replace("cart}\nspec", "a.b}\nspec"),
        "metadata.labels": HEAD.replace("cart}\nspec", "cart, labels: {a: b}}\nspec"),
        "status": f"{HEAD}status: {{}}\n",
        "another version": HEAD.replace("v1alpha1", "v1"),
    }
