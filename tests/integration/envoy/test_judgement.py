"""`check --envoy`: a real Envoy judges what files mean, and says whose fault it is."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.components import envoy_binary
from xds_server.cli import cli
from xds_server.lab.example import packaged_examples
from xds_server.lab.judgement import judge

pytestmark = pytest.mark.envoy

MESH = """\
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: NAME}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: NAME-1, labels: {kubernetes.io/service-name: NAME}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
"""
POLICY = """\
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: p}
spec:
  targetRefs: [{kind: Service, name: web}]
  SELECTOR
  envoyPatch:
    cluster: PATCH
"""
SUBSETS = {"lb_subset_config": {"subset_selectors": [{"keys": ["a"]}]}}
REASON = "load_balancing_policy cannot be combined with lb_subset_config"


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, arguments)])


def write(file: Path, patch: Mapping[str, object], selector: str = "") -> Path:
    """Write a patch for `web`, in a mesh of some more Services."""
    policy = POLICY.replace("SELECTOR", selector).replace("PATCH", json.dumps(patch))
    names = ("web", *(f"other-{number}" for number in range(5)))
    file.write_text(policy + "".join(MESH.replace("NAME", name) for name in names))
    return file


def test_what_envoy_refuses_is_told_where_the_patch_is(tmp_path: Path) -> None:
    """Of all clusters the one is found, whose patch `check` alone cannot object to."""
    file = write(tmp_path / "web.yaml", SUBSETS)
    alone, judged = check(file), check("--envoy", file)

    assert alone.exit_code == 0
    assert judged.exit_code == 1
    assert judged.stdout == (
        f"{file}:8:5: spec.envoyPatch: Envoy refuses cluster shop/web/80: cluster: "
        f"{REASON}\n  hint: it is made of Service shop/web, TrafficPolicy shop/p\n"
    )


def test_what_envoy_would_die_of_is_told_too(tmp_path: Path) -> None:
    """A health check in HTTP/3, to which the rules for ours do not come first here."""
    check_http = {"path": "/", "codec_client_type": "HTTP3"}
    health = {
        "interval": "1s",
        "timeout": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": check_http,
    }
    file = write(tmp_path / "web.yaml", {"health_checks": [health]})
    judged = check("--envoy", file)

    assert judged.exit_code == 1
    assert "codec_client_type not HTTP1, HTTP2" in judged.stdout


def test_what_some_clients_get_is_judged_too(tmp_path: Path) -> None:
    selector = "clientSelector: {matchLabels: {tier: batch}}"
    file = write(tmp_path / "web.yaml", SUBSETS, selector)
    judged = check("--envoy", file)

    assert judged.exit_code == 1
    assert "cluster shop/web/80 for clients with tier=batch: " in judged.stdout


def test_what_is_fine_is_fine(tmp_path: Path) -> None:
    """Examples with all that there is, and a patch that only Envoy understands."""
    file = write(tmp_path / "web.yaml", {"alt_stat_name": "a"})
    binary = envoy_binary()

    assert binary is not None
    assert judge([packaged_examples(), file], Path(binary)) == ()
