"""A real Envoy starts with the bootstraps that are rendered, and warns of nothing."""

from pathlib import Path

import pytest

from tests.deploy.kustomization import SIDECAR
from tests.translate.bootstrap_input import READY, Arguments, make_bootstrap
from tests.translate.static_bootstrap import refusal_of_file
from xds_server.translate.render import bootstrap_as_mapping, to_json, to_yaml

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize(
    "path", [*sorted(READY.glob("*.yaml")), SIDECAR], ids=lambda path: path.stem
)
def test_the_ready_files(path: Path) -> None:
    assert refusal_of_file(path) is None


@pytest.mark.parametrize(
    "changes",
    [
        Arguments(xds_address="[::1]:18000", listen_address="::1"),
        Arguments(xds_address="xds.example:18000"),
        Arguments(region="north", zone="north-a", labels={"app": "front"}),
        Arguments(service="front", zone="a"),
        Arguments(stats_address="0.0.0.0:19001"),
        Arguments(stats_address="[::]:19001", admin_address="[::]:19000"),
        Arguments(node_id="n", labels={"y": "1e3", "on": "010", "a": "null"}),
    ],
    ids=[
        "ipv6",
        "name",
        "locality",
        "service",
        "statistics",
        "statistics, all of it on every address",
        "texts that look like something else",
    ],
)
def test_what_the_command_can_print(changes: Arguments, tmp_path: Path) -> None:
    mapping = bootstrap_as_mapping(make_bootstrap(**changes))
    yaml, json = tmp_path / "bootstrap.yaml", tmp_path / "bootstrap.json"
    yaml.write_text(to_yaml(mapping), encoding="utf-8")
    json.write_text(to_json(mapping), encoding="utf-8")

    assert refusal_of_file(yaml) is None
    assert refusal_of_file(json) is None
