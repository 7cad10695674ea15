"""The command line: what there is to say, and what is said then.

How it is printed, and the exit codes, are in `terminal`, the commands of `import` in
`cli_import`. Rooms are imported by the command that needs them: `check` must not pay
for Envoy.
"""

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from xds_server.api.problem import Problem
from xds_server.cli_import import import_
from xds_server.cli_lab import Paths, advise, cancel_on_sigterm, lab_failures
from xds_server.flag import flag
from xds_server.settings import (
    BootstrapSettings,
    CheckSettings,
    Client,
    ExplainSettings,
    LogFormat,
    LogLevel,
    MeshSettings,
    Mode,
    RenderFormat,
    RenderSettings,
    ReportFormat,
    ResourceType,
    Role,
    ServeSettings,
    StatusSettings,
    TopSettings,
    TrySettings,
)
from xds_server.terminal import (
    EXIT_FINDING,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    emit,
    fail,
    say,
    settings_of,
)

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
cli.add_typer(import_)
cli.command()(advise)

OptionalPaths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PATH]...",
        help="Files and directories of policies and Kubernetes manifests.",
        show_default=False,
    ),
]


RootNamespace = Annotated[str | None, flag(MeshSettings, "root_namespace")]


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 - a callback of typer's
    if is_asked:
        emit(f"xds-server {version('xds-server')}")
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
    state_file: Annotated[Path | None, flag(ServeSettings, "state_file")] = None,
    kubernetes: Annotated[
        bool | None, flag(ServeSettings, "kubernetes", "--kubernetes")
    ] = None,
    kubeconfig: Annotated[Path | None, flag(ServeSettings, "kubeconfig")] = None,
    namespace: Annotated[list[str] | None, flag(ServeSettings, "namespace")] = None,
    selector: Annotated[str | None, flag(ServeSettings, "selector")] = None,
    lease: Annotated[str | None, flag(ServeSettings, "lease")] = None,
    replica: Annotated[str | None, flag(ServeSettings, "replica")] = None,
    root_namespace: RootNamespace = None,
) -> None:
    """Serve policies to Envoys, and follow every change on disk and in a cluster."""
    settings = settings_of(ServeSettings, locals())
    try:
        settings.require_use(paths or [])
    except ValueError as error:
        fail(error, EXIT_USAGE)

    from xds_server import app
    from xds_server.log import configure_logging

    configure_logging(settings.log_format, settings.log_level)
    try:
        asyncio.run(app.serve(paths or [], settings))
    except app.StartError as error:
        fail(error)


@cli.command()
def check(
    paths: Paths,
    *,
    envoy: Annotated[bool | None, flag(CheckSettings, "envoy", "--envoy")] = None,
    root_namespace: RootNamespace = None,
) -> None:
    """Print every error in policies and manifests, with its place."""
    mesh = settings_of(MeshSettings, locals())
    settings = settings_of(CheckSettings, locals())

    from xds_server import offline

    findings = offline.check(paths, root_namespace=mesh.root_namespace)
    if settings.envoy:
        findings = findings.with_more(_judge(paths, mesh.root_namespace))
    for problem in findings.problems:
        emit(str(problem))
    say(str(findings))
    if findings.has_errors:
        raise typer.Exit(EXIT_FINDING)


def _judge(paths: list[Path], root_namespace: str) -> tuple[Problem, ...]:
    """Return what a real Envoy refuses."""
    from xds_server.lab import judgement
    from xds_server.lab.envoy import find_envoy
    from xds_server.lab.error import LabError

    try:
        return judgement.judge(paths, find_envoy(), root_namespace=root_namespace)
    except LabError as error:
        fail(error)


@cli.command()
def crd() -> None:
    """Print the CustomResourceDefinition of TrafficPolicy, for a cluster."""
    import yaml

    from xds_server.api.crd import custom_resource_definition

    definition = custom_resource_definition()
    text = yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=100)
    emit(text.rstrip("\n"))


@cli.command()
def render(
    paths: Paths,
    *,
    node_id: Annotated[str | None, flag(RenderSettings, "node_id")] = None,
    label: Annotated[list[str] | None, flag(RenderSettings, "label")] = None,
    client: Annotated[Client | None, flag(RenderSettings, "client")] = None,
    role: Annotated[Role | None, flag(RenderSettings, "role")] = None,
    region: Annotated[str | None, flag(RenderSettings, "region")] = None,
    zone: Annotated[str | None, flag(RenderSettings, "zone")] = None,
    node_name: Annotated[str | None, flag(RenderSettings, "node_name")] = None,
    type: Annotated[  # noqa: A002 - the flag's name
        ResourceType | None, flag(RenderSettings, "type")
    ] = None,
    output: Annotated[
        RenderFormat | None, flag(RenderSettings, "output", "-o", "--output")
    ] = None,
    root_namespace: RootNamespace = None,
) -> None:
    """Print what a node would be sent, without serving it."""
    settings = settings_of(RenderSettings, locals())
    mesh = settings_of(MeshSettings, locals())

    from xds_server import offline
    from xds_server.mesh.model import Locality
    from xds_server.translate import render as text
    from xds_server.xds import SHORT_NAMES

    metadata = {
        "role": settings.role.value,
        "node_name": settings.node_name,
        "labels": settings.labels,
    }
    resources, findings = offline.render(
        paths,
        node_id=settings.node_id,
        metadata=metadata,
        user_agent=settings.client.value,
        locality=Locality(region=settings.region, zone=settings.zone),
        root_namespace=mesh.root_namespace,
    )
    for problem in findings.problems:
        say(str(problem))
    wanted = settings.type
    mapping = text.resources_as_mapping(
        each
        for each in resources
        if wanted is None or SHORT_NAMES[each.type_url] == wanted
    )
    as_yaml = settings.output is RenderFormat.YAML
    emit((text.to_yaml(mapping) if as_yaml else text.to_json(mapping)).rstrip("\n"))
    if findings.has_errors:
        say(f"{findings}: what has an error is left out")
        raise typer.Exit(EXIT_FINDING)


@cli.command()
def explain(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            help="NAMESPACE/NAME[:PORT]; the client's namespace may be left out.",
            show_default=False,
        ),
    ],
    paths: Paths,
    *,
    node_id: Annotated[str | None, flag(ExplainSettings, "node_id")] = None,
    label: Annotated[list[str] | None, flag(ExplainSettings, "label")] = None,
    output: Annotated[
        ReportFormat | None, flag(ExplainSettings, "output", "-o", "--output")
    ] = None,
    root_namespace: RootNamespace = None,
) -> None:
    """Print what a client gets of a Service: each field, who says it, and where."""
    settings = settings_of(ExplainSettings, locals())
    mesh = settings_of(MeshSettings, locals())

    from rich.console import Console

    from xds_server import explanation_table as shown, offline

    try:
        explanations, name, findings = offline.explain(
            paths,
            service=service,
            node_id=settings.node_id,
            labels=settings.labels,
            root_namespace=mesh.root_namespace,
        )
    except KeyError as error:
        fail(error.args[0], EXIT_USAGE)
    if settings.output is ReportFormat.JSON:
        emit(shown.explanations_json(name, settings.labels, explanations))
    else:
        console = Console()
        for table in shown.explanation_tables(name, explanations):
            console.print(table)
            console.print()
    if findings.has_errors:
        say(f"{findings}: `xds-server check` prints them")
        raise typer.Exit(EXIT_FINDING)


@cli.command()
def bootstrap(
    *,
    client: Annotated[Client | None, flag(BootstrapSettings, "client")] = None,
    node_id: Annotated[str | None, flag(BootstrapSettings, "node_id")] = None,
    role: Annotated[Role | None, flag(BootstrapSettings, "role")] = None,
    node_cluster: Annotated[str | None, flag(BootstrapSettings, "node_cluster")] = None,
    namespace: Annotated[str | None, flag(BootstrapSettings, "namespace")] = None,
    service: Annotated[str | None, flag(BootstrapSettings, "service")] = None,
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
    stats_address: Annotated[
        str | None, flag(BootstrapSettings, "stats_address")
    ] = None,
) -> None:
    """Print the bootstrap with which an Envoy, or gRPC, finds this server."""
    settings = settings_of(BootstrapSettings, locals())
    try:
        emit(_bootstrap(settings).rstrip("\n"))
    except ValueError as error:
        fail(error, EXIT_USAGE)
    if settings.hint:
        say(f"hint: {settings.hint}")


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
                service=settings.service,
                labels=settings.labels,
                region=settings.region,
                zone=settings.zone,
                node_name=settings.node_name,
                xds_address=settings.xds_address,
                mode=settings.mode.value,
                admin_address=settings.admin_address,
                listen_address=settings.listen_address,
                listen_port=settings.listen_port,
                stats_address=settings.stats_address,
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
    label: Annotated[list[str] | None, flag(TrySettings, "label")] = None,
    namespace: Annotated[str | None, flag(TrySettings, "namespace")] = None,
    seed: Annotated[int | None, flag(TrySettings, "seed")] = None,
    envoy: Annotated[Path | None, flag(TrySettings, "envoy")] = None,
    plot: Annotated[Path | None, flag(TrySettings, "plot")] = None,
    output: Annotated[
        ReportFormat | None, flag(TrySettings, "output", "-o", "--output")
    ] = None,
    root_namespace: RootNamespace = None,
) -> None:
    """Measure policies on a real Envoy and judge what was measured."""
    mesh = settings_of(MeshSettings, locals())
    _try(paths, settings_of(TrySettings, locals()), mesh)


@cli.command()
def demo(
    *,
    plot: Annotated[Path | None, flag(TrySettings, "plot")] = None,
    output: Annotated[
        ReportFormat | None, flag(TrySettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Measure every algorithm: `try` with the packaged examples."""
    settings = settings_of(TrySettings, locals())
    mesh = settings_of(MeshSettings, {})

    from xds_server.lab.error import LabError
    from xds_server.lab.example import packaged_examples

    try:
        examples = packaged_examples()
    except LabError as error:
        fail(error)
    _try([examples], settings, mesh)


def _try(paths: list[Path], settings: TrySettings, mesh: MeshSettings) -> None:
    """Measure, print the report, and exit as the verdicts say."""
    with lab_failures():
        holds = asyncio.run(_measure(paths, settings, mesh))
    if not holds:
        raise typer.Exit(EXIT_FINDING)


async def _measure(
    paths: list[Path], settings: TrySettings, mesh: MeshSettings
) -> bool:
    """Measure and print; return whether everything holds.

    SIGTERM cancels it, as Ctrl-C does: what was started is ended, what was written for
    the time of the run is removed.
    """
    from xds_server.lab import plot, report, trial

    cancel_on_sigterm()
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
            root_namespace=mesh.root_namespace,
            labels=settings.labels,
        )
    if settings.output is ReportFormat.JSON:
        emit(report.report_json(result))
    else:
        report.print_report(result)
    if settings.plot is not None:
        plot.draw_report(result, settings.plot)
        say(f"wrote {settings.plot}")
    return result.holds


@cli.command()
def status(
    *,
    admin_address: Annotated[str | None, flag(StatusSettings, "admin_address")] = None,
    output: Annotated[
        ReportFormat | None, flag(StatusSettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Show what the nodes of a running server hold, every policy, and weights.

    The exit code is 1 where a policy is not accepted, a node rejects something, or the
    server is not ready.
    """
    settings = settings_of(StatusSettings, locals())

    from rich.console import Console

    from xds_server import status_table as shown
    from xds_server.weight_table import weight_table

    try:
        answer = asyncio.run(shown.fetch_status(settings.admin_address))
        found = shown.decode_status(answer)
    except shown.StatusError as error:
        fail(f"{error}\n  hint: --admin-address says where the server's is")
    if settings.output is ReportFormat.JSON:
        emit(answer.decode())
    else:
        console = Console()
        weights = map(weight_table, found.weights)
        for table in (*shown.status_tables(found), *weights):
            console.print(table)
            console.print()
        for line in shown.problem_lines(found):
            emit(line)
    if not found.is_fine:
        raise typer.Exit(EXIT_FINDING)


@cli.command()
def top(
    *,
    admin_address: Annotated[str | None, flag(StatusSettings, "admin_address")] = None,
    service: Annotated[str | None, flag(TopSettings, "service")] = None,
    refresh: Annotated[str | None, flag(TopSettings, "refresh")] = None,
    once: Annotated[bool | None, flag(TopSettings, "once", "--once")] = None,
) -> None:
    """Watch how the endpoints of weighed Services stand: rate, latency, weight, why.

    The figures are of the last period of reports. Ctrl-C ends it.
    """
    asked = settings_of(StatusSettings, {"admin_address": admin_address})
    settings = settings_of(TopSettings, locals())

    from rich.console import Console

    from xds_server.status_table import StatusError
    from xds_server.top import show_once, watch

    console, service = Console(), settings.service
    try:
        if settings.once:
            asyncio.run(show_once(console, asked.admin_address, service))
        else:
            asyncio.run(watch(console, asked.admin_address, service, settings.refresh))
    except StatusError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
