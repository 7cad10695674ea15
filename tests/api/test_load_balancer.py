"""What goes together, what the defaults are, and how algorithms may be spelled."""

import json

import pytest
from hypothesis import given, strategies as st

from tests.api.corpus import (
    BLOCKS,
    EXAMPLES,
    HASHED,
    SOURCE_IP,
    VARIANTS,
    WITH_SLOW_START,
    WITH_WEIGHTS,
)
from tests.api.policies import HEAD, errors, load_balancer
from xds_server.api.decode import decode
from xds_server.api.policy import (
    HashKey,
    IPHash,
    LeastRequest,
    LoadBalancer,
    LoadBalancerType,
    Maglev,
    PerformanceBased,
    PerformanceSource,
    RingHash,
    Selection,
    SourceIP,
    Weighted,
    WeightRule,
    Weights,
    default_load_balancer,
    parse_load_balancer_type,
)
from xds_server.api.problem import Fault, report


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_algorithm_needs_no_more_than_this(variant: str) -> None:
    assert (
        load_balancer(f"{{{VARIANTS[variant]}}}").type == variant.split(maxsplit=1)[0]
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("field", "written", "supported"),
    [
        ("slowStart", "slowStart: {window: 10s}", WITH_SLOW_START),
        ("weights", "weights: {default: 2}", WITH_WEIGHTS),
        ("hashOn", SOURCE_IP, HASHED),
    ],
)
def test_shared_sections_go_with_some_algorithms_only(
    variant: str, field: str, written: str, supported: set[str]
) -> None:
    rest = VARIANTS[variant].replace(f", {SOURCE_IP}", "")
    if field != "hashOn" and variant in HASHED:
        rest += f", {SOURCE_IP}"
    found = errors(f"{{{rest}, {written}}}")

    assert bool(found) == (variant not in supported)
    assert all(error.startswith(f"{field}: not supported by ") for error in found)


@pytest.mark.parametrize(
    ("variant", "block"),
    [
        (variant, block)
        for variant in VARIANTS
        for block in BLOCKS.values()
        if BLOCKS.get(variant.split()[0]) != block
    ],
)
def test_a_block_is_allowed_for_its_own_algorithm_only(
    variant: str, block: str
) -> None:
    owner = next(owner for owner, own in BLOCKS.items() if own == block)
    found = errors(f"{{{VARIANTS[variant]}, {block}: {{}}}}")

    kind = variant.split(maxsplit=1)[0]
    assert found == [f"{block}: only allowed when type is {owner} (got {kind})"]


def test_without_a_type_it_is_round_robin() -> None:
    assert load_balancer("{}") == LoadBalancer(type=LoadBalancerType.ROUND_ROBIN)
    assert errors("{maglev: {}}") == [
        "maglev: only allowed when type is Maglev (got RoundRobin, the default)"
    ]


@pytest.mark.parametrize("written", ["{type: Maglev}", "{type: RingHash, hashOn: []}"])
def test_hashes_need_something_to_hash(written: str) -> None:
    (error,) = errors(written)

    assert error.startswith("hashOn: required with type ")


def test_the_block_named_like_the_type_is_there_and_no_other() -> None:
    """Readers of a policy never fill in defaults themselves."""
    keys = (HashKey(source_ip=SourceIP()),)
    expected = {
        "{type: LeastRequest}": {"least_request": LeastRequest()},
        f"{{type: RingHash, {SOURCE_IP}}}": {"ring_hash": RingHash(), "hash_on": keys},
        f"{{type: Maglev, {SOURCE_IP}}}": {"maglev": Maglev(), "hash_on": keys},
        "{type: IPHash}": {"ip_hash": IPHash()},
        "{type: Weighted}": {"weighted": Weighted(), "weights": Weights()},
        "{type: PerformanceBased}": {"performance_based": PerformanceBased()},
        "{type: Random}": {},
    }

    for written, blocks in expected.items():
        found = load_balancer(written)
        given = {name: value for name, value in found if value and name != "type"}

        assert given == blocks


def test_weights_come_from_the_annotation_by_default() -> None:
    weights = load_balancer("{type: Weighted}").weights

    assert weights is not None
    assert weights.rules == (
        WeightRule(from_annotation="traffic.xds-server.dev/weight"),
    )
    assert weights.default == 1


def test_null_means_absent_everywhere() -> None:
    written = "{type: LeastRequest, leastRequest: {choiceCount: null}, maglev: ~}"

    assert load_balancer(written) == load_balancer("{type: LeastRequest}")


def test_a_ring_that_must_be_large_may_be_large() -> None:
    """A maximum that is left out never contradicts the minimum."""
    block = load_balancer(
        f"{{type: RingHash, {SOURCE_IP}, ringHash: {{minimumRingSize: 100000}}}}"
    ).ring_hash

    assert block is not None
    assert (block.minimum_ring_size, block.maximum_ring_size) == (100000, 100000)


def test_a_full_scan_has_no_number_of_choices() -> None:
    written = "{selectionMethod: FullScan, choiceCount: 2}"

    assert errors(f"{{type: LeastRequest, leastRequest: {written}}}") == [
        "leastRequest.choiceCount: not allowed when selectionMethod is FullScan (got 2)"
    ]


def test_all_faults_of_a_policy_are_told_at_once() -> None:
    """A wrong value does not hide that its section should not be there at all."""
    written = (
        "{type: Random, slowStart: {window: 1ms, agression: 1}, weights: {default: -1},"
        " leastRequest: {choiceCount: 0}}"
    )

    assert {error.partition(":")[0] for error in errors(written)} == {
        "leastRequest",
        "leastRequest.choiceCount",
        "slowStart",
        "slowStart.agression",
        "slowStart.window",
        "weights",
        "weights.default",
    }


def test_balancers_can_be_keys_of_a_cache() -> None:
    """Equal policies are one entry, however they were written."""
    rules = "rules: [{matchLabels: {a: b, c: d}, weight: 2}]"
    other = "rules: [{weight: 2, matchLabels: {c: d, a: b}}]"

    assert {
        load_balancer(f"{{type: Weighted, weights: {{{rules}}}}}"),
        load_balancer(f"{{type: WEIGHTED, weights: {{{other}}}}}"),
    } == {load_balancer(f"{{type: Weighted, weights: {{{rules}}}}}")}


@pytest.mark.parametrize(
    ("spelling", "meant"),
    [
        ("ROUND_ROBIN", "RoundRobin"),
        ("round-robin", "RoundRobin"),
        ("RANDOM", "Random"),
        ("WEIGHTED", "Weighted"),
        ("WEIGHTED_ROUND_ROBIN", "Weighted"),
        ("LEAST_REQUEST", "LeastRequest"),
        ("LEAST_CONN", "LeastRequest"),
        ("WEIGHTED_LEAST_REQUEST", "LeastRequest"),
        ("RING_HASH", "RingHash"),
        ("MAGLEV", "Maglev"),
        ("CONSISTENT_HASH", "Maglev"),
        ("IP_HASH", "IPHash"),
        ("SOURCE_IP", "IPHash"),
        ("PERFORMANCE_BASED", "PerformanceBased"),
        ("CLIENT_SIDE_WEIGHTED_ROUND_ROBIN", "PerformanceBased"),
    ],
)
def test_the_names_of_envoy_and_istio_are_understood(spelling: str, meant: str) -> None:
    assert parse_load_balancer_type(spelling) is LoadBalancerType(meant)


@pytest.mark.parametrize("spelling", ["PASSTHROUGH", "CLUSTER_PROVIDED", "SUBSET"])
def test_algorithms_that_cannot_be_are_refused_with_the_reason(spelling: str) -> None:
    found = parse_load_balancer_type(spelling)

    assert isinstance(found, Fault)
    assert found.message.startswith(f"{spelling} is not supported: ")
    assert errors(f"{{type: {spelling}}}") == [f"type: {found.message}"]


def test_another_spelling_is_told_as_a_notice() -> None:
    written = "{type: LEAST_CONN, leastRequest: {selectionMethod: full-scan}}"
    decoded = decode(f"{HEAD}  loadBalancer: {written}\n".encode(), source="x.yaml")

    assert report(decoded.problems) == (
        "x.yaml:6:24: notice: spec.loadBalancer.type: "
        "LEAST_CONN is read as LeastRequest\n"
        "  hint: write LeastRequest\n"
        "x.yaml:6:68: notice: spec.loadBalancer.leastRequest.selectionMethod: "
        "full-scan is read as FullScan\n"
        "  hint: write FullScan\n"
        "0 errors in 0 files"
    )
    assert len(decoded.documents) == 1


def test_envoys_name_for_orca_needs_no_source() -> None:
    written = "{type: CLIENT_SIDE_WEIGHTED_ROUND_ROBIN, performanceBased: {%s}}"
    block = load_balancer(written % "errorPenalty: 2").performance_based

    assert block is not None
    assert block.source is PerformanceSource.ORCA_HEADERS
    assert block.metrics == ("cpu_utilization",)
    (error,) = errors(written % "source: ControlPlane, errorPenalty: 2")
    assert error.startswith("performanceBased.errorPenalty: only allowed when ")


@pytest.mark.parametrize("spelled", ["source: CONTROL_PLANE, ", "source: null, ", ""])
@pytest.mark.parametrize(
    ("field", "needed", "fitting", "other"),
    [
        ("reportPeriod: 1s", "OrcaOutOfBand", "ORCA_OUT_OF_BAND", "OrcaHeaders"),
        ("reportPort: 9090", "OrcaOutOfBand", "ORCA_OUT_OF_BAND", "OrcaHeaders"),
        ("errorPenalty: 2", "OrcaHeaders or OrcaOutOfBand", "OrcaHeaders", None),
        ("blackoutPeriod: 1s", "OrcaHeaders or OrcaOutOfBand", "OrcaHeaders", None),
        ("expiration: 1m", "OrcaHeaders or OrcaOutOfBand", "OrcaOutOfBand", None),
        ("balance: RoundRobin", "ControlPlane", "ControlPlane", "OrcaHeaders"),
    ],
)
def test_each_source_of_performance_has_fields_of_its_own(
    field: str, needed: str, fitting: str, other: str | None, spelled: str
) -> None:
    written = "{type: PerformanceBased, performanceBased: {%s%s}}"
    refused = f"performanceBased.{field.partition(':')[0]}: only allowed when source is"
    by_default = errors(written % (spelled, field))

    assert errors(written % (f"source: {fitting}, ", field)) == []
    if other:
        assert errors(written % (f"source: {other}, ", field)) == [
            f"{refused} {needed} (got {other})"
        ]
    if needed == "ControlPlane":
        assert by_default == []
    else:
        (error,) = by_default
        assert error.startswith(f"{refused} {needed} (got ")


def test_what_is_left_out_depends_on_the_source() -> None:
    """Latency is measured without a metric; ORCA's own default is utilization."""
    computed = load_balancer("{type: PerformanceBased}").performance_based
    written = "{type: PerformanceBased, performanceBased: {source: OrcaHeaders}}"
    reported = load_balancer(written).performance_based

    assert computed
    assert reported
    assert computed.is_measured
    assert not reported.is_measured
    assert (computed.metrics, computed.update_period.total_seconds()) == ((), 10)
    assert (reported.metrics, reported.update_period.total_seconds()) == (
        ("cpu_utilization",),
        1,
    )


@pytest.mark.parametrize("kind", LoadBalancerType)
def test_every_algorithm_has_a_default_for_the_annotation(
    kind: LoadBalancerType,
) -> None:
    """A Service's annotation can name any algorithm and nothing else."""
    found = default_load_balancer(kind)

    assert found.type is kind
    if kind in {LoadBalancerType.RING_HASH, LoadBalancerType.MAGLEV}:
        assert found.hash_on == (HashKey(source_ip=SourceIP()),)
    if kind is LoadBalancerType.PERFORMANCE_BASED:
        assert found.performance_based == PerformanceBased()


def test_the_annotation_knows_envoys_name_for_orca() -> None:
    found = default_load_balancer("CLIENT_SIDE_WEIGHTED_ROUND_ROBIN").performance_based

    assert found == PerformanceBased(source=PerformanceSource.ORCA_HEADERS)


def test_python_may_use_its_own_field_names_and_documents_may_not() -> None:
    ours = LoadBalancer(
        type=LoadBalancerType.WEIGHTED, weighted=Weighted(selection=Selection.RANDOM)
    )

    assert ours == load_balancer("{type: Weighted, weighted: {selection: Random}}")
    assert errors("{type: LeastRequest, least_request: {}}") == [
        "least_request: unknown field"
    ]


@pytest.mark.parametrize("written", EXAMPLES)
def test_examples_of_the_guide_are_taken(written: str) -> None:
    assert errors(written) == []


BLOCK_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "minimumRingSize": st.integers(1, 70000),
        "maximumRingSize": st.integers(70000, 8388608),
        "hashFunction": st.sampled_from(["XXHash", "MurmurHash2"]),
        "boundedLoadPercent": st.integers(100, 10000),
    },
)


@given(BLOCK_VALUES)
def test_a_policy_says_what_was_written_into_it(block: dict[str, object]) -> None:
    """Decoding and printing a valid block gives back every field that was given."""
    written = {"type": "RingHash", "hashOn": [{"sourceIP": {}}], "ringHash": block}
    found = load_balancer(json.dumps(written)).ring_hash

    assert found is not None
    printed = found.model_dump(mode="json", by_alias=True)
    assert {key: printed[key] for key in block} == block
    assert found.minimum_ring_size <= found.maximum_ring_size
