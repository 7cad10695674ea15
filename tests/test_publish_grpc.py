"""What gRPC clients see: made when they name it, and kept up to date from then on."""

from collections.abc import Mapping

from tests.translate.mesh_input import load_balancer, make_service, make_upstream
from xds_server.mesh.index import Changes, Index
from xds_server.mesh.model import Endpoint, Protocol, Service
from xds_server.mesh.service import ServiceName
from xds_server.publish import Publisher
from xds_server.serve.node import Node
from xds_server.snapshot.view import Snapshot, View
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE

CALLER = Node(id="caller", user_agent="gRPC Go 1.85.0")
NEIGHBOUR = Node(
    id="neighbour", user_agent="gRPC Go 1.85.0", metadata={"namespace": "shop"}
)
SIDECAR = Node(id="sidecar", user_agent="envoy 1.40.0")
WEB = ("shop", "web")


class Resolved(Index):
    """An index of Services that need no documents."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[ServiceName, Service] = {}

    @property
    def services(self) -> Mapping[ServiceName, Service]:
        return self.known


class Mesh:
    """Services that come and go, and a publisher that is told of it."""

    def __init__(self) -> None:
        index = Resolved()
        self._services = index.known
        self.publisher = Publisher(index, Snapshot())

    def put(self, service: Service) -> int:
        name = service.namespace, service.name
        self._services[name] = service
        return self.publisher.publish(Changes(services=frozenset([name])))

    def drop(self, name: ServiceName) -> int:
        del self._services[name]
        return self.publisher.publish(Changes(deleted=frozenset([name])))


def body(view: View, type_url: str, name: str) -> bytes | None:
    found = view.table(type_url).get(name)
    return found.sotw if found else None


def test_only_what_was_named_is_in_the_tables() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream()))
    mesh.put(make_service(make_upstream(service="cart")))
    view = mesh.publisher.acquire(CALLER)
    before = [len(view.table(type_url)) for type_url in PUSH_ORDER]
    names = {
        LISTENER: "web.shop:80",
        ROUTE: "grpc/shop/web/80",
        CLUSTER: "shop/web/80",
        ENDPOINT: "shop/web/80",
    }
    found = [body(view, type_url, name) for type_url, name in names.items()]

    assert before == [0, 0, 0, 0]
    assert None not in found
    assert [len(view.table(type_url)) for type_url in PUSH_ORDER] == [1, 1, 1, 1]


def test_what_was_named_follows_its_service_and_nothing_else() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream()))
    view = mesh.publisher.acquire(CALLER)
    first = body(view, ENDPOINT, "shop/web/80")
    endpoint = Endpoint(address="10.0.0.1", port=80)
    mesh.put(make_service(make_upstream(endpoint)))
    mesh.put(make_service(make_upstream(service="cart")))
    second = body(view, ENDPOINT, "shop/web/80")

    assert first != second
    assert view.table(ENDPOINT).sequence == 1
    assert view.table(CLUSTER).sequence == 0


def test_a_new_policy_changes_cluster_and_routes_together() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream()))
    view = mesh.publisher.acquire(CALLER)
    for type_url, name in ((CLUSTER, "shop/web/80"), (ROUTE, "grpc/shop/web/80")):
        view.table(type_url).get(name)
    ring = load_balancer({"type": "RingHash", "hashOn": [{"header": {"name": "u"}}]})
    mesh.put(make_service(make_upstream(policy=ring)))

    assert (view.table(CLUSTER).sequence, view.table(ROUTE).sequence) == (1, 1)


def test_a_target_is_unknown_until_its_service_comes_and_after_it_goes() -> None:
    mesh = Mesh()
    view = mesh.publisher.acquire(CALLER)
    table = view.table(LISTENER)
    unknown = body(view, LISTENER, "web.shop:80")
    mesh.put(make_service(make_upstream()))
    known = body(view, LISTENER, "web.shop:80")
    came = [entry.name for entry in table.changed_since(0)]
    mesh.drop(WEB)

    assert unknown is not None
    assert known not in (None, unknown)
    assert came == ["web.shop:80"]
    assert body(view, LISTENER, "web.shop:80") == unknown
    assert [entry.name for entry in table.changed_since(1)] == ["web.shop:80"]


def test_a_short_target_that_is_unknown_is_found_when_it_comes() -> None:
    mesh = Mesh()
    view = mesh.publisher.acquire(NEIGHBOUR)
    before = body(view, LISTENER, "web")
    mesh.put(make_service(make_upstream()))

    assert before is None
    assert body(view, LISTENER, "web") is not None


def test_a_cluster_that_is_gone_is_deleted() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream()))
    view = mesh.publisher.acquire(CALLER)
    view.table(CLUSTER).get("shop/web/80")
    mesh.drop(WEB)

    assert body(view, CLUSTER, "shop/web/80") is None
    assert [e.resource for e in view.table(CLUSTER).changed_since(0)] == [None]


def test_a_port_that_comes_and_goes_is_a_target_meanwhile() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream(number=80)))
    view = mesh.publisher.acquire(CALLER)
    unknown = body(view, LISTENER, "web.shop:81")
    mesh.put(make_service(make_upstream(number=80), make_upstream(number=81)))
    known = body(view, LISTENER, "web.shop:81")
    mesh.put(make_service(make_upstream(number=80)))

    assert known != unknown
    assert body(view, LISTENER, "web.shop:81") == unknown


def test_what_cannot_be_translated_stays_what_it_was() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream(Endpoint(address="10.0.0.1", port=80))))
    view = mesh.publisher.acquire(CALLER)
    good = body(view, ENDPOINT, "shop/web/80")
    mesh.put(make_service(make_upstream(Endpoint(address="nonsense", port=80))))

    assert body(view, ENDPOINT, "shop/web/80") == good


def test_whoever_asks_later_gets_what_could_be_translated_too() -> None:
    """Clients that were there before and clients that come later see the same."""
    mesh = Mesh()
    mesh.put(make_service(make_upstream(Endpoint(address="10.0.0.1", port=80))))
    first = mesh.publisher.acquire(CALLER)
    good = body(first, ENDPOINT, "shop/web/80")
    mesh.put(make_service(make_upstream(Endpoint(address="nonsense", port=80))))
    later = mesh.publisher.acquire(NEIGHBOUR)

    assert body(later, ENDPOINT, "shop/web/80") == good
    assert body(later, LISTENER, "web") is not None


def test_audiences_share_nothing_that_is_named_differently() -> None:
    """A short name is of the client's namespace."""
    mesh = Mesh()
    mesh.put(make_service(make_upstream()))
    caller, neighbour = map(mesh.publisher.acquire, (CALLER, NEIGHBOUR))

    assert body(caller, LISTENER, "web") is None
    assert body(neighbour, LISTENER, "web") is not None


def test_an_audience_is_forgotten_with_its_last_stream() -> None:
    mesh = Mesh()
    view = mesh.publisher.acquire(CALLER)
    again = mesh.publisher.acquire(CALLER)
    mesh.publisher.release(CALLER)
    kept = mesh.publisher.acquire(CALLER)
    for _ in range(2):
        mesh.publisher.release(CALLER)

    assert view is again is kept
    assert mesh.publisher.acquire(CALLER) is not view


def test_strangers_are_remembered_within_bounds() -> None:
    mesh = Mesh()
    view = mesh.publisher.acquire(CALLER)
    for number in range(5000):
        view.table(LISTENER).get(f"s{number}.shop:80")
    mesh.put(make_service(make_upstream(service="s4999")))
    mesh.put(make_service(make_upstream(service="s0")))

    assert [e.name for e in view.table(LISTENER).changed_since(0)] == ["s4999.shop:80"]


def test_an_envoy_beside_sees_its_own() -> None:
    """Both are there at once, and both follow."""
    mesh = Mesh()
    sidecar, caller = map(mesh.publisher.acquire, (SIDECAR, CALLER))
    caller.table(CLUSTER).get("shop/web/80")
    changed = mesh.put(make_service(make_upstream(protocol=Protocol.HTTP2)))

    assert changed == 4  # Envoy's cluster, assignment and routes; the client's cluster
    assert body(sidecar, CLUSTER, "shop/web/80") != body(caller, CLUSTER, "shop/web/80")
