"""What gRPC clients see: made when they name it, and kept up to date from then on."""

import sys
from collections.abc import Mapping
from dataclasses import replace

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from tests.mesh.documents import policy, service, slice_of
from tests.mesh.test_attachment import BY_HEADER
from tests.translate.mesh_input import load_balancer, make_service, make_upstream
from xds_server.api.policy import ClientSelector
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Changes, Index
from xds_server.mesh.model import Endpoint, Protocol, Service
from xds_server.mesh.service import ServiceName
from xds_server.publish import Publisher
from xds_server.serve.cohort import Cohorts
from xds_server.serve.node import Node
from xds_server.serve.stream import SOTW, Stream
from xds_server.serve.subscription import Subscription
from xds_server.snapshot.table import Publication
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


def hear(_: Publication) -> None:
    """Hear of a change, and do nothing."""


def follow(view: View, type_url: str, *names: str) -> None:
    table = view.table(type_url)
    table.followers.add(Subscription(names=frozenset(names)), hear)
    for name in names:
        table.get(name)


def changed(view: View, type_url: str) -> list[str]:
    return sorted(entry.name for entry in view.table(type_url).changed_since(0))


class Channel(Stream[DiscoveryRequest]):
    """A stream that asks for listeners."""

    def __init__(self, view: View, cohorts: Cohorts) -> None:
        super().__init__(view=view, variant=SOTW, cohorts=cohorts, wake=hear)

    def ask(self, *names: str) -> None:
        self.receive(DiscoveryRequest(type_url=LISTENER, resource_names=names))

    def answer(self) -> DiscoveryResponse:
        delivery = self.next_response()
        assert delivery is not None
        return DiscoveryResponse.FromString(delivery.response.body)


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
    follow(view, ENDPOINT, "shop/web/80")
    follow(view, CLUSTER, "shop/web/80")
    first = body(view, ENDPOINT, "shop/web/80")
    endpoint = Endpoint(address="10.0.0.1", port=80)
    mesh.put(make_service(make_upstream(endpoint)))
    mesh.put(make_service(make_upstream(service="cart")))
    second = body(view, ENDPOINT, "shop/web/80")

    assert first != second
    assert changed(view, ENDPOINT) == ["shop/web/80"]
    assert changed(view, CLUSTER) == []


def test_a_new_policy_changes_cluster_and_routes_together() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream()))
    view = mesh.publisher.acquire(CALLER)
    for type_url, name in ((CLUSTER, "shop/web/80"), (ROUTE, "grpc/shop/web/80")):
        follow(view, type_url, name)
    ring = load_balancer({"type": "RingHash", "hashOn": [{"header": {"name": "u"}}]})
    mesh.put(make_service(make_upstream(policy=ring)))

    assert changed(view, CLUSTER) == ["shop/web/80"]
    assert changed(view, ROUTE) == ["grpc/shop/web/80"]


def test_a_target_is_unknown_until_its_service_comes_and_after_it_goes() -> None:
    mesh = Mesh()
    view = mesh.publisher.acquire(CALLER)
    table = view.table(LISTENER)
    follow(view, LISTENER, "web.shop:80")
    unknown = body(view, LISTENER, "web.shop:80")
    mesh.put(make_service(make_upstream()))
    known = body(view, LISTENER, "web.shop:80")
    came, sequence = changed(view, LISTENER), table.sequence
    mesh.drop(WEB)

    assert unknown is not None
    assert known not in (None, unknown)
    assert came == ["web.shop:80"]
    assert body(view, LISTENER, "web.shop:80") == unknown
    assert [entry.name for entry in table.changed_since(sequence)] == ["web.shop:80"]


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
    follow(view, CLUSTER, "shop/web/80")
    sequence = view.table(CLUSTER).sequence
    mesh.drop(WEB)

    assert body(view, CLUSTER, "shop/web/80") is None
    assert [e.resource for e in view.table(CLUSTER).changed_since(sequence)] == [None]


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
    tables = mesh.publisher.acquire(CALLER).table(CLUSTER)
    again = mesh.publisher.acquire(CALLER).table(CLUSTER)
    mesh.publisher.release(CALLER)
    kept = mesh.publisher.acquire(CALLER).table(CLUSTER)
    for _ in range(2):
        mesh.publisher.release(CALLER)

    assert tables is again is kept
    assert mesh.publisher.acquire(CALLER).table(CLUSTER) is not tables


def test_every_stranger_that_is_followed_is_told_when_it_comes() -> None:
    """However many Services of which there are none are asked for."""
    mesh = Mesh()
    view = mesh.publisher.acquire(CALLER)
    follow(view, LISTENER, *(f"s{number}.shop:80" for number in range(5000)))
    mesh.put(make_service(make_upstream(service="s4999")))
    mesh.put(make_service(make_upstream(service="s0")))

    assert changed(view, LISTENER) == ["s0.shop:80", "s4999.shop:80"]


def test_nothing_is_kept_of_a_name_that_there_is_not() -> None:
    """Whoever asks for ever other names costs no memory."""
    mesh = Mesh()
    mesh.put(make_service(make_upstream()))
    view = mesh.publisher.acquire(CALLER)
    name = "/".join((*WEB, "never"))
    before = sys.getrefcount(name)
    found = [body(view, type_url, name) for type_url in (CLUSTER, ENDPOINT, ROUTE)]

    assert found == [None, None, None]
    assert sys.getrefcount(name) == before


def test_what_nobody_follows_leaves_unheard_when_its_service_changes() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream(), make_upstream(number=81)))
    view = mesh.publisher.acquire(CALLER)
    follow(view, CLUSTER, "shop/web/80")
    view.table(CLUSTER).get("shop/web/81")
    sequence = view.table(CLUSTER).sequence
    mesh.put(make_service(make_upstream()))
    fresh = mesh.publisher.acquire(NEIGHBOUR).table(CLUSTER)
    fresh.get("shop/web/80")

    assert [each.name for each in view.table(CLUSTER)] == ["shop/web/80"]
    assert view.table(CLUSTER).changed_since(sequence) == []
    assert view.table(CLUSTER).version == fresh.version


def test_whoever_wants_everything_hears_of_what_others_named() -> None:
    mesh = Mesh()
    mesh.put(make_service(make_upstream(), make_upstream(number=81)))
    view = mesh.publisher.acquire(CALLER)
    table = view.table(CLUSTER)
    table.followers.add(Subscription(is_wildcard=True), hear)
    table.get("shop/web/81")
    sequence = table.sequence
    mesh.put(make_service(make_upstream()))

    assert [(e.name, e.resource) for e in table.changed_since(sequence)] == [
        ("shop/web/81", None)
    ]
    assert len(table) == 0


def test_no_answer_is_given_again_that_is_not_true_any_more() -> None:
    """Nobody follows the name when its Service comes, so nobody is told."""
    mesh, cohorts = Mesh(), Cohorts()
    view = mesh.publisher.acquire(CALLER)
    first, second = Channel(view, cohorts), Channel(view, cohorts)
    first.ask("web.shop:80")
    unknown = first.answer()
    first.close()
    mesh.put(make_service(make_upstream()))
    second.ask("web.shop:80")
    known = second.answer()

    assert len(unknown.resources) == len(known.resources) == 1
    assert unknown.resources != known.resources


def test_an_envoy_beside_sees_its_own() -> None:
    """Both are there at once, and both follow."""
    mesh = Mesh()
    sidecar, caller = map(mesh.publisher.acquire, (SIDECAR, CALLER))
    follow(caller, CLUSTER, "shop/web/80")
    count = mesh.put(make_service(make_upstream(protocol=Protocol.HTTP2)))

    assert count == 4  # Envoy's cluster, assignment and routes; the client's cluster
    assert body(sidecar, CLUSTER, "shop/web/80") != body(caller, CLUSTER, "shop/web/80")


def test_clients_with_labels_are_told_what_is_for_them() -> None:
    """Of hash keys that is in the routes, which gRPC alone reads there."""
    index = Index()
    publisher = Publisher(index, Snapshot())
    documents = [
        service(),
        slice_of(["10.0.0.1"]),
        policy("a", load_balancer({"type": "LeastRequest"})),
        policy("b", BY_HEADER, clients={"tier": "batch"}),
    ]
    publisher.publish(index.apply([Applied(document=each) for each in documents]))
    view = publisher.acquire(CALLER)
    batch = publisher.acquire(
        replace(CALLER, id="batch", metadata={"labels": {"tier": "batch"}})
    )
    found = [
        (b"x-user" in routes, b"ring_hash" in cluster)
        for each in (view, batch)
        if (routes := seen(each, ROUTE, "grpc/shop/web/80"))
        and (cluster := seen(each, CLUSTER, "shop/web/80"))
    ]

    assert batch.table(ROUTE) is view.table(ROUTE)
    assert found == [(False, False), (True, True)]


def test_clients_of_a_namespace_are_told_what_is_for_them() -> None:
    """By its metadata, or by the name that it has."""
    index = Index()
    publisher = Publisher(index, Snapshot())
    jobs = ClientSelector(namespaces=("jobs",))
    documents = [
        service(),
        slice_of(["10.0.0.1"]),
        policy("b", BY_HEADER, clients=jobs),
    ]
    publisher.publish(index.apply([Applied(document=each) for each in documents]))
    views = [
        publisher.acquire(replace(CALLER, id=name, metadata=metadata))
        for name, metadata in (
            ("a", {"namespace": "jobs"}),
            ("b.jobs", {}),
            ("c.jobs", {"namespace": "shop"}),
        )
    ]
    found = [b"ring_hash" in seen(each, CLUSTER, "shop/web/80") for each in views]

    assert found == [True, True, False]


def seen(view: View, type_url: str, name: str) -> bytes:
    """Return what a client that has *view* is sent."""
    found = view.table(type_url).get(name)
    assert found is not None
    return found.at(view.place).sotw
