"""Bootstraps: what they say, what they refuse, and the ready files in `envoy/`."""

from typing import Literal

import pytest

from tests.conftest import GoldenCheck
from tests.translate.bootstrap_input import READY, Arguments, make_bootstrap
from xds_server.mesh.audience import audience_of, service_of
from xds_server.mesh.model import Audience, Role
from xds_server.translate.bootstrap import parse_address
from xds_server.translate.name import local_assignment_name
from xds_server.translate.render import bootstrap_as_mapping, to_yaml


@pytest.mark.parametrize("mode", ["delta", "sotw"])
@pytest.mark.parametrize("role", list(Role))
def test_the_ready_files_are_current(
    role: Role, mode: Literal["delta", "sotw"], golden: GoldenCheck
) -> None:
    changes: Arguments = {"node_id": role.value, "role": role, "mode": mode}
    if role is Role.GATEWAY:
        changes |= {"listen_address": "0.0.0.0", "listen_port": 8080}  # noqa: S104 - a gateway
    text = to_yaml(bootstrap_as_mapping(make_bootstrap(**changes)))

    golden(READY / f"{role.value}-{mode}.yaml", text)


def test_the_mesh_reads_back_what_the_node_says_of_itself() -> None:
    bootstrap = make_bootstrap(
        namespace="shop",
        role=Role.GATEWAY,
        listen_address="::1",
        listen_port=8080,
        labels={"app": "front"},
    )
    assert bootstrap.node is not None
    assert bootstrap.node.metadata is not None
    metadata = bootstrap.node.metadata.to_dict()

    assert metadata["labels"] == {"app": "front"}
    assert audience_of(metadata) == (
        Audience(
            namespace="shop",
            role=Role.GATEWAY,
            listen_address="::1",
            listen_port=8080,
        ),
        (),
    )


def test_the_locality_is_there_only_where_it_is_known() -> None:
    known = make_bootstrap(region="north", zone="north-a").node
    unknown = make_bootstrap().node

    assert unknown is not None
    assert unknown.locality is None
    assert known is not None
    assert known.locality is not None
    assert (known.locality.region, known.locality.zone) == ("north", "north-a")


@pytest.mark.parametrize(
    ("node_id", "namespace", "expected"),
    [
        ("a", None, "local/default/web"),
        ("a.shop", None, "local/shop/web"),
        ("a.shop", "b", "local/b/web"),
    ],
)
def test_a_client_of_a_service_has_a_cluster_of_its_own(
    node_id: str, namespace: str | None, expected: str
) -> None:
    """It is asked for by the name that the server takes from the node."""
    bootstrap = make_bootstrap(node_id=node_id, namespace=namespace, service="web")
    assert bootstrap.static_resources is not None
    assert bootstrap.cluster_manager is not None
    assert bootstrap.node is not None
    assert bootstrap.node.metadata is not None
    _, own = bootstrap.static_resources.clusters
    assert own.eds_cluster_config is not None
    metadata = bootstrap.node.metadata.to_dict()
    audience, complaints = audience_of(metadata, node_id=node_id)

    assert own.name == bootstrap.cluster_manager.local_cluster_name
    assert own.eds_cluster_config.service_name == expected
    assert complaints == ()
    assert local_assignment_name(*(service_of(metadata, audience.namespace) or ())) == (
        expected
    )


def test_a_client_of_no_service_has_none() -> None:
    manager = make_bootstrap().cluster_manager

    assert manager is not None
    assert manager.local_cluster_name == ""
    with pytest.raises(ValueError, match="service must be the name of a Service"):
        make_bootstrap(service="shop/web")


def test_every_envoy_asks_whether_to_report_its_load() -> None:
    """By a stream of the same server; what to report is the server's to say."""
    for service in (None, "web"):
        manager = make_bootstrap(service=service).cluster_manager
        assert manager is not None
        asked = manager.load_stats_config
        assert asked is not None
        (server,) = asked.grpc_services
        assert server.envoy_grpc is not None

        assert server.envoy_grpc.cluster_name == "xds-server"


def test_nothing_listens_for_statistics_unless_told_to() -> None:
    resources = make_bootstrap().static_resources

    assert resources is not None
    assert [cluster.name for cluster in resources.clusters] == ["xds-server"]
    assert resources.listeners == []


@pytest.mark.parametrize(
    ("admin", "asked"),
    [
        ("127.0.0.1:7", "127.0.0.1"),
        ("10.0.0.1:7", "10.0.0.1"),
        ("0.0.0.0:7", "127.0.0.1"),
        ("[::]:7", "::1"),
    ],
)
def test_statistics_are_asked_where_the_admin_listens(admin: str, asked: str) -> None:
    bootstrap = make_bootstrap(admin_address=admin, stats_address="0.0.0.0:9")
    text = to_yaml(bootstrap_as_mapping(bootstrap))
    clusters, _, _ = text.partition("dynamic_resources:")
    lines = [line.strip() for line in clusters.splitlines()]

    assert lines[-2:] == [f"address: {asked}", "port_value: 7"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:18000", ("127.0.0.1", 18000)),
        ("[::1]:1", ("::1", 1)),
        ("xds-server.xds-system.svc:65535", ("xds-server.xds-system.svc", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_address("xds_address", text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be host:port"),
        ("localhost", "must be host:port"),
        (":18000", "must be host:port"),
        ("localhost:http", "must be host:port"),
        ("localhost:²", "must be host:port"),
        ("::1:18000", "must be host:port"),
        ("a b:18000", "must be host:port"),
        ("[]:18000", "must have an IP address"),
        ("[localhost]:18000", "must have an IP address"),
        ("localhost:0", "must have a port of 1..65535"),
        ("localhost:70000", "must have a port of 1..65535"),
    ],
)
def test_anything_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        make_bootstrap(xds_address=text)

    assert str(caught.value).startswith("xds_address ")
    assert f"(got {text!r})" in str(caught.value) or "IP address" in reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (Arguments(admin_address="localhost:1"), "admin_address must have an IP"),
        (Arguments(listen_address="localhost"), "listen_address must have an IP"),
        (Arguments(listen_port=0), "listen_port must be 1..65535"),
        (Arguments(listen_port=65536), "listen_port must be 1..65535"),
        (Arguments(node_id=""), "node_id and node_cluster must not be empty"),
        (Arguments(node_cluster=""), "node_id and node_cluster must not be empty"),
        (Arguments(stats_address="localhost:1"), "stats_address must have an IP"),
        (Arguments(stats_address="::1"), "stats_address must be host:port"),
        (Arguments(stats_address="0.0.0.0:19000"), "another port than admin_address"),
        (Arguments(stats_address="0.0.0.0:15001"), "another port than listen_port"),
        (
            Arguments(stats_address="0.0.0.0:1", admin_address="127.0.0.1:0"),
            "admin_address must have a port of its own",
        ),
    ],
)
def test_what_an_envoy_could_not_use_is_refused(
    changes: Arguments, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        make_bootstrap(**changes)
