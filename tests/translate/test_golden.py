"""Every `*.in.yaml` has one golden a resource type, and no golden is stale.

Secrets are with the clusters that refer to them.

The text of a golden is what `render` prints. A changed golden is a changed behaviour.
"""

from pathlib import Path

import pytest

from tests.conftest import GoldenCheck
from tests.translate.mesh_input import load_mesh
from xds_server.translate.render import resources_as_mapping, to_yaml
from xds_server.translate.service import build_entrance, build_service
from xds_server.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

TESTDATA = Path(__file__).with_name("testdata")
CASES = sorted(TESTDATA.glob("*.in.yaml"))

GOLDENS = {
    "clusters": (CLUSTER, SECRET),
    "endpoints": (ENDPOINT,),
    "listeners": (LISTENER,),
    "routes": (ROUTE,),
}


def golden_of(case: Path, kind: str) -> Path:
    return case.with_name(case.name.replace(".in.", f".{kind}."))


@pytest.mark.parametrize("kind", GOLDENS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.split(".")[0])
def test_golden(case: Path, kind: str, golden: GoldenCheck) -> None:
    audience, services = load_mesh(case)
    resources = [
        each for service in services for each in build_service(service, audience.client)
    ]
    resources += build_entrance(services, audience)
    mapping = resources_as_mapping(
        each for each in resources if each.type_url in GOLDENS[kind]
    )

    golden(golden_of(case, kind), to_yaml(mapping))


def test_no_golden_is_stale() -> None:
    expected = {golden_of(case, kind).name for case in CASES for kind in GOLDENS}
    actual = {path.name for path in TESTDATA.iterdir()} - {case.name for case in CASES}

    assert expected == actual
