"""The rooms put together: what is logged of a publication, and what a start costs."""

import asyncio
import gc
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.mesh.documents import service
from tests.test_publish import Mesh
from xds_server.app import ControlPlane
from xds_server.settings import ServeSettings

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{namespace: shop, name: {}}}
spec: {{ports: [{{name: http, port: 80}}]}}
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
