"""Who serves a port, from the EndpointSlices of its Service."""

from collections.abc import Sequence

import pytest

from tests.mesh.documents import HTTP, endpoint, slice_of
from xds_server.api.document import Document
from xds_server.api.kubernetes import EndpointConditions, EndpointPort, ServicePort
from xds_server.mesh.backend import Backends, canonical, health_of, resolve_backends
from xds_server.mesh.model import Discovery, Health


def nowhere(name: str) -> None:
    """Know of no Node."""
    del name


def resolve(*slices: Document, ports: Sequence[ServicePort] = (HTTP,)) -> Backends:
    return resolve_backends(ports, slices, nowhere, publish_all=False)


def addresses(backends: Backends, port: int = 80) -> list[str]:
    return [f"{each.address}:{each.port}" for each in backends.by_port[port]]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (EndpointConditions(), Health.HEALTHY),
        (EndpointConditions(ready=True), Health.HEALTHY),
        (
            EndpointConditions(ready=True, serving=True, terminating=False),
            Health.HEALTHY,
        ),
        (EndpointConditions(ready=False), None),
        (
            EndpointConditions(ready=False, serving=True, terminating=True),
            Health.DRAINING,
        ),
        (EndpointConditions(ready=False, serving=False, terminating=True), None),
        (EndpointConditions(ready=False, serving=True, terminating=False), None),
        (EndpointConditions(ready=False, serving=True), None),
    ],
)
def test_conditions_decide_whether_new_traffic_may_come(
    conditions: EndpointConditions, expected: Health | None
) -> None:
    assert health_of(conditions, publish_all=False) is expected


def test_publish_not_ready_addresses_makes_every_endpoint_healthy() -> None:
    unready = endpoint("10.0.0.1", conditions=EndpointConditions(ready=False))

    backends = resolve_backends(
        [HTTP], [slice_of([unready])], nowhere, publish_all=True
    )

    assert [each.health for each in backends.by_port[80]] == [Health.HEALTHY]


def test_backends_are_sorted_by_number_with_ipv4_first() -> None:
    """Text order would put 10.0.0.10 before 10.0.0.9."""
    backends = resolve(
        slice_of(["fd00::1"], name="b", address_type="IPv6"),
        slice_of(["10.0.0.10", "10.0.0.9"], name="a"),
    )

    assert addresses(backends) == ["10.0.0.9:8080", "10.0.0.10:8080", "fd00::1:8080"]
    assert backends.discovery is Discovery.EDS


def test_several_slices_of_a_service_are_joined() -> None:
    backends = resolve(
        slice_of(["10.0.0.2"], name="web-2"), slice_of(["10.0.0.1"], name="web-1")
    )

    assert addresses(backends) == ["10.0.0.1:8080", "10.0.0.2:8080"]


def test_ports_are_matched_by_name_and_protocol() -> None:
    ports = (HTTP, ServicePort(port=90, name="admin"))
    slice_ = slice_of(
        ["10.0.0.1"],
        ports=[
            EndpointPort(name="http", port=53, protocol="UDP"),
            EndpointPort(name="admin", port=9090),
            EndpointPort(name="http", port=8080),
        ],
    )

    backends = resolve(slice_, ports=ports)

    assert addresses(backends, 80) == ["10.0.0.1:8080"]
    assert addresses(backends, 90) == ["10.0.0.1:9090"]


def test_an_unnamed_port_matches_an_unnamed_port() -> None:
    slice_ = slice_of(["10.0.0.1"], ports=[EndpointPort(port=8080)])

    backends = resolve(slice_, ports=(ServicePort(port=80),))

    assert addresses(backends) == ["10.0.0.1:8080"]


def test_a_slice_whose_ports_have_other_names_is_told() -> None:
    slice_ = slice_of(["10.0.0.1"], ports=[EndpointPort(port=8080)])

    backends = resolve(slice_)

    assert addresses(backends) == []
    assert [problem.message for problem in backends.problems] == [
        (
            "no TCP port here is named http, like port 80 of the Service: it has no "
            "endpoints"
        )
    ]


def test_a_port_that_some_slice_serves_is_not_told() -> None:
    """Slices of a Service may have different ports: Pods need not be alike."""
    backends = resolve(
        slice_of(["10.0.0.1"], name="a"),
        slice_of(["10.0.0.2"], name="b", ports=[EndpointPort(name="x", port=1)]),
    )

    assert addresses(backends) == ["10.0.0.1:8080"]
    assert backends.problems == ()


def test_a_slice_port_without_number_is_the_services_number() -> None:
    slice_ = slice_of(["10.0.0.1"], ports=[EndpointPort(name="http")])

    assert addresses(resolve(slice_)) == ["10.0.0.1:80"]


def test_a_duplicate_address_is_kept_once_and_reported_once_a_slice() -> None:
    backends = resolve(
        slice_of(["10.0.0.1", "10.0.0.2"], name="a"),
        slice_of(["10.0.0.1", "10.0.0.2"], name="b"),
    )

    assert addresses(backends) == ["10.0.0.1:8080", "10.0.0.2:8080"]
    assert [each.message for each in backends.problems] == [
        "10.0.0.1 is there twice, the first wins (and 1 more)"
    ]
    assert backends.problems[0].path == "endpoints[0].addresses[0]"


def test_only_the_first_address_of_an_endpoint_is_used() -> None:
    """Kubernetes gives the others no meaning (EndpointSlice API, addresses)."""
    two = endpoint("10.0.0.1")
    slice_ = slice_of([type(two)(addresses=("10.0.0.1", "10.0.0.2"))])

    backends = resolve(slice_)

    assert addresses(backends) == ["10.0.0.1:8080"]
    assert [each.path for each in backends.problems] == ["endpoints[0].addresses[1]"]


def test_an_address_of_the_wrong_family_is_left_out_and_reported() -> None:
    backends = resolve(slice_of(["fd00::1", "10.0.0.1"]))

    assert addresses(backends) == ["10.0.0.1:8080"]
    assert [each.path for each in backends.problems] == ["endpoints[0].addresses[0]"]


def test_names_alone_are_found_by_dns() -> None:
    backends = resolve(slice_of(["B.example.", "a.example"], address_type="FQDN"))

    assert backends.discovery is Discovery.DNS
    assert addresses(backends) == ["a.example:8080", "b.example:8080"]


def test_ip_addresses_beat_names_with_a_warning() -> None:
    backends = resolve(
        slice_of(["a.example"], name="names", address_type="FQDN"),
        slice_of(["10.0.0.1"], name="numbers"),
    )

    assert backends.discovery is Discovery.EDS
    assert addresses(backends) == ["10.0.0.1:8080"]
    assert [each.path for each in backends.problems] == ["addressType"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("010.0.0.1", None),
        ("127.1", None),
        ("fe80::1%eth0", None),
        ("a\0b", None),
        ("web.example", None),
    ],
)
def test_canonical_form_of_an_address(text: str, expected: str | None) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        (["IPv4", "IPv6"], ["10.0.0.1:8080"]),
        (["IPv6", "IPv4"], ["fd00::1:8080"]),
        (["IPv4"], ["10.0.0.1:8080"]),
        ([], ["10.0.0.1:8080", "fd00::1:8080"]),
    ],
)
def test_of_two_families_the_first_of_the_service_counts(
    families: Sequence[str], expected: list[str]
) -> None:
    """A Pod has an address of each, and is one server. Files need not say which."""
    slices = [
        slice_of(["10.0.0.1"], name="a"),
        slice_of(["fd00::1"], name="b", address_type="IPv6"),
    ]

    backends = resolve_backends(
        [HTTP], slices, nowhere, publish_all=False, families=families
    )

    assert addresses(backends) == expected
    assert backends.problems == ()


def test_the_second_family_counts_where_the_first_has_nobody() -> None:
    """The controller makes an empty slice of a family that no Pod has."""
    slices = [
        slice_of([], name="a"),
        slice_of(["fd00::1"], name="b", address_type="IPv6"),
    ]

    backends = resolve_backends(
        [HTTP], slices, nowhere, publish_all=False, families=["IPv4", "IPv6"]
    )

    assert addresses(backends) == ["fd00::1:8080"]
