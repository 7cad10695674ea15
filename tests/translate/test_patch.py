"""Patches of clusters: what is merged, and what Envoy would not know."""

import json
from collections.abc import Mapping

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.message import Message

from tests.translate.mesh_input import Spec, make_upstream
from xds_server.mesh.misfit import Misfit
from xds_server.mesh.model import Discovery, Endpoint, Protocol
from xds_server.translate.cluster import build_cluster, try_patch
from xds_server.translate.patch import PatchError

WEB = Endpoint(address="10.0.0.1", port=80)
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
RAW_BUFFER = (
    "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
)
POLICIES = "type.googleapis.com/envoy.extensions.load_balancing_policies"
ROUND_ROBIN = f"{POLICIES}.round_robin.v3.RoundRobin"
RING_HASH = f"{POLICIES}.ring_hash.v3.RingHash"
OVERRIDE_HOST = f"{POLICIES}.override_host.v3.OverrideHost"
WRR_LOCALITY = f"{POLICIES}.wrr_locality.v3.WrrLocality"
LOAD_AWARE = f"{POLICIES}.load_aware_locality.v3.LoadAwareLocality"

NOTHING_SPOKEN: Spec = {"explicit_http_config": None}


def patched(patch: Mapping[str, object], **sections: Spec) -> cluster_pb2.Cluster:
    spec = {**sections, "envoyPatch": {"cluster": dict(patch)}}
    body = build_cluster(make_upstream(WEB, spec=spec)).body
    return cluster_pb2.Cluster.FromString(body)


def plain(**sections: Spec) -> cluster_pb2.Cluster:
    body = build_cluster(make_upstream(WEB, spec=sections)).body
    return cluster_pb2.Cluster.FromString(body)


def misfits(patch: Mapping[str, object], **sections: Spec) -> list[Misfit]:
    spec = {**sections, "envoyPatch": {"cluster": dict(patch)}}
    return list(try_patch(make_upstream(WEB, spec=spec)))


def balanced(kind: str, **fields: object) -> Spec:
    """Return a patch to a policy of this *kind*, which may be in others, too."""
    typed = {"@type": kind, **fields}
    entry = {"typed_extension_config": {"name": "a", "typed_config": typed}}
    return {"load_balancing_policy": {"policies": [entry]}}


def inside(kind: str, **fields: object) -> object:
    """Return what `balanced` would patch in, as a policy in another one."""
    return balanced(kind, **fields)["load_balancing_policy"]


def unpacked(message: Message, cluster: cluster_pb2.Cluster) -> Message:
    assert cluster.typed_extension_protocol_options[OPTIONS].Unpack(message)
    return message


def test_what_is_written_is_merged_and_the_rest_stays() -> None:
    cluster = patched(
        {"connect_timeout": "3s", "track_cluster_stats": {"timeout_budgets": True}}
    )
    expected = plain()
    expected.connect_timeout.FromSeconds(3)
    expected.track_cluster_stats.timeout_budgets = True

    assert cluster == expected


def test_an_any_is_merged_into_without_its_type() -> None:
    common = {"common_http_protocol_options": {"max_headers_count": 50}}
    cluster = patched({"typed_extension_protocol_options": {OPTIONS: common}})
    found = http_protocol_options_pb2.HttpProtocolOptions()
    before = http_protocol_options_pb2.HttpProtocolOptions()
    unpacked(found, cluster)
    unpacked(before, plain())
    before.common_http_protocol_options.max_headers_count.value = 50

    assert found == before


def test_null_takes_out() -> None:
    limits: Spec = {"maxRequests": 5}
    without = patched({"circuit_breakers": None}, circuitBreaker=limits)

    assert plain(circuitBreaker=limits).HasField("circuit_breakers")
    assert without == plain()


def test_lists_are_replaced() -> None:
    slow = {
        "@type": ROUND_ROBIN,
        "slow_start_config": {"slow_start_window": "10s"},
    }
    policy = {"typed_extension_config": {"name": "mine", "typed_config": slow}}
    cluster = patched({"load_balancing_policy": {"policies": [policy]}})
    (found,) = cluster.load_balancing_policy.policies

    assert found.typed_extension_config.name == "mine"


def test_a_type_that_nothing_else_uses_is_known() -> None:
    socket = {"name": "raw", "typed_config": {"@type": RAW_BUFFER}}
    cluster = patched({"transport_socket": socket})

    assert cluster.transport_socket.typed_config.type_url == RAW_BUFFER


@pytest.mark.parametrize(
    ("patch", "place", "said"),
    [
        ({"unknown": 1}, "unknown", "envoy.config.cluster.v3.Cluster has no such"),
        ({"connectTimeout": "1s"}, "connectTimeout", "has no such field"),
        ({"connect_timeout": "1x"}, "connect_timeout", "no value of this field"),
        ({"connect_timeout": 1}, "connect_timeout", "no value of this field"),
        ({"health_checks": {}}, "health_checks", "no value of this field"),
        ({"filters": [{"label": "a"}]}, "filters.0.label", "has no such field"),
        ({"outlier_detection": 5}, "outlier_detection", "no value of this field"),
        (
            {"outlier_detection": {"consecutive_5xx": -1}},
            "outlier_detection.consecutive_5xx",
            "no value of this field",
        ),
        (
            {"typed_extension_protocol_options": {OPTIONS: {"a": 1}}},
            f"typed_extension_protocol_options.{OPTIONS}.a",
            "has no such field",
        ),
        (
            {"typed_extension_protocol_options": {"mine": {"a": 1}}},
            "typed_extension_protocol_options.mine",
            "must have the @type of a message of Envoy",
        ),
        (
            {"typed_extension_protocol_options": 5},
            "typed_extension_protocol_options",
            "no value of this field",
        ),
        (
            {"transport_socket": {"typed_config": {"@type": "a/envoy.no.Such"}}},
            "transport_socket.typed_config.@type",
            'must have the @type of a message of Envoy (got "a/envoy.no.Such")',
        ),
        (
            {"transport_socket": {"typed_config": {"@type": "os.path"}}},
            "transport_socket.typed_config.@type",
            "must have the @type",
        ),
        ({"name": "a"}, "name", "may not be patched"),
        ({"type": "STATIC"}, "type", "may not be patched"),
        ({"type": None}, "type", "may not be patched"),
        ({"cluster_type": {}}, "cluster_type", "may not be patched"),
        ({"eds_cluster_config": {}}, "eds_cluster_config", "may not be patched"),
        ({"load_assignment": {}}, "load_assignment", "may not be patched"),
        ({"lb_policy": "RANDOM"}, "lb_policy", "Envoy ignores it"),
    ],
)
def test_what_envoy_would_not_know_is_told_at_its_place(
    patch: Spec, place: str, said: str
) -> None:
    (misfit,) = misfits(patch)

    assert ".".join(map(str, misfit.path)) == f"cluster.{place}"
    assert said in misfit.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {"name": "a", "zebra": 1, "connect_timeout": 5}

    assert [each.path[-1] for each in misfits(wrong)] == [
        *("name", "connect_timeout", "zebra")
    ]


def test_the_nearest_name_is_guessed() -> None:
    (misfit,) = misfits({"conect_timeout": "1s"})

    assert misfit.hint == "did you mean connect_timeout?"


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"connect_timeout": "0s"}, "connect_timeout below 1 ms"),
        ({"load_balancing_policy": None}, "not one policy"),
        (
            {"common_lb_config": {"healthy_panic_threshold": {"value": "NaN"}}},
            "healthy_panic_threshold not in 0..100",
        ),
        (
            {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}},
            "a limit of 0, or none",
        ),
        (
            {"typed_extension_protocol_options": {OPTIONS: NOTHING_SPOKEN}},
            "not one choice of a protocol",
        ),
        ({"outlier_detection": {"interval": "0s"}}, "outlier interval not above 0"),
        (
            balanced(ROUND_ROBIN, slow_start_config={"slow_start_window": "0s"}),
            "slow_start_window below 1 s",
        ),
    ],
)
def test_what_breaks_an_envoy_is_refused_after_the_merge(
    patch: Spec, said: str
) -> None:
    """By the rules for what is generated."""
    (misfit,) = misfits(patch, outlierDetection={})

    assert misfit.path == ("cluster",)
    assert said in misfit.message


SOURCES = [{"header": "x-to"}]
NO_RING = inside(RING_HASH, minimum_ring_size=0, maximum_ring_size=8)
LOADS: Spec = {
    "smoothing_time_constant": "1s",
    "weight_update_period": "1s",
    "weight_expiration_period": "60s",
}


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (
            balanced(
                OVERRIDE_HOST, override_host_sources=SOURCES, fallback_policy=NO_RING
            ),
            "ring size out of range",
        ),
        (
            balanced(OVERRIDE_HOST, override_host_sources=SOURCES),
            "not one policy",
        ),
        (
            balanced(WRR_LOCALITY, endpoint_picking_policy=NO_RING),
            "ring size out of range",
        ),
        (
            balanced(LOAD_AWARE, endpoint_picking_policy=NO_RING, **LOADS),
            "ring size out of range",
        ),
        (
            balanced(
                OVERRIDE_HOST,
                override_host_sources=SOURCES,
                fallback_policy=inside(
                    LOAD_AWARE,
                    endpoint_picking_policy=inside(ROUND_ROBIN),
                    **{**LOADS, "weight_update_period": "0.01s"},
                ),
            ),
            "weight_update_period below 100 ms",
        ),
    ],
)
def test_a_policy_inside_of_another_is_checked_too(patch: Spec, said: str) -> None:
    (misfit,) = misfits(patch)

    assert said in misfit.message


def test_a_sound_policy_inside_of_others_is_taken() -> None:
    loads = inside(LOAD_AWARE, endpoint_picking_policy=inside(ROUND_ROBIN), **LOADS)
    patch = balanced(
        OVERRIDE_HOST, override_host_sources=SOURCES, fallback_policy=loads
    )

    assert not misfits(patch)


TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def certified(private_key: Spec) -> Spec:
    certificate = {
        "certificate_chain": {"inline_string": "public"},
        "private_key": private_key,
    }
    context = {"@type": TLS, "common_tls_context": {"tls_certificates": [certificate]}}
    return {"transport_socket": {"name": "tls", "typed_config": context}}


def test_a_secret_is_not_taken_and_not_told() -> None:
    """It would be in the policy for everybody to read, and in `explain`."""
    (misfit,) = misfits(certified({"inline_string": "swordfish"}))

    assert misfit.path[-4:] == ("tls_certificates", 0, "private_key", "inline_string")
    assert "swordfish" not in str(misfit)
    assert misfits(certified({"filename": "/certificates/tls.key"})) == []


def test_every_form_of_a_cluster_is_patched() -> None:
    """Where names are endpoints, the cluster holds them."""
    spec: Spec = {"envoyPatch": {"cluster": {"connect_timeout": "3s"}}}
    name = Endpoint(address="db.example", port=5432)
    upstream = make_upstream(
        name, discovery=Discovery.DNS, protocol=Protocol.TCP, spec=spec
    )
    cluster = cluster_pb2.Cluster.FromString(build_cluster(upstream).body)

    assert cluster.connect_timeout.seconds == 3
    assert cluster.HasField("load_assignment")


def test_what_cannot_be_merged_is_never_sent() -> None:
    """Whoever has not asked before is told, with the place of the first of it."""
    spec: Spec = {"envoyPatch": {"cluster": {"name": "a"}}}

    with pytest.raises(PatchError, match=r"envoyPatch\.cluster\.name: may not"):
        build_cluster(make_upstream(WEB, spec=spec))


def test_the_text_of_a_patch_does_not_depend_on_the_order_of_its_keys() -> None:
    one = json.loads('{"connect_timeout": "3s", "alt_stat_name": "a"}')
    other = json.loads('{"alt_stat_name": "a", "connect_timeout": "3s"}')
    specs = [{"envoyPatch": {"cluster": each}} for each in (one, other)]
    first, second = (make_upstream(WEB, spec=spec) for spec in specs)

    assert first == second
