"""A whole mesh as one static bootstrap, so that an Envoy alone can judge it.

Everything that the mesh translates to is in it as it would be sent, but for where it
comes from: assignments and routes are inline instead of in EDS and RDS. Secrets are
left out, since the files that they name are not here.
"""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)

from tests.components import envoy_binary
from tests.translate.bootstrap_input import make_bootstrap
from xds_server.mesh.model import Audience, Service, Upstream
from xds_server.translate.listener import build_listeners
from xds_server.translate.route import build_route_configuration
from xds_server.translate.static_cluster import build_static_cluster


def static_bootstrap(
    audience: Audience, services: Sequence[Service]
) -> bootstrap_pb2.Bootstrap:
    """Return a bootstrap that needs no xds-server."""
    upstreams = [upstream for service in services for upstream in service.upstreams]
    routes = route_pb2.RouteConfiguration.FromString(
        build_route_configuration(services, audience).body
    )
    bootstrap = bootstrap_pb2.Bootstrap.FromString(_bootstrap(audience))
    bootstrap.ClearField("dynamic_resources")
    resources = bootstrap.static_resources
    resources.clusters.extend(build_static_cluster(upstream) for upstream in upstreams)
    resources.listeners.extend(_static_listeners(audience, upstreams, routes))
    return bootstrap


def refusal(bootstrap: bootstrap_pb2.Bootstrap, directory: Path) -> str | None:
    """Return what a real Envoy has against *bootstrap*, warnings too, or None."""
    path = directory / "bootstrap.pb"
    path.write_bytes(bootstrap.SerializeToString())
    return refusal_of_file(path)


def refusal_of_file(path: Path) -> str | None:
    """Return what a real Envoy has against a bootstrap, warnings too, or None."""
    binary = envoy_binary()
    assert binary is not None
    done = subprocess.run(  # noqa: S603 - a binary of this environment
        [binary, "--mode", "validate", "--log-level", "warning", "-c", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    complaints = done.stderr.strip()
    if done.returncode:
        return complaints or f"exit status {done.returncode}"
    return complaints or None


def _bootstrap(audience: Audience) -> bytes:
    return bytes(
        make_bootstrap(
            node_id="static",
            role=audience.role,
            namespace=audience.namespace,
            admin_address="127.0.0.1:0",
            listen_address=audience.listen_address,
            listen_port=audience.listen_port,
        )
    )


def _static_listeners(
    audience: Audience,
    upstreams: Iterable[Upstream],
    routes: route_pb2.RouteConfiguration,
) -> Iterable[listener_pb2.Listener]:
    for resource in build_listeners(audience, upstreams):
        listener = listener_pb2.Listener.FromString(resource.body)
        typed_config = listener.filter_chains[0].filters[0].typed_config
        manager = http_connection_manager_pb2.HttpConnectionManager()
        if typed_config.Unpack(manager):
            manager.route_config.CopyFrom(routes)
            typed_config.Pack(manager)
        yield listener
