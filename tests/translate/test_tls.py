"""What clusters say of TLS, and the secrets they refer to; goldens have the rest."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2

from tests.translate.mesh_input import Spec, make_service, make_upstream, sections
from xds_server.api.problem import ObjectKey
from xds_server.mesh.model import (
    Client,
    Discovery,
    Endpoint,
    Origin,
    Section,
    Upstream,
    Variant,
)
from xds_server.translate.check import TranslateError
from xds_server.translate.service import build_service
from xds_server.xds import CLUSTER, NOWHERE, SECRET, Place, Resource

WEB = Endpoint(address="10.0.0.1", port=80)
CA: Spec = {"file": "/etc/tls/ca.crt"}
PAIR: Spec = {"certFile": "/etc/tls/tls.crt", "keyFile": "/etc/tls/tls.key"}
BATCH = frozenset([("tier", "batch")])


def simple(**more: object) -> Spec:
    return {"tls": {"mode": "Simple", "ca": CA, **more}}


def built(*upstreams: Upstream, client: Client = Client.ENVOY) -> list[Resource]:
    return list(build_service(make_service(*upstreams), client))


def context_of(
    resources: Iterable[Resource], place: Place = NOWHERE
) -> tls_pb2.UpstreamTlsContext:
    (cluster,) = (each for each in resources if each.type_url == CLUSTER)
    message = cluster_pb2.Cluster.FromString(cluster.at(place).body)
    context = tls_pb2.UpstreamTlsContext()
    assert message.transport_socket.typed_config.Unpack(context)
    return context


def secrets_of(resources: Iterable[Resource]) -> dict[str, secret_pb2.Secret]:
    return {
        each.name: secret_pb2.Secret.FromString(each.body)
        for each in resources
        if each.type_url == SECRET
    }


def referred_to(context: tls_pb2.UpstreamTlsContext) -> set[str]:
    common = context.common_tls_context
    found = {each.name for each in common.tls_certificate_sds_secret_configs}
    if common.HasField("combined_validation_context"):
        authority = common.combined_validation_context
        found.add(authority.validation_context_sds_secret_config.name)
    return found


def names_in(context: tls_pb2.UpstreamTlsContext) -> list[str]:
    combined = context.common_tls_context.combined_validation_context
    matchers = combined.default_validation_context.match_typed_subject_alt_names
    return [each.matcher.exact for each in matchers]


def by(policy: str, upstream: Upstream) -> Upstream:
    """Return *upstream* as if *policy* had said how it is encrypted."""
    key = ObjectKey("TrafficPolicy", "shop", policy)
    return replace(upstream, origins=(Origin(Section.TLS, key),))


def test_a_cluster_refers_to_its_own_secrets() -> None:
    spec: Spec = {"tls": {"mode": "Mutual", "ca": CA, "clientCertificate": PAIR}}
    resources = built(make_upstream(WEB, spec=spec))
    secrets = secrets_of(resources)

    assert len(secrets) == 2
    assert referred_to(context_of(resources)) == set(secrets)
    assert {name.partition("/")[0] for name in secrets} == {"ca", "client"}
    assert all(each.owners == ("Service shop/web",) for each in resources)


def test_who_names_the_same_files_has_the_same_secrets() -> None:
    """Each costs an Envoy one of the 128 inotify instances of a user."""
    spec: Spec = {"tls": {"mode": "Mutual", "ca": CA, "clientCertificate": PAIR}}
    web, api = (make_upstream(WEB, service=name, spec=spec) for name in ("web", "api"))
    first, second = built(by("one", web)), built(by("another", api))

    assert secrets_of(first) == secrets_of(second)
    assert {each.owners for each in second if each.type_url == SECRET} == {
        ("TrafficPolicy shop/another",)
    }


@pytest.mark.parametrize(
    ("more", "sni", "alternatives"),
    [
        ({}, "web.shop.svc", ["web.shop.svc"]),
        ({"sni": "a.example"}, "a.example", ["a.example"]),
        (
            {"sni": "a.example", "subjectAltNames": ["b.example"]},
            "a.example",
            ["b.example"],
        ),
    ],
)
def test_who_is_asked_for_is_who_must_answer(
    more: Spec, sni: str, alternatives: list[str]
) -> None:
    context = context_of(built(make_upstream(WEB, spec=simple(**more))))

    assert context.sni == sni
    assert not context.auto_host_sni
    assert names_in(context) == alternatives


@pytest.mark.parametrize("names", [["a.example"], ["a.example", "b.example"]])
def test_endpoints_with_names_are_asked_for_these(names: list[str]) -> None:
    endpoints = [Endpoint(address=name, port=443) for name in names]
    upstream = make_upstream(*endpoints, discovery=Discovery.DNS, spec=simple())
    context = context_of(built(upstream))

    assert context.auto_host_sni is (len(names) > 1)
    assert context.sni == ("" if len(names) > 1 else "a.example")
    assert names_in(context) == names


def test_secrets_of_some_clients_are_there_beside_those_of_all() -> None:
    """What is the same for both is there once."""
    plain = make_upstream(WEB)
    spec: Spec = {"tls": {"mode": "Mutual", "ca": CA, "clientCertificate": PAIR}}
    for everybody, secrets in ((plain, 2), (make_upstream(WEB, spec=simple()), 2)):
        mine = replace(everybody, sections=sections(spec))
        upstream = replace(everybody, variants=(Variant(labels=BATCH, upstream=mine),))
        resources = built(upstream)

        assert len(secrets_of(resources)) == secrets
        assert referred_to(context_of(resources, Place(labels=BATCH))) == set(
            secrets_of(resources)
        )


def test_what_is_not_encrypted_has_no_secrets() -> None:
    for spec in ({}, {"tls": {"mode": "Disable"}}):
        resources = built(make_upstream(WEB, spec=spec))
        (cluster,) = (each for each in resources if each.type_url == CLUSTER)

        assert not secrets_of(resources)
        assert not cluster_pb2.Cluster.FromString(cluster.body).HasField(
            "transport_socket"
        )


def test_grpc_clients_are_told_of_no_secrets() -> None:
    assert not secrets_of(built(make_upstream(WEB, spec=simple()), client=Client.GRPC))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"ca": None}, "nobody checks"),
        ({"insecure_skip_verify": True}, "nobody checks"),
    ],
)
def test_what_nobody_would_check_is_not_sent(changed: Spec, rule: str) -> None:
    """The API refuses both."""
    upstream = make_upstream(WEB, spec=simple())
    tls = upstream.sections.tls
    assert tls is not None
    wrong = replace(upstream.sections, tls=tls.model_copy(update=dict(changed)))

    with pytest.raises(TranslateError, match=rule):
        built(replace(upstream, sections=wrong))


def test_the_best_protocol_is_not_asked_for_without_encryption() -> None:
    upstream = make_upstream(WEB, spec={"connection": {"protocol": "Auto"}})

    with pytest.raises(TranslateError, match="without TLS"):
        built(upstream)
