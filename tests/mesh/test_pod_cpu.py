"""Pods whose CPU is the load of endpoints, and what is said where there are none."""

from collections.abc import Sequence

import pytest

from tests.mesh.documents import endpoint, pod, policy, service, slice_of
from xds_server.api.document import Document, Revision
from xds_server.api.performance import POD_CPU
from xds_server.api.policy import LoadBalancer, LoadBalancerType, PerformanceBased
from xds_server.mesh.event import Applied, Deleted
from xds_server.mesh.index import Index
from xds_server.mesh.model import PodCpu, Upstream

WEB = ("shop", "web")
KNOWN = Revision(uid="1")
BY_CPU = LoadBalancer(
    type=LoadBalancerType.PERFORMANCE_BASED,
    performance_based=PerformanceBased(metrics=(POD_CPU,)),
)
NAMED = slice_of([endpoint("10.0.0.1", pod="a"), endpoint("10.0.0.2", pod="b")])


def index_of(
    *pods: Document, slices: Document = NAMED, balancer: LoadBalancer = BY_CPU
) -> Index:
    """Return a mesh of one Service that goes by the CPU of *pods*."""
    documents = (service(), slices, policy(load_balancer=balancer), *pods)
    index = Index()
    index.apply([Applied(document=each) for each in documents])
    return index


def upstream(index: Index) -> Upstream:
    (found,) = index.services[WEB].upstreams
    return found


def told(index: Index) -> list[str]:
    return [f"{each.severity}: {each.message}" for each in index.problems]


def pods_of(index: Index) -> list[PodCpu | None]:
    return [each.pod_cpu for each in upstream(index).endpoints]


def test_each_endpoint_has_its_pod_and_what_all_containers_request() -> None:
    index = index_of(
        pod("a", requests=["250m", "1"], revision=KNOWN),
        pod("b", requests=["2"], revision=KNOWN),
    )

    assert told(index) == []
    assert pods_of(index) == [PodCpu("shop", "a", 1.25), PodCpu("shop", "b", 2.0)]
    assert [each.base_weight for each in upstream(index).endpoints] == [1, 1]


def test_it_follows_pods_that_change_and_go() -> None:
    second = pod("b", requests=["2"], revision=KNOWN)
    index = index_of(pod("a", requests=["1"], revision=KNOWN), second)
    resized = pod("a", requests=["3"], revision=Revision(uid="1", generation=2))
    index.apply([Applied(document=resized), Deleted(key=second.key)])

    assert pods_of(index) == [PodCpu("shop", "a", 3.0), None]


def test_nobody_else_has_pods_in_endpoints() -> None:
    kind = LoadBalancerType.PERFORMANCE_BASED
    plain = LoadBalancer(type=kind, performance_based=PerformanceBased())
    both = [pod(name, requests=["1"], revision=KNOWN) for name in "ab"]

    for balancer in (plain, LoadBalancer()):
        assert pods_of(index_of(*both, balancer=balancer)) == [None, None]


def test_endpoints_that_are_no_pods_have_it_refused() -> None:
    index = index_of(slices=slice_of(["10.0.0.1", "10.0.0.2"]))

    (problem,) = told(index)

    assert problem == (
        "error: no endpoint of Service shop/web is a Pod: there is no kubernetes.cpu"
    )
    assert not upstream(index).is_weighed


IN_FILES = "are in files, where nobody measures them (a for one)"
SILENT = "are not known to request CPU ({} for one)"


@pytest.mark.parametrize(
    ("pods", "number", "reason"),
    [
        ([pod("a", requests=["1"]), pod("b", requests=["1"])], 2, IN_FILES),
        (
            [pod("a", requests=["1"], revision=KNOWN), pod("b", revision=KNOWN)],
            1,
            SILENT.format("b"),
        ),
        (
            [
                pod("a", requests=["1", "much"], revision=KNOWN),
                pod("b", requests=["0"], revision=KNOWN),
            ],
            2,
            SILENT.format("a"),
        ),
        ([], 2, SILENT.format("a")),
    ],
)
def test_pods_of_which_nothing_will_be_known_are_warned_of(
    pods: Sequence[Document], number: int, reason: str
) -> None:
    index = index_of(*pods)
    (problem,) = told(index)

    assert problem == (
        f"warning: {number} of 2 endpoints have no kubernetes.cpu, and keep the weight "
        f"that they begin with: their Pods {reason}"
    )
    assert upstream(index).is_weighed


def test_a_service_without_endpoints_is_nothing_to_say_anything_of() -> None:
    assert not any(POD_CPU in each for each in told(index_of(slices=slice_of([]))))
