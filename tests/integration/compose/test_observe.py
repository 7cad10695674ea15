"""`--profile observe`: Prometheus beside a demo, as its containers see each other.

Grafana is held to its own model and to Prometheus in tests/integration/observe.
"""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.integration.compose.project import (
    Project,
    build_images,
    left_behind,
    running,
)

pytestmark = [
    pytest.mark.docker,
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(900),
]


def query(demo: Project, expression: str) -> Sequence[Mapping[str, object]]:
    """Return the series that Prometheus has for an expression now."""
    url = f"{demo.url('prometheus', 9090)}/api/v1/query"
    asked = f"{url}?{urlencode({'query': expression})}"
    with urlopen(asked, timeout=10) as answer:  # noqa: S310 - http
        series: Sequence[Mapping[str, object]] = json.load(answer)["data"]["result"]
        return series


def test_prometheus_sees_the_control_plane_and_the_envoys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build_images(monkeypatch)

    with running("two-sidecars", monkeypatch, "load prometheus") as demo:

        def up(job: str, count: int) -> bool:
            return len(query(demo, f'up{{job="{job}"}} == 1')) == count

        def is_seen() -> bool:
            try:
                return (
                    up("xds-server", 1)
                    and up("envoy", 2)
                    and bool(query(demo, "xds_server_connected_nodes == 2"))
                    and bool(query(demo, "sum(envoy_cluster_upstream_rq_total) > 0"))
                )
            except OSError:
                return False  # not up yet

        demo.services.wait_until_responsive(is_seen, timeout=120, pause=0.5)
        (prometheus,) = [c for c in demo.containers() if c.service == "prometheus"]
        host = prometheus.details["HostConfig"]
        assert isinstance(host, dict)
        assert host["CapDrop"] == ["ALL"]
        assert host["ReadonlyRootfs"]
        assert prometheus.published == {"127.0.0.1"}
    assert not left_behind(demo.name)
