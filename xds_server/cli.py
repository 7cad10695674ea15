"""The command line: the only place that prints.

stdout is data, stderr everything else. Exit codes: 0 fine, 1 a finding (an invalid
policy, a distribution that does not hold, a rejected configuration), 2 wrong usage,
3 something needed is missing (an address in use, no Envoy, no answer), 130 interrupted.
Rooms are imported by the command that needs them: `check` must not pay for Envoy.
"""

import asyncio
import signal
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from typer.models import OptionInfo

from xds_server.api.duration import format_duration
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


def _variable(settings: type[BaseSettings], field: str) -> str:
    """Return the environment variable of one setting."""
    return f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def _flag(settings: type[BaseSettings], field: str, *names: str) -> OptionInfo:
    """Return the option of one setting: its help, default and variable come from it."""
    description = settings.model_fields[field].description
    option: OptionInfo = typer.Option(
        *names, help=f"{description} {_note(settings, field)}", show_default=False
    )
    return option


def _note(settings: type[BaseSettings], field: str) -> str:
    """Say what holds without the flag of a setting, and which variable is for it."""
    info, variable = settings.model_fields[field], _variable(settings, field)
    default = info.get_default()
    if isinstance(default, timedelta):
        default = format_duration(default)
    if info.is_required():
        return f"[required; env: {variable}]"
    if default in (None, "", ()):
        return f"[env: {variable}]"
    return f"[default: {default}; env: {variable}]"


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
        for item in error.errors():
            field = str(item["loc"][0])
            variable = _variable(settings, field)
            flag = "--" + field.replace("_", "-")
            name = flag if field in given else f"{flag} ({variable})"
            message = item["msg"].removeprefix("Value error, ")
            _say(f"error: {name}: {message}")
            if hint := item.get("ctx", {}).get("hint"):
                _say(f"  hint: {hint}")
        raise typer.Exit(EXIT_USAGE) from None


def _say(text: str) -> None:
    """Write *text* for people, to stderr."""
    typer.echo(text, err=True)


def _data(text: str) -> None:
    """Write *text* as data, to stdout."""
    typer.echo(text)


def _missing(reason: object) -> NoReturn:
    _say(f"error: {reason}")
    raise typer.Exit(EXIT_MISSING)


Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="Files and directories of policies and Kubernetes manifests.",
        show_default=False,
    ),
]


@cli.callback()
def root(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """Run before every command."""
    if show_version:
        _data(f"xds-server {version('xds-server')}")
        raise typer.Exit


@cli.command()
def serve(
    paths: Paths,
    *,
    xds_address: Annotated[str | None, _flag(ServeSettings, "xds_address")] = None,
    admin_address: Annotated[str | None, _flag(ServeSettings, "admin_address")] = None,
    log_format: Annotated[LogFormat | None, _flag(ServeSettings, "log_format")] = None,
    log_level: Annotated[LogLevel | None, _flag(ServeSettings, "log_level")] = None,
    stop_timeout: Annotated[str | None, _flag(ServeSettings, "stop_timeout")] = None,
) -> None:
    """Serve policies to Envoys, and follow every change on disk."""
    settings = _settings(ServeSettings, locals())

    from xds_server import app
    from xds_server.log import configure_logging

    configure_logging(settings.log_format, settings.log_level)
    try:
        asyncio.run(app.serve(paths, settings))
    except app.StartError as error:
        _missing(error)


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
def render(
    paths: Paths,
    *,
    node_id: Annotated[str | None, _flag(RenderSettings, "node_id")] = None,
    client: Annotated[Client | None, _flag(RenderSettings, "client")] = None,
    role: Annotated[Role | None, _flag(RenderSettings, "role")] = None,
    type: Annotated[  # noqa: A002 - the flag's name
        ResourceType | None, _flag(RenderSettings, "type")
    ] = None,
    output: Annotated[
        RenderFormat | None, _flag(RenderSettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Print what a node would be sent, without serving it."""
    settings = _settings(RenderSettings, locals())

    from xds_server import offline
    from xds_server.translate import render as text
    from xds_server.xds import SHORT_NAMES

    metadata = {"role": settings.role.value}
    resources, findings = offline.render(
        paths,
        node_id=settings.node_id,
        metadata=metadata,
        user_agent=settings.client.value,
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
    client: Annotated[Client | None, _flag(BootstrapSettings, "client")] = None,
    node_id: Annotated[str | None, _flag(BootstrapSettings, "node_id")] = None,
    role: Annotated[Role | None, _flag(BootstrapSettings, "role")] = None,
    node_cluster: Annotated[
        str | None, _flag(BootstrapSettings, "node_cluster")
    ] = None,
    namespace: Annotated[str | None, _flag(BootstrapSettings, "namespace")] = None,
    label: Annotated[list[str] | None, _flag(BootstrapSettings, "label")] = None,
    region: Annotated[str | None, _flag(BootstrapSettings, "region")] = None,
    zone: Annotated[str | None, _flag(BootstrapSettings, "zone")] = None,
    xds_address: Annotated[str | None, _flag(BootstrapSettings, "xds_address")] = None,
    mode: Annotated[Mode | None, _flag(BootstrapSettings, "mode")] = None,
    admin_address: Annotated[
        str | None, _flag(BootstrapSettings, "admin_address")
    ] = None,
    listen_address: Annotated[
        str | None, _flag(BootstrapSettings, "listen_address")
    ] = None,
    listen_port: Annotated[int | None, _flag(BootstrapSettings, "listen_port")] = None,
) -> None:
    """Print the bootstrap with which an Envoy, or gRPC, finds this server."""
    settings = _settings(BootstrapSettings, locals())
    try:
        _data(_bootstrap(settings).rstrip("\n"))
    except ValueError as error:
        _say(f"error: {error}")
        raise typer.Exit(EXIT_USAGE) from None


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
    service: Annotated[str | None, _flag(TrySettings, "service")] = None,
    requests: Annotated[int | None, _flag(TrySettings, "requests")] = None,
    concurrency: Annotated[int | None, _flag(TrySettings, "concurrency")] = None,
    seed: Annotated[int | None, _flag(TrySettings, "seed")] = None,
    envoy: Annotated[Path | None, _flag(TrySettings, "envoy")] = None,
    plot: Annotated[Path | None, _flag(TrySettings, "plot")] = None,
    output: Annotated[
        ReportFormat | None, _flag(TrySettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Measure policies on a real Envoy and judge what was measured."""
    _try(paths, _settings(TrySettings, locals()))


@cli.command()
def demo(
    *,
    plot: Annotated[Path | None, _flag(TrySettings, "plot")] = None,
    output: Annotated[
        ReportFormat | None, _flag(TrySettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Measure every algorithm: `try` with the packaged examples."""
    settings = _settings(TrySettings, locals())

    from xds_server.lab.error import LabError
    from xds_server.lab.example import packaged_examples

    try:
        examples = packaged_examples()
    except LabError as error:
        _missing(error)
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
        _say(f"error: {error}")
        raise typer.Exit(EXIT_USAGE) from None
    except LabError as error:
        _missing(error)
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
    admin_address: Annotated[str | None, _flag(StatusSettings, "admin_address")] = None,
    output: Annotated[
        ReportFormat | None, _flag(StatusSettings, "output", "-o", "--output")
    ] = None,
) -> None:
    """Show what the nodes of a running server hold, and every policy.

    The exit code is 1 where a policy is not accepted, or a node rejects something.
    """
    settings = _settings(StatusSettings, locals())

    from rich.console import Console

    from xds_server.status_table import (
        StatusError,
        decode_status,
        fetch_status,
        problem_lines,
        status_tables,
    )

    try:
        answer = asyncio.run(fetch_status(settings.admin_address))
        found = decode_status(answer)
    except StatusError as error:
        _missing(f"{error}\n  hint: --admin-address says where the server's is")
    if settings.output is ReportFormat.JSON:
        _data(answer.decode())
    else:
        console = Console()
        for table in status_tables(found):
            console.print(table)
            console.print()
        for line in problem_lines(found):
            _data(line)
    if not found.is_fine:
        raise typer.Exit(EXIT_FINDING)
