"""Bootstraps for tests, and where the ready ones are."""

from functools import partial
from pathlib import Path
from typing import Literal, TypedDict

from xds_server.mesh.model import Role
from xds_server.translate.bootstrap import build_bootstrap

READY = Path(__file__).parents[2] / "envoy"
"""The folder of the ready bootstraps."""


class Arguments(TypedDict, total=False):
    """What a test wants otherwise than the command's defaults."""

    node_id: str
    node_cluster: str
    role: Role
    namespace: str | None
    service: str | None
    labels: dict[str, str]
    region: str
    zone: str
    node_name: str
    xds_address: str
    mode: Literal["delta", "sotw"]
    admin_address: str
    listen_address: str
    listen_port: int
    stats_address: str | None


make_bootstrap = partial(
    build_bootstrap,
    node_id="sidecar",
    node_cluster="xds-server",
    role=Role.SIDECAR,
    namespace=None,
    labels={},
    region="",
    zone="",
    node_name="",
    xds_address="127.0.0.1:18000",
    mode="delta",
    admin_address="127.0.0.1:19000",
    listen_address="127.0.0.1",
    listen_port=15001,
)
"""Returns the bootstrap of the command's defaults, but for its arguments."""
