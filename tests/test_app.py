"""The rooms put together: what is logged of a publication, and what a start costs."""

import asyncio
import gc
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.control.mesh import World, address, mesh
from tests.mesh.documents import service
from tests.test_publish import Mesh
from xds_server.app import ControlPlane
from xds_server.control.memory import Memory
from xds_server.engine import Snapshot
from xds_server.mesh.index import Changes
from xds_server.publish import Publisher
from xds_server.settings import ServeSettings

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{namespace: shop, name: {}}}
spec: {{ports: [{{name: http, port: 80}}]}}
"""
WEIGHED = """\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}]
---
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: policy}
spec:
  targetRefs: [{kind: Service, name: web}]
  loadBalancer: {type: PerformanceBased}
"""
ANYWHERE = ServeSettings(xds_address="127.0.0.1:0", admin_address="127.0.0.1:0")


async def test_a_publication_is_logged_with_its_versions_and_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The versions are those that responses have, on every replica."""
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what tests made may go
    documents = (SERVICE.format(name) for name in ("web", "api", "db"))
    (tmp_path / "mesh.yaml").write_text("---\n".join(documents))
    with capture_logs() as logs:
        async with ControlPlane([tmp_path], ANYWHERE).running():
            async with asyncio.timeout(30):
                while not any(log["event"] == "ready" for log in logs):  # noqa: ASYNC110 - a log has no event
                    await asyncio.sleep(0.01)
    (published,) = (log for log in logs if log["event"] == "published")
    expected = Mesh(*(service(name) for name in ("web", "api", "db")))

    assert published["cause"] == "shop/api and 2 more"
    assert published["versions"] == expected.publisher.versions
    assert published["resources"] == 6


async def test_cycles_are_searched_for_seldom_until_the_mesh_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But they are: a server may wait for its first list for days."""
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what tests made may go
    usual = gc.get_threshold()
    missing = tmp_path / "mesh"
    async with ControlPlane([missing], ANYWHERE).running():
        assert gc.isenabled()
        assert gc.get_threshold()[0] > usual[0]
        missing.mkdir()
        (missing / "web.yaml").write_text(SERVICE.format("web"))
        async with asyncio.timeout(30):
            while gc.get_threshold() != usual:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)


async def test_weights_of_before_a_restart_are_in_what_is_published_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that have them are told nothing: the version is the same."""
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what tests made may go
    before = World(*mesh(1, 2, 3))
    before.learn()
    file = tmp_path / "weights.json"
    memory = Memory(file)
    file.write_bytes(memory._encode(before.loop.save()))
    (folder := tmp_path / "mesh").mkdir()
    (folder / "web.yaml").write_text(WEIGHED)
    settings = ANYWHERE.model_copy(update={"state_file": file})
    with capture_logs() as logs:
        async with ControlPlane([folder], settings).running():
            async with asyncio.timeout(30):
                while not any(log["event"] == "ready" for log in logs):  # noqa: ASYNC110 - a log has no event
                    await asyncio.sleep(0.01)
    published = [log["versions"] for log in logs if log["event"] == "published"]
    snapshot = Snapshot()
    publisher = Publisher(before.index, snapshot)
    publisher.publish(Changes(services=frozenset(before.index.services)))

    assert published == [publisher.versions]
    assert before.weights[address(3)] != before.weights[address(1)]
    assert [log["cause"] for log in logs if log["event"] == "weighed"] == ["saved"]


async def test_weights_are_written_when_everything_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, less is known than what the file has."""
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what tests made may go
    (tmp_path / "web.yaml").write_text(WEIGHED)
    settings = ANYWHERE.model_copy(update={"state_file": tmp_path / "weights.json"})
    plane = ControlPlane([tmp_path], settings)
    begun = asyncio.get_running_loop().create_future()

    async def keep(*_: object) -> None:
        begun.set_result(plane._snapshot.is_ready)

    monkeypatch.setattr(Memory, "keep", keep)
    async with asyncio.timeout(30), plane.running():
        assert await begun
