"""What is published of a mesh, where a Service of it cannot be translated."""

import pytest
from structlog.testing import capture_logs

from tests.mesh.documents import TCP, service, slice_of
from xds_server.api.document import Document
from xds_server.api.kubernetes import ServicePort
from xds_server.mesh.event import Applied, Deleted
from xds_server.mesh.index import Index
from xds_server.publish import Publisher
from xds_server.serve.ending import NotReadyError
from xds_server.serve.node import Node
from xds_server.snapshot.view import Snapshot, View
from xds_server.status import status_of
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE

NODE = Node(id="a.shop")
ELSEWHERE = "not an address"
"""No decoder lets it pass, and no Envoy."""


class Mesh:
    """An index and what is published of it."""

    def __init__(self, *documents: Document) -> None:
        self.index = Index()
        self.publisher = Publisher(self.index, Snapshot())
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
