"""`xds-server import`: policies out of the objects of other projects.

Policies go to stdout as YAML, what has not come along to stderr, each with its place.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xds_server.flag import flag
from xds_server.settings import (
    ImportGatewaySettings,
    ImportIstioSettings,
    ImportSettings,
    MeshSettings,
)
from xds_server.terminal import EXIT_FINDING, emit, say, settings_of

if TYPE_CHECKING:
    from xds_server.importer.imported import Imported

import_ = typer.Typer(
    name="import",
    no_args_is_help=True,
    help="Print the policies that objects of another project amount to, as YAML, and "
    "say what of them is not carried over.",
    epilog="Exit codes: 0 all is carried over, 1 something is not, or cannot be read.",
)

Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Files and directories of manifests; - for standard input.",
        show_default=False,
    ),
]
Namespace = Annotated[
    str | None, flag(ImportSettings, "namespace", "-n", "--namespace")
]


@import_.command()
def istio(
    paths: Sources,
    *,
    namespace: Namespace = None,
    istio_namespace: Annotated[
        str | None, flag(ImportIstioSettings, "istio_namespace")
    ] = None,
    root_namespace: Annotated[str | None, flag(MeshSettings, "root_namespace")] = None,
) -> None:
    """DestinationRules of Istio."""
    settings = settings_of(ImportIstioSettings, locals())
    mesh = settings_of(MeshSettings, locals())

    from xds_server.importer.istio import import_istio
    from xds_server.importer.source import read

    found = read(map(str, paths), stdin=_stdin(paths), namespace=settings.namespace)
    _print(
        import_istio(
            found, root=settings.istio_namespace, root_namespace=mesh.root_namespace
        )
    )


@import_.command()
def envoy_gateway(
    paths: Sources,
    *,
    namespace: Namespace = None,
    service: Annotated[list[str] | None, flag(ImportGatewaySettings, "service")] = None,
) -> None:
    """BackendTrafficPolicies of Envoy Gateway."""
    settings = settings_of(ImportGatewaySettings, locals())

    from xds_server.importer.gateway import import_gateway
    from xds_server.importer.source import read

    found = read(map(str, paths), stdin=_stdin(paths), namespace=settings.namespace)
    _print(import_gateway(found, services=settings.service))


def _stdin(paths: list[Path]) -> bytes:
    return sys.stdin.buffer.read() if Path("-") in paths else b""


def _print(imported: "Imported") -> None:
    if imported.policies:
        emit(imported.text.rstrip("\n"))
    for line in imported.told:
        say(line)
    if not imported.is_whole:
        raise typer.Exit(EXIT_FINDING)
