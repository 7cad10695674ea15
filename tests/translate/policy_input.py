"""`loadBalancer` blocks as users write them, good ones and doubtful ones."""

from hypothesis import strategies as st

from tests.translate.mesh_input import Spec

USER = [{"header": {"name": "x-user"}}]

ACCEPTED: dict[str, Spec] = {
    "round robin": {"type": "RoundRobin"},
    "round robin, slow start": {"type": "RoundRobin", "slowStart": {"window": "30s"}},
    "random": {"type": "Random"},
    "measured": {"type": "PerformanceBased", "slowStart": {"window": "30s"}},
    "measured, weighted": {"type": "PerformanceBased", "weights": {"default": 3}},
    "measured, in turn": {
        "type": "PerformanceBased",
        "performanceBased": {"balance": "RoundRobin"},
    },
    "computed of reports": {
        "type": "PerformanceBased",
        "performanceBased": {"metrics": ["cpu_utilization", "named_metrics.queue"]},
    },
    "weighted": {"type": "Weighted", "weights": {"default": 3}},
    "weighted random": {"type": "Weighted", "weighted": {"selection": "Random"}},
    "least request": {"type": "LeastRequest"},
    "least request, most choices": {
        "type": "LeastRequest",
        "leastRequest": {"choiceCount": 100, "activeRequestBias": 100},
    },
    "least request, no bias": {
        "type": "LeastRequest",
        "leastRequest": {"choiceCount": 2, "activeRequestBias": 0},
    },
    "full scan": {
        "type": "LeastRequest",
        "leastRequest": {"selectionMethod": "FullScan"},
    },
    "ring hash": {"type": "RingHash", "hashOn": USER},
    "ring hash, smallest": {
        "type": "RingHash",
        "ringHash": {"minimumRingSize": 1, "maximumRingSize": 1},
        "hashOn": USER,
    },
    "ring hash, largest maximum": {
        "type": "RingHash",
        "ringHash": {"maximumRingSize": 8388608, "hashFunction": "MurmurHash2"},
        "hashOn": USER,
    },
    "ring hash, large minimum alone": {
        "type": "RingHash",
        "ringHash": {"minimumRingSize": 100000},
        "hashOn": USER,
    },
    "ring hash, bounded": {
        "type": "RingHash",
        "ringHash": {"boundedLoadPercent": 100},
        "hashOn": USER,
    },
    "maglev": {"type": "Maglev", "hashOn": USER},
    "maglev, smallest": {
        "type": "Maglev",
        "maglev": {"tableSize": 251, "boundedLoadPercent": 10000},
        "hashOn": USER,
    },
    "maglev, largest": {
        "type": "Maglev",
        "maglev": {"tableSize": 5000011},
        "hashOn": USER,
    },
    "every kind of hash key": {
        "type": "Maglev",
        "hashOn": [
            {
                "header": {
                    "name": "x-user",
                    "regex": {"pattern": "^u-(.*)$", "substitution": r"\1"},
                },
                "terminal": True,
            },
            {"header": {"name": ":path"}},
            {"cookie": {"name": "sid", "ttl": "1h", "path": "/a", "secure": True}},
            {"cookie": {"name": "sid2", "sameSite": "None"}},
            {"queryParameter": {"name": "user"}},
            {"sourceIP": {}},
        ],
    },
    "ip hash": {"type": "IPHash"},
    "ip hash, ring": {"type": "IPHash", "ipHash": {"algorithm": "RingHash"}},
    "ip hash, forwarded": {
        "type": "IPHash",
        "ipHash": {"addressFrom": "XForwardedFor"},
    },
    "orca": {
        "type": "PerformanceBased",
        "performanceBased": {"source": "OrcaHeaders"},
    },
    "orca, every parameter": {
        "type": "PerformanceBased",
        "performanceBased": {
            "source": "OrcaHeaders",
            "metrics": ["mem_utilization", "named_metrics.queue", "utilization.disk"],
            "errorPenalty": 0,
            "blackoutPeriod": "1s",
            "expiration": "1h",
            "updatePeriod": "100ms",
        },
        "slowStart": {"window": "1s", "aggression": 0.1, "minWeightPercent": 1},
    },
    "orca, out of band": {
        "type": "PerformanceBased",
        "performanceBased": {
            "source": "OrcaOutOfBand",
            "reportPeriod": "100ms",
            "reportPort": 65535,
        },
    },
}
"""What a user may write, at the edges of every range."""

_DURATIONS = st.sampled_from(
    ["0s", "1ms", "99ms", "100ms", "500ms", "1s", "1m30s", "2h", "87600h", "87601h"]
)
_NUMBERS = st.sampled_from(
    [-1, 0, 0.001, 0.5, 1, 10, 33.5, 99, 100, 101, float("nan"), float("inf")]
)
_NAMES = st.sampled_from(
    ["user", "X-User", ":path", ":scheme", "a b", "", "a;b", "a&b", "é", "x" * 256]
)
_PATTERNS = st.sampled_from(
    [
        *(".*", "^([^,]*).*$", "(?P<n>x)", "(", "(?=x)", r"(x)\1", "x{2,1}"),
        *("[[:alpha:]]", r"\pL", "é{95}", "é{96}", "x{96}", "x{97}", "(?P<é>x)"),
    ]
)


def _optional(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries({}, optional=fields)


_HEADERS = st.fixed_dictionaries(
    {"name": _NAMES},
    optional={
        "regex": st.fixed_dictionaries(
            {"pattern": _PATTERNS, "substitution": st.sampled_from([r"\1", "x", r"\9"])}
        )
    },
)
_COOKIES = st.fixed_dictionaries(
    {"name": _NAMES},
    optional={
        "ttl": _DURATIONS,
        "path": st.sampled_from(["/", "/shop", "shop", "/;a", ""]),
        "sameSite": st.sampled_from(["Strict", "Lax", "None"]),
        "secure": st.booleans(),
    },
)
_HASH_KEYS = _optional(
    header=_HEADERS,
    cookie=_COOKIES,
    queryParameter=st.fixed_dictionaries({"name": _NAMES}),
    sourceIP=st.just({}),
    terminal=st.booleans(),
)
_HASH_ONE_KEY = st.one_of(
    st.fixed_dictionaries({"header": _HEADERS}),
    st.fixed_dictionaries({"cookie": _COOKIES}),
    st.just({"sourceIP": {}, "terminal": True}),
    _HASH_KEYS,
)
_HASH_ON = st.lists(_HASH_ONE_KEY, min_size=1, max_size=3)
_SLOW_STARTS = st.fixed_dictionaries(
    {"window": _DURATIONS},
    optional={"aggression": _NUMBERS, "minWeightPercent": _NUMBERS},
)
# Sizes stay small: a batch has many rings, and an Envoy builds them all.
_RINGS = _optional(
    minimumRingSize=st.sampled_from([0, 1, 1024, 4096]),
    maximumRingSize=st.sampled_from([0, 1, 512, 1024, 65536, 8388608, 8388609]),
    hashFunction=st.sampled_from(["XXHash", "MurmurHash2"]),
    boundedLoadPercent=st.sampled_from([0, 50, 100, 150, 10000, 10001]),
)
_TABLES = _optional(
    tableSize=st.sampled_from([0, 1, 2, 250, 251, 1009, 65536, 65537]),
    boundedLoadPercent=st.sampled_from([0, 99, 100, 10000]),
)
_ORCA = st.fixed_dictionaries(
    {"source": st.just("OrcaHeaders")},
    optional={
        "metrics": st.lists(
            st.sampled_from(
                ["cpu_utilization", "named_metrics.", "named_metrics.q", "nonsense", ""]
            ),
            max_size=2,
        ),
        "errorPenalty": _NUMBERS,
        "blackoutPeriod": _DURATIONS,
        "expiration": _DURATIONS,
        "updatePeriod": _DURATIONS,
    },
)


def _block(
    type_: str,
    required: dict[str, st.SearchStrategy[object]] | None = None,
    **optional: st.SearchStrategy[object],
) -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries(
        {"type": st.just(type_), **(required or {})}, optional=optional
    )


DOUBTFUL: st.SearchStrategy[Spec] = st.one_of(
    _block("RoundRobin", slowStart=_SLOW_STARTS),
    _block("Weighted", slowStart=_SLOW_STARTS),
    _block(
        "LeastRequest",
        slowStart=_SLOW_STARTS,
        leastRequest=_optional(
            choiceCount=st.sampled_from([0, 1, 2, 100, 101]),
            activeRequestBias=_NUMBERS,
        ),
    ),
    _block("RingHash", {"hashOn": _HASH_ON}, ringHash=_RINGS),
    _block("Maglev", {"hashOn": _HASH_ON}, maglev=_TABLES),
    _block("PerformanceBased", {"performanceBased": _ORCA}, slowStart=_SLOW_STARTS),
)
"""What a user might write: the API refuses some of it, Envoy must like the rest."""
