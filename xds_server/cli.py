"""The command line: the only place that prints.

stdout is data, stderr everything else. Exit codes: 0 fine, 1 a finding (an invalid
policy, a distribution that does not hold, a rejected configuration), 2 wrong usage,
3 something needed is missing (an address in use, no Envoy, no answer), 130 interrupted.
Rooms are imported by the command that needs them: `check` must not pay for Envoy.
"""

import asyncio
import signal
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from xds_server.flag import complaints, flag
from xds_server.settings import (
    BootstrapSettings,
    Client,
    LogFormat,
    LogLevel,
    Mode,
    RenderFormat,
    RenderSettings,
    ReportFormat,
    ResourceType,
    Role,
    ServeSettings,
    StatusSettings,
    TrySettings,
)

EXIT_FINDING = 1
EXIT_USAGE = 2
EXIT_MISSING = 3
EXIT_INTERRUPTED = 130

cli = typer.Typer(
    name="xds-server",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # markup would take [env: ...] for a style
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Declarative traffic policies for Envoy, proved on a real Envoy.",
    epilog="Exit codes: 0 fine, 1 a finding, 2 wrong usage, 3 something is missing, "
    "130 interrupted.",
)

Settings = TypeVar("Settings", bound=BaseSettings)


def _settings(settings: type[Settings], flags: Mapping[str, object]) -> Settings:
    """Return the settings made of *flags* over environment over defaults, or exit."""
    fields = settings.model_fields
    given = {
        name: value
        for name, value in flags.items()
        if name in fields and value not in (None, [])
    }
    try:
        return settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        for complaint in complaints(error, settings, given):
            _say(f"error: {complaint}")
        raise typer.Exit(EXIT_USAGE) from None


def _say(text: str) -> None:
    """Write *text* for people, to stderr."""
    typer.echo(text, err=True)


def _data(text: str) -> None:
    """Write *text* as data, to stdout."""
    typer.echo(text)


def _fail(reason: object, code: int = EXIT_MISSING) -> NoReturn:
    _say(f"error: {reason}")
    raise typer.Exit(code)


Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="Files and directories of policies and Kubernetes manifests.",
        show_default=False,
    ),
]


OptionalPaths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PATH]...",
        help="Files and directories of policies and Kubernetes manifests.",
        show_default=False,
    ),
]


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 - a callback of typer's
    if is_asked:
        _data(f"xds-server {version('xds-server')}")
        raise typer.Exit


@cli.callback()
def root(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Run before every command."""
    del show_version


@cli.command()
def serve(
    paths: OptionalPaths = None,
    *,
    xds_address: Annotated[str | None, flag(ServeSettings, "xds_address")] = None,
    admin_address: Annotated[str | None, flag(ServeSettings, "admin_address")] = None,
    log_format: Annotated[LogFormat | None, flag(ServeSettings, "log_format")] = None,
    log_level: Annotated[LogLevel | None, flag(ServeSettings, "log_level")] = None,
    stop_timeout: Annotated[str | None, flag(ServeSettings, "stop_timeout")] = None,
    kubernetes: Annotated[
        bool | None, flag(ServeSettings, "kubernetes", "--kubernetes")
    ] = None,
    kubeconfig: Annotated[Path | None, flag(ServeSettings, "kubeconfig")] = None,
    namespace: Annotated[list[str] | None, flag(ServeSettings, "namespace")] = None,
    selector: Annotated[str | None, flag(ServeSettings, "selector")] = None,
    lease: Annotated[str | None, flag(ServeSettings, "lease")] = None,
    replica: Annotated[str | None, flag(ServeSettings, "replica")] = None,
) -> None:
    """Serve policies to Envoys, and follow every change on disk and in a cluster."""
    settings = _settings(ServeSettings, locals())
    try:
        settings.require_use(paths or [])
    except ValueError as error:
        _fail(error, EXIT_USAGE)

    from xds_server import app
    from xds_server.log import configure_logging

    configure_logging(settings.log_format, settings.log_level)
    try:
        asyncio.run(app.serve(paths or [], settings))
    except app.StartError as error:
        _fail(error)


@cli.command()
def check(paths: Paths) -> None:
    """Print every error in policies and manifests, with its place."""
    from xds_server import offline

    findings = offline.check(paths)
    for problem in findings.problems:
        _data(str(problem))
    _say(str(findings))
    if findings.has_errors:
        raise typer.Exit(EXIT_FINDING)


@cli.command()
def crd() -> None:
    """Print the CustomResourceDefinition of TrafficPolicy, for a cluster."""
    import yaml

    from xds_server.api.crd import custom_resource_definition

    definition = custom_resource_definition()
    text = yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=100)
    _data(text.rstrip("\n"))


@cli.command()
def render(
    paths: Paths,
    *,
    node_id: Annotated[str | None, flag(RenderSettings, "node_id")] = None,
    client: Annotated[Client | None, flag(RenderSettings, "client")] = None,
    role: Annotated[Role | None, flag(RenderSettings, "role")] = None,
    zone: Annotated[str | None, flag(RenderSettings, "zone")] = None,
    node_name: Annotated[str | None, flag(RenderSettings, "node_name")] = None,
    type: Annotated[  # noqa: A002 - the flag's name
        ResourceType | None, flag(RenderSettings, "type")
    ] = None,
    output: Annotated[
        RenderFormat | None, flag(RenderSettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Print what a node would be sent, without serving it."""
    settings = _settings(RenderSettings, locals())

    from xds_server import offline
    from xds_server.mesh.model import Locality
    from xds_server.translate import render as text
    from xds_server.xds import SHORT_NAMES

    metadata = {"role": settings.role.value, "node_name": settings.node_name}
    resources, findings = offline.render(
        paths,
        node_id=settings.node_id,
        metadata=metadata,
        user_agent=settings.client.value,
        locality=Locality(zone=settings.zone),
    )
    for problem in findings.problems:
        _say(str(problem))
    wanted = settings.type
    mapping = text.resources_as_mapping(
        each
        for each in resources
        if wanted is None or SHORT_NAMES[each.type_url] == wanted
    )
    as_yaml = settings.output is RenderFormat.YAML
    _data((text.to_yaml(mapping) if as_yaml else text.to_json(mapping)).rstrip("\n"))
    if findings.has_errors:
        _say(f"{findings}: what has an error is left out")
        raise typer.Exit(EXIT_FINDING)


@cli.command()
def bootstrap(
    *,
    client: Annotated[Client | None, flag(BootstrapSettings, "client")] = None,
    node_id: Annotated[str | None, flag(BootstrapSettings, "node_id")] = None,
    role: Annotated[Role | None, flag(BootstrapSettings, "role")] = None,
    node_cluster: Annotated[str | None, flag(BootstrapSettings, "node_cluster")] = None,
    namespace: Annotated[str | None, flag(BootstrapSettings, "namespace")] = None,
    label: Annotated[list[str] | None, flag(BootstrapSettings, "label")] = None,
    region: Annotated[str | None, flag(BootstrapSettings, "region")] = None,
    zone: Annotated[str | None, flag(BootstrapSettings, "zone")] = None,
    node_name: Annotated[str | None, flag(BootstrapSettings, "node_name")] = None,
    xds_address: Annotated[str | None, flag(BootstrapSettings, "xds_address")] = None,
    mode: Annotated[Mode | None, flag(BootstrapSettings, "mode")] = None,
    admin_address: Annotated[
        str | None, flag(BootstrapSettings, "admin_address")
    ] = None,
    listen_address: Annotated[
        str | None, flag(BootstrapSettings, "listen_address")
    ] = None,
    listen_port: Annotated[int | None, flag(BootstrapSettings, "listen_port")] = None,
) -> None:
    """Print the bootstrap with which an Envoy, or gRPC, finds this server."""
    settings = _settings(BootstrapSettings, locals())
    try:
        _data(_bootstrap(settings).rstrip("\n"))
    except ValueError as error:
        _fail(error, EXIT_USAGE)
    if settings.hint:
        _say(f"hint: {settings.hint}")


def _bootstrap(settings: BootstrapSettings) -> str:
    """Return the text of a bootstrap; a ValueError names a setting that is wrong."""
    from xds_server.translate import render as text

    settings.require_use()
    if settings.client is Client.GRPC:
        from xds_server.translate.proxyless.bootstrap import build_grpc_bootstrap

        return text.to_json(
            build_grpc_bootstrap(
                node_id=settings.node_id,
                node_cluster=settings.node_cluster,
                namespace=settings.namespace,
                labels=settings.labels,
                region=settings.region,
                zone=settings.zone,
                node_name=settings.node_name,
                xds_address=settings.xds_address,
            )
        )
    from xds_server.mesh import model
    from xds_server.translate.bootstrap import build_bootstrap

    return text.to_yaml(
        text.bootstrap_as_mapping(
            build_bootstrap(
                node_id=settings.node_id,
                node_cluster=settings.node_cluster,
                role=model.Role(settings.role.value),
                namespace=settings.namespace,
                labels=settings.labels,
                region=settings.region,
                zone=settings.zone,
                node_name=settings.node_name,
                xds_address=settings.xds_address,
                mode=settings.mode.value,
                admin_address=settings.admin_address,
                listen_address=settings.listen_address,
                listen_port=settings.listen_port,
            )
        )
    )


@cli.command(name="try")
def try_(
    paths: Paths,
    *,
    service: Annotated[str | None, flag(TrySettings, "service")] = None,
    requests: Annotated[int | None, flag(TrySettings, "requests")] = None,
    concurrency: Annotated[int | None, flag(TrySettings, "concurrency")] = None,
    seed: Annotated[int | None, flag(TrySettings, "seed")] = None,
    envoy: Annotated[Path | None, flag(TrySettings, "envoy")] = None,
    plot: Annotated[Path | None, flag(TrySettings, "plot")] = None,
    output: Annotated[
        ReportFormat | None, flag(TrySettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Measure policies on a real Envoy and judge what was measured."""
    _try(paths, _settings(TrySettings, locals()))


@cli.command()
def demo(
    *,
    plot: Annotated[Path | None, flag(TrySettings, "plot")] = None,
    output: Annotated[
        ReportFormat | None, flag(TrySettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Measure every algorithm: `try` with the packaged examples."""
    settings = _settings(TrySettings, locals())

    from xds_server.lab.error import LabError
    from xds_server.lab.example import packaged_examples

    try:
        examples = packaged_examples()
    except LabError as error:
        _fail(error)
    _try([examples], settings)


def _try(paths: list[Path], settings: TrySettings) -> None:
    """Measure, print the report, and exit as the verdicts say."""
    from xds_server.lab.error import LabError, UsageError
    from xds_server.lab.trial import InvalidDocumentsError

    try:
        holds = asyncio.run(_measure(paths, settings))
    except InvalidDocumentsError as error:
        _say(str(error))
        raise typer.Exit(EXIT_FINDING) from None
    except UsageError as error:
        _fail(error, EXIT_USAGE)
    except LabError as error:
        _fail(error)
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not holds:
        raise typer.Exit(EXIT_FINDING)


async def _measure(paths: list[Path], settings: TrySettings) -> bool:
    """Measure and print; return whether everything holds.

    SIGTERM cancels it, as Ctrl-C does: what was started is ended, what was written for
    the time of the run is removed.
    """
    from xds_server.lab import plot, report, trial

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is a coroutine
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if settings.plot is not None:
        plot.require_plot(settings.plot)
    with report.show_progress() as progress:
        result = await trial.run_trials(
            paths,
            service=settings.service,
            requests=settings.requests,
            concurrency=settings.concurrency,
            seed=settings.seed,
            envoy=settings.envoy,
            progress=progress,
        )
    if settings.output is ReportFormat.JSON:
        _data(report.report_json(result))
    else:
        report.print_report(result)
    if settings.plot is not None:
        plot.draw_report(result, settings.plot)
        _say(f"wrote {settings.plot}")
    return result.holds


@cli.command()
def status(
    *,
    admin_address: Annotated[str | None, flag(StatusSettings, "admin_address")] = None,
    output: Annotated[
        ReportFormat | None, flag(StatusSettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Show what the nodes of a running server hold, and every policy.

    The exit code is 1 where a policy is not accepted, a node rejects something, or the
    server is not ready.
    """
    settings = _settings(StatusSettings, locals())

    from rich.console import Console

    from xds_server import status_table as shown

    try:
        answer = asyncio.run(shown.fetch_status(settings.admin_address))
        found = shown.decode_status(answer)
    except shown.StatusError as error:
        _fail(f"{error}\n  hint: --admin-address says where the server's is")
    if settings.output is ReportFormat.JSON:
        _data(answer.decode())
    else:
        console = Console()
        for table in shown.status_tables(found):
            console.print(table)
            console.print()
        for line in shown.problem_lines(found):
            _data(line)
    if not found.is_fine:
        raise typer.Exit(EXIT_FINDING)
