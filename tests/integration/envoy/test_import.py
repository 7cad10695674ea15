"""What is imported of other projects' examples, real Envoys acknowledge."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fuzz import certificates
from tests.fuzz.meshes import Mesh
from tests.fuzz.written import Json
from tests.importer.mesh import services_of
from tests.integration.envoy.judges import run_judges
from xds_server.importer.source import mapping

pytestmark = pytest.mark.envoy

IMPORTED = Path(__file__).parents[2] / "importer" / "testdata"
FILES = {
    "/etc/certs/rootcacerts.pem": certificates.AUTHORITY,
    "/etc/certs/myclientcert.pem": certificates.CERTIFICATE,
    "/etc/certs/client_private_key.pem": certificates.KEY,
}
"""An Envoy refuses the files of examples, which are not there; these are."""


def examples() -> Iterator[tuple[Path, Mesh]]:
    """Yield the policies of each example, with Services that they are for."""
    for path in sorted(IMPORTED.glob("*/*.policies.yaml")):
        written = path.read_text()
        for named, there in FILES.items():
            written = written.replace(named, str(there))
        policies = [*filter(None, yaml.safe_load_all(written))]
        if policies:
            manifests: list[Json] = [
                {**mapping(one)} for one in (*services_of(policies), *policies)
            ]
            yield path, Mesh(manifests, len(policies))


async def test_envoys_take_what_is_imported(tmp_path: Path) -> None:
    """One example after the other: they have Services in common."""
    in_force: dict[str, int] = {}
    async with run_judges(tmp_path) as judges:
        for path, mesh in examples():
            in_force[path.name] = (await judges.judge([mesh])).policies

    assert in_force == {path.name: mesh.policies for path, mesh in examples()}
    assert sum(in_force.values()) > 40
