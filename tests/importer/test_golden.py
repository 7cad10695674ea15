"""What examples of other projects become, and what is said of the rest.

The examples state the facts of pages that these projects have, each named in a comment.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import GoldenCheck
from tests.importer.mesh import services_of
from xds_server import offline
from xds_server.importer.gateway import import_gateway
from xds_server.importer.imported import Imported
from xds_server.importer.istio import import_istio
from xds_server.importer.source import read

TESTDATA = Path(__file__).parent / "testdata"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
INPUTS = sorted(TESTDATA.glob("*/*.in.yaml"))


def imported(path: Path, monkeypatch: pytest.MonkeyPatch) -> Imported:
    """Import an example as a user who stands beside it would."""
    monkeypatch.chdir(path.parent)
    found = read([path.name], namespace="default")
    importers: dict[str, Callable[[], Imported]] = {
        "istio": lambda: import_istio(
            found, root="istio-system", root_namespace="xds-system"
        ),
        "envoy-gateway": lambda: import_gateway(found),
    }
    return importers[path.parent.name]()


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_examples_become_these_policies(
    path: Path, golden: GoldenCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = imported(path, monkeypatch)
    name = path.name.removesuffix(".in.yaml")

    golden(path.with_name(f"{name}.policies.yaml"), result.text)
    golden(path.with_name(f"{name}.told.txt"), "\n".join(result.told) + "\n")


def test_no_golden_file_is_left_over() -> None:
    names = {path.name.removesuffix(".in.yaml") for path in INPUTS}
    others = {path.name.split(".")[0] for path in TESTDATA.glob("*/*.*")}

    assert names == others


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_what_comes_out_is_accepted_and_translated(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For Services with a port that speaks HTTP/2, which all sections fit."""
    text = imported(path, monkeypatch).text
    services = services_of(yaml.safe_load_all(text))
    (tmp_path / "mesh.yaml").write_text(f"{text}---\n{yaml.safe_dump_all(services)}")

    resources, findings = offline.render([tmp_path], node_id="node", metadata={})

    is_empty = not services and "contains no document" in str(findings.problems)
    assert is_empty or not findings.has_errors, "\n".join(map(str, findings.problems))
    clusters = {each.name for each in resources if each.type_url == CLUSTER}
    assert bool(clusters) == bool(services)
