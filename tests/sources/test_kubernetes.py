"""What is said of collections that cannot be heard, and of objects that are no good."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from xds_server.api.decode import decode_object
from xds_server.api.manifest import TypeMeta
from xds_server.api.problem import Severity
from xds_server.mesh.event import Listed
from xds_server.mesh.index import Index
from xds_server.sources.document_set import DocumentSet, Rank
from xds_server.sources.kube_api import (
    JSON,
    KubeApi,
    KubeConfigError,
    KubeError,
    Query,
)
from xds_server.sources.kubernetes import NAME, KubernetesSource, collections

SERVICES = "/api/v1/services"
KUBECONFIG = """
current-context: it
contexts: [{{name: it, context: {{cluster: it}}}}]
clusters:
  - name: it
    cluster:
      server: https://127.0.0.1:1
      certificate-authority-data: {certificate}
"""
GROUP = "traffic.xds-server.dev"
PODS = "/api/v1/pods"
NODES = "/api/v1/nodes"
POLICIES = "/apis/traffic.xds-server.dev/v1alpha1/trafficpolicies"


class Server(KubeApi):
    """Has some objects by path, refuses others, and never changes."""

    def __init__(self, answers: Mapping[str, list[object] | KubeError]) -> None:
        super().__init__()
        self._answers = answers

    async def _configure(self) -> None:
        """Need no configuration."""

    async def get(self, path: str, query: Query, *, accept: str = JSON) -> bytes:
        del query, accept
        answer = self._answers.get(path, [])
        if isinstance(answer, KubeError):
            raise answer
        metadata = {"resourceVersion": "1"}
        return msgspec.json.encode({"metadata": metadata, "items": answer})

    async def watch(
        self, path: str, query: Query, *, silence: timedelta, accept: str = JSON
    ) -> AsyncGenerator[bytes, None]:
        del path, query, silence, accept
        yield b""
        await asyncio.Event().wait()


async def hear(answers: Mapping[str, list[object] | KubeError], until: str) -> Index:
    """Return what a server means once it has listed, or a problem holds *until*."""
    index = Index(sources=[NAME])
    async with asyncio.timeout(60):
        async for events in KubernetesSource(Server(answers), collections()).batches():
            index.apply(events)
            said = [problem.message for problem in index.problems]
            if any(until in each for each in said) or (
                not until and any(isinstance(each, Listed) for each in events)
            ):
                return index
    raise AssertionError


def service(name: str, port: int = 80) -> dict[str, object]:
    metadata = {"namespace": "shop", "name": name, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"ports": [{"port": port, "name": "http"}]}}


async def test_nothing_is_listed_before_all_is() -> None:
    index = await hear({SERVICES: [service("web")]}, "")

    assert index.listed
    assert list(index.services) == [("shop", "web")]


async def test_an_object_that_is_no_good_is_in_nobodys_way() -> None:
    """It is named; lines and columns mean nothing in a cluster."""
    index = await hear({SERVICES: [service("web"), service("bad", 0)]}, "")
    problem = next(each for each in index.problems if each.path.endswith("port"))

    assert str(problem.place) == "Service shop/bad"
    assert problem.path == "spec.ports[0].port"
    assert list(index.services) == [("shop", "web")]


GRANT = 'grant list and watch on {} of apiGroup "{}"'
NO_PODS = "; without it endpoints have no weights from their Pods"
NO_NODES = (
    "; without it endpoints have no region, and no zone but that of their EndpointSlice"
)


@pytest.mark.parametrize(
    ("path", "status", "is_listed", "hint"),
    [
        (SERVICES, 403, False, GRANT.format("services", "")),
        (PODS, 403, True, GRANT.format("pods", "") + NO_PODS),
        (NODES, 403, True, GRANT.format("nodes", "") + NO_NODES),
        (POLICIES, 403, False, GRANT.format("trafficpolicies", GROUP)),
        (POLICIES, 404, True, "xds-server crd | kubectl apply -f -"),
        (SERVICES, 401, False, "the token has expired, or is of another cluster"),
    ],
)
async def test_what_cannot_be_heard_is_told_with_a_remedy(
    path: str, status: int, *, is_listed: bool, hint: str
) -> None:
    """Nothing is served without Services or policies that there may be."""
    error = KubeError("no", status)
    answers: dict[str, list[object] | KubeError] = {SERVICES: [service("web")]}
    answers[path] = error
    index = await hear(answers, "" if is_listed else "cannot watch")
    (problem,) = index.problems

    assert index.listed is is_listed
    assert problem.severity is (Severity.WARNING if is_listed else Severity.ERROR)
    assert problem.hint == hint


async def test_a_server_that_cannot_be_reached_is_one_problem() -> None:
    """However many collections it has."""
    error = KubeError("connection refused")
    index = await hear(dict.fromkeys([SERVICES, PODS, POLICIES], error), "cannot reach")
    (problem,) = index.problems

    assert not index.listed
    assert problem.message.startswith("cannot reach the API server ")
    assert problem.message.endswith(": connection refused")
    assert problem.hint == "nothing is served until it answers"


async def test_a_mesh_without_services_is_worth_a_word() -> None:
    """A name that is spelt wrong is no error of the server's."""
    (problem,) = (await hear({}, "")).problems

    assert problem.message == "there is no Service at /api/v1/services"
    assert problem.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (None, "no kubeconfig at "),
        ("nonsense", " is no usable kubeconfig: "),
        ("a: [", " is no usable kubeconfig: "),
        (KUBECONFIG.format(certificate="AAAA"), " is no usable kubeconfig: "),
    ],
)
async def test_a_bad_kubeconfig_is_told_in_one_line(
    tmp_path: Path, written: str | None, words: str
) -> None:
    """Whatever the library stumbles over."""
    file = tmp_path / "kubeconfig"
    if written is not None:
        file.write_text(written)
    with pytest.raises(KubeConfigError, match=re.escape(words)) as raised:
        async with KubeApi(file).connected():
            pass

    assert str(file) in str(raised.value)


def test_nodes_are_of_no_namespace_and_read_for_their_labels_alone() -> None:
    """Whatever namespaces and Services are asked for."""
    found = {
        (each.path, each.is_metadata, tuple(each.query))
        for each in collections(["shop", "till"], "app=web")
        if each.kind in {"Node", "Service"}
    }

    assert found == {
        ("/api/v1/namespaces/shop/services", False, ("labelSelector",)),
        ("/api/v1/namespaces/till/services", False, ("labelSelector",)),
        (NODES, True, ()),
    }


def test_a_namespace_that_is_named_twice_is_mirrored_once() -> None:
    assert [*collections(["shop", "shop"])] == [*collections(["shop"])]


def test_a_node_that_says_the_same_is_no_news() -> None:
    """It is told again whenever its status moves, which it does all the time."""
    documents = DocumentSet()
    told = []
    for beat in ("1", "2"):
        metadata = {
            "name": "n1",
            "uid": "u",
            "labels": {"topology.kubernetes.io/zone": "a", "beat": beat},
            "annotations": {"beat": beat},
        }
        decoded = decode_object(
            msgspec.Raw(msgspec.json.encode({"metadata": metadata})),
            source="Node default/n1",
            type_meta=TypeMeta("v1", "Node"),
        )
        told.append(documents.update({"n1": decoded}, Rank.KUBERNETES))

    assert [len(events) for events in told] == [1, 0]
