"""What is published of a mesh, where a Service of it cannot be translated."""

from unittest import mock

import pytest
from structlog.testing import capture_logs

from tests.mesh.documents import (
    HTTP,
    TCP,
    endpoint,
    node,
    policy,
    service,
    slice_of,
)
from tests.mesh.test_attachment import RANDOM
from tests.translate.test_selection import CONNECT, HEADER
from xds_server.api.document import Document
from xds_server.api.kubernetes import ServicePort, ServiceSpec
from xds_server.api.tls import CertificateAuthority, Tls, TlsMode
from xds_server.mesh.event import Applied, Deleted
from xds_server.mesh.index import Index
from xds_server.publish import Publisher
from xds_server.serve.ending import NotReadyError
from xds_server.serve.node import Node
from xds_server.snapshot.view import Snapshot, View
from xds_server.status import status_of
from xds_server.xds import (
    CLIENT_NAMESPACE,
    CLUSTER,
    ENDPOINT,
    LISTENER,
    PUSH_ORDER,
    ROUTE,
    SECRET,
    Place,
)

NODE = Node(id="a.shop")
ELSEWHERE = "not an address"
"""No decoder lets it pass, and no Envoy."""


class Mesh:
    """An index and what is published of it."""

    def __init__(self, *documents: Document) -> None:
        self.index = Index()
        self.snapshot = Snapshot()
        self.publisher = Publisher(self.index, self.snapshot)
        self.apply(*documents)

    def apply(self, *documents: Document) -> None:
        events = [Applied(document=document) for document in documents]
        self.publisher.publish(self.index.apply(events))

    def delete(self, document: Document) -> None:
        self.publisher.publish(self.index.apply([Deleted(key=document.key)]))

    @property
    def messages(self) -> list[str]:
        return [str(problem) for problem in self.publisher.problems]


def names(view: View, type_url: str) -> list[str]:
    return sorted(resource.name for resource in view.table(type_url))


def versions(view: View) -> list[str]:
    return [view.table(type_url).version for type_url in PUSH_ORDER]


def test_a_service_that_cannot_be_translated_takes_no_other_down() -> None:
    """It is left out, and reported at its place; the rest is as if it were not."""
    alone = Mesh(service("web")).publisher.acquire(NODE)
    mesh = Mesh(service("my.svc", source="bad.yaml"), service("web"))
    view = mesh.publisher.acquire(NODE)

    assert versions(view) == versions(alone)
    assert names(view, CLUSTER) == names(view, ENDPOINT) == ["shop/web/80"]
    (message,) = mesh.messages
    assert message == (
        "bad.yaml:1:1: cannot be sent to an Envoy: shop/my.svc/80: 'my.svc' is no DNS "
        "label\n  hint: it should have been refused before: please report a bug of "
        "xds-server"
    )


def test_connected_nodes_follow_the_other_services() -> None:
    mesh = Mesh(service("web"))
    view = mesh.publisher.acquire(NODE)
    mesh.apply(service("my.svc"))
    routes = view.table(ROUTE).version
    mesh.apply(service("web-2"))

    assert names(view, CLUSTER) == ["shop/web-2/80", "shop/web/80"]
    assert view.table(ROUTE).version != routes


def test_the_last_version_that_could_be_translated_stays_everywhere() -> None:
    """Also where the new version has another port: clusters and routes fit together."""
    mesh = Mesh(service(), slice_of(["10.0.0.1"]))
    view = mesh.publisher.acquire(NODE)
    before = versions(view)
    other = ServicePort(port=81, name="http")
    mesh.apply(service(ports=[other]), slice_of([ELSEWHERE], address_type="FQDN"))
    newcomer = mesh.publisher.acquire(Node(id="b.shop", metadata={"listen_port": 9}))
    during, route = versions(view), newcomer.table(ROUTE).version
    problems = mesh.messages
    mesh.apply(slice_of(["10.0.0.1"]))

    assert during == before
    assert route == before[PUSH_ORDER.index(ROUTE)]
    assert len(problems) == 1
    assert names(view, CLUSTER) == ["shop/web/81"]
    assert newcomer.table(ROUTE).version == view.table(ROUTE).version != route
    assert mesh.messages == []


def test_a_tcp_port_hidden_by_a_nodes_own_http_port_is_logged() -> None:
    """Most nodes listen for HTTP elsewhere, and have a listener for it."""
    database = service(
        "db", ports=[TCP], annotations={"traffic.xds-server.dev/listen-port": "8080"}
    )
    mesh = Mesh(database)
    with capture_logs() as logs:
        usual = mesh.publisher.acquire(NODE)
        hiding = mesh.publisher.acquire(Node(id="a", metadata={"listen_port": 8080}))

    assert names(usual, LISTENER) == ["outbound/http", "outbound/tcp/shop/db/5432"]
    assert names(hiding, LISTENER) == ["outbound/http"]
    assert [(log["log_level"], log["event"], log["service"]) for log in logs] == [
        (
            "warning",
            "no TCP listener: its port is the node's HTTP port",
            "shop/db:5432",
        )
    ]


def test_a_failure_is_forgotten_with_its_service() -> None:
    bad = service("my.svc")
    mesh = Mesh(bad)
    mesh.delete(bad)

    assert mesh.messages == []


def test_status_says_what_is_not_translated() -> None:
    mesh = Mesh(service("my.svc", source="bad.yaml"))
    status = status_of(
        mesh.index,
        (),
        untranslated=mesh.publisher.problems,
        version="1",
        is_ready=True,
    )

    assert status["problems"] == [
        {
            "place": "bad.yaml:1:1",
            "path": "",
            "severity": "error",
            "message": "cannot be sent to an Envoy: shop/my.svc/80: 'my.svc' is no DNS "
            "label",
            "hint": "it should have been refused before: please report a bug of "
            "xds-server",
        }
    ]


def test_a_node_without_listeners_is_sent_away_until_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Empty tables would take away the listeners that it has from another replica."""
    mesh = Mesh(service())
    with monkeypatch.context() as patched:
        patched.setattr("xds_server.translate.listener.is_ip_address", lambda _: False)
        with pytest.raises(NotReadyError, match="no listeners and routes"):
            mesh.publisher.acquire(NODE)
    view = mesh.publisher.acquire(NODE)

    assert names(view, LISTENER) == ["outbound/http"]
    mesh.publisher.release(NODE)


NEAR = service(spec=ServiceSpec(ports=(HTTP,), traffic_distribution="PreferSameZone"))
TWO_ZONES = slice_of(
    [endpoint("10.0.0.1", zone="a"), endpoint("10.0.0.2", node="n2", zone="b")]
)


def sent(view: View, name: str = "shop/web/80") -> bytes:
    """Return the assignment that nodes of a view are sent."""
    resource = view.table(ENDPOINT).get(name)
    assert resource is not None
    return resource.at(view.place).sotw


def test_nodes_in_different_places_share_all_tables_and_see_their_own_endpoints() -> (
    None
):
    mesh = Mesh(NEAR, TWO_ZONES, service("api"), node("n2", zone="b"))
    nodes = [
        Node(id="a.shop", zone="a"),
        Node(id="b.shop", zone="b"),
        Node(id="c.shop", metadata={"node_name": "n2"}),
        Node(id="d.shop"),
    ]
    views = [mesh.publisher.acquire(each) for each in nodes]

    assert all(each.tables == views[0].tables for each in views)
    assert [each.place.zone for each in views] == ["a", "b", "b", ""]
    assert len({sent(each) for each in views}) == 3
    assert sent(views[1]) == sent(views[2])
    assert len({sent(each, "shop/api/80") for each in views}) == 1


BATCH = Place(labels=frozenset({("tier", "batch")}))


@pytest.mark.parametrize("clients", [None, {"tier": "batch"}])
def test_only_sections_of_routes_change_routes(clients: dict[str, str] | None) -> None:
    """They are of all Services: what is of one alone leaves them as they are."""
    mesh = Mesh(service(), service("other"), slice_of(["10.0.0.1"]))
    table = mesh.publisher.acquire(NODE).table(ROUTE)
    (before,) = table
    sequence = table.sequence
    mesh.apply(policy("p", RANDOM, health_check=CONNECT, clients=clients))
    (same,) = table
    mesh.apply(policy("q", session=HEADER, clients=clients))
    (after,) = table

    assert same is before
    assert before.forms is None
    assert table.sequence == sequence + 1
    assert after.version != before.version
    assert (after.sotw == before.sotw) is bool(clients)
    assert after.at(BATCH).sotw != before.sotw
    assert bool(after.forms) is bool(clients)


def test_a_policy_that_gives_some_clients_the_same_makes_no_forms_of_routes() -> None:
    mesh = Mesh(service(), policy("p", session=HEADER))
    table = mesh.publisher.acquire(NODE).table(ROUTE)
    (before,) = table
    mesh.apply(policy("q", session=HEADER, clients={"tier": "batch"}))
    (after,) = table

    assert after is before


def test_a_hint_that_moves_is_published_though_no_endpoint_does() -> None:
    """For a node that says no place it is nothing new, and a new version all the same.

    Equal versions must mean equal content in every place.
    """
    hinted = slice_of(
        [
            endpoint("10.0.0.1", zone="a", for_zones=["b"]),
            endpoint("10.0.0.2", node="n2", zone="b", for_zones=["a"]),
        ]
    )
    mesh = Mesh(NEAR, TWO_ZONES)
    here = mesh.publisher.acquire(Node(id="a.shop", zone="a"))
    nowhere = mesh.publisher.acquire(NODE)
    before = [sent(here), sent(nowhere).count(b"10.0.0."), here.table(ENDPOINT).version]
    mesh.apply(hinted)
    after = [sent(here), sent(nowhere).count(b"10.0.0."), here.table(ENDPOINT).version]

    assert before[0] != after[0]
    assert before[1] == after[1] == 2
    assert before[2] != after[2]


def test_a_node_name_alone_gives_its_place() -> None:
    mesh = Mesh(NEAR, TWO_ZONES, node("n2", region="north", zone="b"))
    view = mesh.publisher.acquire(Node(id="a.shop", metadata={"node_name": "n2"}))

    own = frozenset({(CLIENT_NAMESPACE, "shop")})
    assert view.place == Place(region="north", zone="b", node="n2", labels=own)


LOCAL = "local/shop/web"
OWN = Node(id="a.shop", metadata={"service": "web"}, zone="a")


def test_an_envoy_is_told_of_the_service_that_it_belongs_to() -> None:
    """While one says so; the assignment follows the Service, and is empty without."""
    mesh = Mesh()
    view = mesh.publisher.acquire(OWN)
    empty = sent(view, LOCAL)
    web, slice_ = service("web"), slice_of([endpoint("10.0.0.1", zone="a")])
    mesh.apply(web, slice_)
    full = sent(view, LOCAL)
    other = mesh.publisher.acquire(OWN)
    mesh.publisher.release(OWN)
    kept = names(other, ENDPOINT)
    mesh.delete(web)
    gone = sent(view, LOCAL)
    mesh.publisher.release(OWN)

    assert b"10.0.0.1" in full
    assert b"10.0.0.1" not in empty
    assert gone == empty
    assert kept == [LOCAL, "shop/web/80"]
    assert LOCAL not in names(mesh.publisher.acquire(NODE), ENDPOINT)


def test_only_the_first_and_the_last_that_belong_to_a_service_change_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mesh = Mesh(service("web"), slice_of([endpoint("10.0.0.1")]))
    other = mesh.publisher.acquire(NODE)
    publish = mock.Mock(wraps=mesh.snapshot.publish)
    monkeypatch.setattr(mesh.snapshot, "publish", publish)
    counts = list[int]()
    for step in (*[mesh.publisher.acquire] * 3, *[mesh.publisher.release] * 3) * 2:
        step(OWN)
        counts.append(publish.call_count)
        assert (LOCAL in names(other, ENDPOINT)) is (len(counts) % 6 != 0)

    assert counts == [1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 4]


def test_other_clients_belong_to_nothing() -> None:
    """Garbage is none, and a gRPC client has no cluster of its own."""
    mesh = Mesh(service("web"))
    for metadata, agent in (
        ({}, ""),
        ({"service": "My Service"}, ""),
        ({"service": 7.0}, ""),
        ({"service": "web"}, "gRPC Go"),
    ):
        view = mesh.publisher.acquire(
            Node(id="b.shop", metadata=metadata, user_agent=agent)
        )

        assert LOCAL not in names(view, ENDPOINT)


def test_a_secret_of_several_services_goes_with_the_last_of_them() -> None:
    tls = Tls(mode=TlsMode.SIMPLE, ca=CertificateAuthority(file="/tls/ca.crt"))
    web, api = service("web"), service("api")
    mesh = Mesh(web, api, policy(targets=["*"], tls=tls))
    view = mesh.publisher.acquire(NODE)
    (name,) = names(view, SECRET)

    mesh.delete(web)
    assert names(view, SECRET) == [name]

    mesh.apply(web)
    mesh.delete(api)
    assert names(view, SECRET) == [name]

    mesh.delete(web)
    assert names(view, SECRET) == []
