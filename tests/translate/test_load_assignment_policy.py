"""What an assignment says of itself, and how often it is sent again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2

from tests.translate.mesh_input import Spec, make_service, make_upstream
from xds_server.mesh.model import Client, Discovery, Endpoint, Service, Variant
from xds_server.translate.check import TranslateError
from xds_server.translate.service import build_service
from xds_server.xds import ENDPOINT, Place, Resource

WEB = Endpoint(address="10.0.0.1", port=80)
ONE_MINUTE: Spec = {"staleEndpoints": {"after": "1m"}}
BATCH = frozenset([("tier", "batch")])


def assignment_of(service: Service, client: Client = Client.ENVOY) -> Resource:
    built = build_service(service, client)
    (found,) = (each for each in built if each.type_url == ENDPOINT)
    return found


def decoded(body: bytes) -> endpoint_pb2.ClusterLoadAssignment:
    return endpoint_pb2.ClusterLoadAssignment.FromString(body)


@pytest.mark.parametrize(
    ("percent", "millionths"),
    [(0.0001, 1), (0.00001, 1), (2.5, 25_000), (33.3333, 333_333), (100, 1_000_000)],
)
@pytest.mark.parametrize("client", Client)
def test_drops_are_in_millionths(
    percent: float, millionths: int, client: Client
) -> None:
    upstream = make_upstream(WEB, spec={"overload": {"dropPercent": percent}})
    resource = assignment_of(make_service(upstream), client)
    (drop,) = decoded(resource.body).policy.drop_overloads

    assert drop.drop_percentage.numerator == millionths
    assert drop.drop_percentage.denominator == drop.drop_percentage.MILLION
    assert drop.category
    assert resource.refresh is None


def test_endpoints_differ_where_drops_do() -> None:
    """Else Envoy would not notice."""
    hosts = {
        endpoint.SerializeToString()
        for spec in (None, *({"overload": {"dropPercent": n}} for n in (1, 2)))
        for group in decoded(
            assignment_of(make_service(make_upstream(WEB, spec=spec))).body
        ).endpoints
        for endpoint in group.lb_endpoints
    }

    assert len(hosts) == 3


def test_what_goes_stale_is_sent_again_at_a_third_of_the_time() -> None:
    resource = assignment_of(make_service(make_upstream(WEB, spec=ONE_MINUTE)))
    after = decoded(resource.body).policy.endpoint_stale_after

    assert after.ToTimedelta() == timedelta(minutes=1)
    assert resource.refresh == timedelta(seconds=20)


def test_grpc_clients_know_nothing_of_that() -> None:
    service = make_service(make_upstream(WEB, spec=ONE_MINUTE))
    resource = assignment_of(service, Client.GRPC)

    assert not decoded(resource.body).HasField("policy")
    assert resource.refresh is None


@pytest.mark.parametrize("spec", [ONE_MINUTE, {"overload": {"dropPercent": 1}}])
def test_nothing_of_it_is_sent_where_dns_finds_the_endpoints(spec: Spec) -> None:
    name = Endpoint(address="db.example", port=80)
    upstream = make_upstream(name, discovery=Discovery.DNS, spec=spec)

    with pytest.raises(TranslateError, match="DNS"):
        list(build_service(make_service(upstream)))


def test_a_group_of_clients_has_a_time_of_its_own() -> None:
    """All are sent it again as often as those with the shortest one need it."""
    mine = make_upstream(WEB, spec={"staleEndpoints": {"after": "3m"}})
    plain = make_upstream(WEB)
    upstream = replace(plain, variants=(Variant(labels=BATCH, upstream=mine),))
    resource = assignment_of(make_service(upstream))

    assert resource.refresh == timedelta(minutes=1)
    assert resource.body == assignment_of(make_service(plain)).body
    assert decoded(
        resource.at(Place(labels=BATCH)).body
    ).policy.endpoint_stale_after.ToTimedelta() == timedelta(minutes=3)
