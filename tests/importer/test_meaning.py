"""A policy means what its object meant: Envoy is told the same.

What Istio tells Envoy is known from `applyTrafficPolicy` of istio/istio
(pilot/pkg/networking/core/cluster_traffic_policy.go), what Envoy Gateway does from
`buildXdsCluster` of envoyproxy/gateway (internal/xds/translator/cluster.go), both with
Envoy's defaults for what they leave out.
"""

from pathlib import Path

import pytest
import yaml
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from tests.importer.foreign import backend, istio, traffic
from tests.importer.mesh import services_of
from xds_server import offline
from xds_server.api.manifest import Value
from xds_server.importer.imported import Imported

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MOST = 4294967295


def cluster_of(imported: Imported, folder: Path) -> cluster_pb2.Cluster:
    """Return the one cluster that Envoy is told of."""
    services = services_of(yaml.safe_load_all(imported.text))
    text = f"{imported.text}---\n{yaml.safe_dump_all(services)}"
    (folder / "mesh.yaml").write_text(text)
    resources, findings = offline.render([folder], node_id="node", metadata={})
    assert not findings.has_errors
    (body,) = [r.body for r in resources if r.type_url.endswith(".v3.Cluster")]
    return cluster_pb2.Cluster.FromString(body)


def said(message: Message) -> dict[str, object]:
    """Return what a message says, numbers and times as they are written."""
    whole: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    return whole


def test_circuit_breaking_of_istio(tmp_path: Path) -> None:
    policy: dict[str, Value] = {
        "connectionPool": {
            "tcp": {"maxConnections": 1},
            "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1},
        },
        "outlierDetection": {
            "consecutive5xxErrors": 1,
            "interval": "1s",
            "baseEjectionTime": "3m",
            "maxEjectionPercent": 100,
        },
    }
    cluster = cluster_of(istio(traffic(policy)), tmp_path)
    options = http_protocol_options_pb2.HttpProtocolOptions()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
    (threshold,) = cluster.circuit_breakers.thresholds
    detection = cluster.outlier_detection

    assert cluster.connect_timeout.ToTimedelta().seconds == 10
    assert cluster.common_lb_config.healthy_panic_threshold.value == 0
    assert cluster.common_lb_config.HasField("healthy_panic_threshold")
    assert "LeastRequest" in str(cluster.load_balancing_policy)
    assert (
        threshold.max_connections.value,
        threshold.max_pending_requests.value,
        threshold.max_requests.value,
        threshold.max_retries.value,
    ) == (1, 1, MOST, MOST)
    assert options.common_http_protocol_options.max_requests_per_connection.value == 1
    assert (
        detection.consecutive_5xx.value,
        detection.enforcing_consecutive_5xx.value,
        detection.enforcing_consecutive_gateway_failure.value,
        detection.enforcing_success_rate.value,
        detection.interval.ToTimedelta().seconds,
        detection.base_ejection_time.ToTimedelta().seconds,
        detection.max_ejection_percent.value,
        detection.always_eject_one_host.value,
        detection.split_external_local_origin_errors,
    ) == (1, 100, 0, 0, 1, 180, 100, False, False)


@pytest.mark.parametrize("is_split", [True, False])
def test_passive_checks_of_envoy_gateway(tmp_path: Path, *, is_split: bool) -> None:
    passive: Value = {
        "consecutive5XxErrors": 7,
        "consecutiveGatewayErrors": 2,
        "consecutiveLocalOriginFailures": 3,
        "failurePercentageThreshold": 90,
        "splitExternalLocalOriginErrors": is_split,
    }
    cluster = cluster_of(backend({"healthCheck": {"passive": passive}}), tmp_path)
    detection = cluster.outlier_detection

    assert (
        detection.consecutive_5xx.value,
        detection.consecutive_gateway_failure.value,
        detection.enforcing_consecutive_gateway_failure.value,
        detection.failure_percentage_threshold.value,
        detection.enforcing_failure_percentage.value,
        detection.enforcing_success_rate.value,
        detection.success_rate_minimum_hosts.value,
        detection.success_rate_request_volume.value,
        detection.success_rate_stdev_factor.value,
        detection.interval.ToTimedelta().seconds,
        detection.base_ejection_time.ToTimedelta().seconds,
        detection.max_ejection_percent.value,
    ) == (7, 2, 100, 90, 100, 100, 5, 100, 1900, 3, 30, 10)
    assert detection.split_external_local_origin_errors == is_split
    assert detection.consecutive_local_origin_failure.value == (3 if is_split else 0)


def test_active_checks_of_envoy_gateway(tmp_path: Path) -> None:
    active: Value = {
        "type": "HTTP",
        "timeout": "500ms",
        "unhealthyThreshold": 4,
        "http": {
            "path": "/healthz",
            "hostname": "www.example.com",
            "expectedStatuses": [200, 201],
        },
    }
    cluster = cluster_of(backend({"healthCheck": {"active": active}}), tmp_path)
    (check,) = cluster.health_checks
    check.http_health_check.ClearField("retriable_statuses")  # which is told

    assert said(check) == {
        "timeout": "0.500s",
        "interval": "3s",
        "unhealthy_threshold": 4,
        "healthy_threshold": 1,
        "no_traffic_interval": "60s",
        "http_health_check": {
            "host": "www.example.com",
            "path": "/healthz",
            "method": "GET",
            "expected_statuses": [{"start": "200", "end": "202"}],
            "codec_client_type": "HTTP2",
        },
    }


def test_limits_of_envoy_gateway(tmp_path: Path) -> None:
    spec: dict[str, Value] = {
        "circuitBreaker": {
            "maxParallelRequests": 10,
            "perEndpoint": {"maxConnections": 5},
        },
        "loadBalancer": {
            "type": "ConsistentHash",
            "consistentHash": {"type": "SourceIP", "tableSize": 251},
        },
    }
    cluster = cluster_of(backend(spec), tmp_path)

    assert said(cluster.circuit_breakers) == {
        "thresholds": [
            {
                "max_connections": 1024,
                "max_pending_requests": 1024,
                "max_requests": 10,
                "max_retries": 1024,
            }
        ],
        "per_host_thresholds": [{"max_connections": 5}],
    }
    assert "Maglev" in str(cluster.load_balancing_policy)
