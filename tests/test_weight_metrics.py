"""What `/metrics` says of computed weights, however many endpoints there are."""

import pytest
from prometheus_client import CollectorRegistry

from tests.control.mesh import CLUSTER, World, address, mesh, report
from xds_server import weight_metrics
from xds_server.weight_metrics import WeightMetrics

SERVICE = "shop/web:80"


def registry_of(world: World) -> CollectorRegistry:
    registry = CollectorRegistry()
    standings = tuple(world.loop.standings(world.now))
    registry.register(WeightMetrics(world.loop, lambda: standings))
    return registry


def test_how_endpoints_stand_is_measured_when_somebody_asks() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()
    world.loop.submit(report({9: 0.1}), world.now + 2)
    world.loop.submit(report({1: 0.1}, cluster="other"), world.now + 2)
    registry = registry_of(world)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"xds_server_{name}", labels)

    fast = {"service": SERVICE, "endpoint": address(3)}
    assert value("endpoint_share", **fast) == pytest.approx(world.shares[3])
    assert value("endpoint_load", **fast) == pytest.approx(0.4)
    assert value("endpoint_error_factor", **fast) == 1
    assert value("weighed_endpoints", service=SERVICE) == 3
    assert value("load_reporters", service=SERVICE) == 1
    assert value("weight_pushes_total", service=SERVICE) == len(world.pushes) > 1
    assert value("load_reports_total") == 3 * 5 + 2
    assert value("load_reports_dropped_total", reason="unknown endpoint") == 1
    assert value("load_reports_dropped_total", reason="unknown cluster") == 1
    assert value("load_reports_dropped_total", reason="absurd") == 0
    assert world.loop.demand.clusters == {CLUSTER}


def test_the_number_of_series_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_metrics, "MOST_ENDPOINTS", 2)
    families = registry_of(World(*mesh(1, 2, 3))).collect()
    shares = next(each for each in families if each.name.endswith("_share"))

    assert len(shares.samples) == 2
