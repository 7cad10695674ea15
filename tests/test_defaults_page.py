"""docs/defaults.md tells what a Service without a policy gets."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from tests.translate.mesh_input import make_upstream
from xds_server.api.decode import decode
from xds_server.api.policy import CircuitBreaker, Connection
from xds_server.mesh.model import Protocol
from xds_server.translate.cluster import build_cluster

PAGE: Final = Path(__file__).parents[1] / "docs" / "defaults.md"
HTTP: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def ours() -> dict[str, str]:
    """Return what the page says of this project, row by row."""
    rows = re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \|", PAGE.read_text("utf-8"))
    return dict(rows)


def cluster(protocol: Protocol) -> cluster_pb2.Cluster:
    """Return the cluster of a port that no policy is for."""
    body = build_cluster(make_upstream(protocol=protocol)).body
    return cluster_pb2.Cluster.FromString(body)


def idle_timeout(protocol: Protocol) -> timedelta | None:
    """Return after how long Envoy closes a connection on which nothing moves."""
    options = http_protocol_options_pb2.HttpProtocolOptions()
    assert cluster(protocol).typed_extension_protocol_options[HTTP].Unpack(options)
    common = options.common_http_protocol_options
    found = (
        common.idle_timeout.ToTimedelta() if common.HasField("idle_timeout") else None
    )
    assert found is None or isinstance(found, timedelta)
    return found


@pytest.mark.parametrize("protocol", Protocol)
def test_what_the_page_says_is_sent(protocol: Protocol) -> None:
    sent, said = cluster(protocol), ours()
    (policy,) = sent.load_balancing_policy.policies

    assert said["algorithm"] == "round robin"
    assert policy.typed_extension_config.name.endswith(".round_robin")
    assert said["time to connect"] == f"{sent.connect_timeout.seconds} s"
    panic = sent.common_lb_config.healthy_panic_threshold.value
    assert said["panic threshold"] == f"{panic:g} %"
    assert said["outlier detection"] == "off"
    assert not sent.HasField("outlier_detection")
    assert said["health checks"].startswith("none")
    assert not sent.health_checks


def test_idle_connections_are_closed_as_the_page_says() -> None:
    """What is not sent is Envoy's own: an hour."""
    assert ours()["idle connection, HTTP/1.1"] == "4 s"
    assert idle_timeout(Protocol.HTTP1) == timedelta(seconds=4)
    assert ours()["idle connection, HTTP/2"] == "1 h"
    assert idle_timeout(Protocol.HTTP2) is None


def test_limits_are_envoys_own() -> None:
    limits, said = CircuitBreaker(), ours()
    counts = {limits.max_connections, limits.max_pending_requests, limits.max_requests}

    assert {f"{count} each" for count in counts} == {
        said["connections, waiting requests, requests"]
    }
    assert said["retries at once"] == str(limits.max_retries)
    assert not cluster(Protocol.HTTP1).HasField("circuit_breakers")
    assert Connection().buffer_limit_bytes is None


def test_the_policy_for_the_mesh_is_accepted() -> None:
    (example,) = re.findall(r"(?s)```yaml\n(.+?)```", PAGE.read_text("utf-8"))
    decoded = decode(example.encode(), source="x.yaml")

    assert decoded.problems == ()
    assert len(decoded.documents) == 1
