"""`xds-server advise`, and how commands end that need the lab.

The table, and the policy to copy, go to stdout; progress and failures to stderr.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from xds_server.flag import flag
from xds_server.settings import AdviseSettings, MeshSettings, ReportFormat
from xds_server.terminal import (
    EXIT_FINDING,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    emit,
    fail,
    say,
    settings_of,
)

if TYPE_CHECKING:
    from xds_server.lab.advice.advice import Advice
    from xds_server.lab.advice.described import Description
    from xds_server.mesh.model import Upstream

_RECORDED: Final = frozenset({"rate", "service_time", "speed", "error_percent"})
"""What load reports say of servers."""

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="Files and directories of policies and Kubernetes manifests.",
        show_default=False,
    ),
]


@contextmanager
def lab_failures() -> Iterator[None]:
    """Say what keeps the lab from measuring, and exit with the code of that."""
    from xds_server.lab.error import LabError, UsageError
    from xds_server.lab.mesh_files import InvalidDocumentsError

    try:
        yield
    except InvalidDocumentsError as error:
        say(str(error))
        raise typer.Exit(EXIT_FINDING) from None
    except UsageError as error:
        fail(error, EXIT_USAGE)
    except LabError as error:
        fail(error)
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def cancel_on_sigterm() -> None:
    """Let SIGTERM cancel this task, as Ctrl-C does: what was started is ended."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine calls it
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def advise(
    paths: Paths,
    *,
    service: Annotated[str | None, flag(AdviseSettings, "service")] = None,
    admin_address: Annotated[str | None, flag(AdviseSettings, "admin_address")] = None,
    rate: Annotated[float | None, flag(AdviseSettings, "rate")] = None,
    service_time: Annotated[str | None, flag(AdviseSettings, "service_time")] = None,
    workers: Annotated[int | None, flag(AdviseSettings, "workers")] = None,
    speed: Annotated[list[float] | None, flag(AdviseSettings, "speed")] = None,
    error_percent: Annotated[
        list[float] | None, flag(AdviseSettings, "error_percent")
    ] = None,
    keys: Annotated[int | None, flag(AdviseSettings, "keys")] = None,
    key_header: Annotated[str | None, flag(AdviseSettings, "key_header")] = None,
    cache_size: Annotated[int | None, flag(AdviseSettings, "cache_size")] = None,
    hit_speedup: Annotated[float | None, flag(AdviseSettings, "hit_speedup")] = None,
    seconds: Annotated[int | None, flag(AdviseSettings, "seconds")] = None,
    seed: Annotated[int | None, flag(AdviseSettings, "seed")] = None,
    envoy: Annotated[Path | None, flag(AdviseSettings, "envoy")] = None,
    output: Annotated[
        ReportFormat | None, flag(AdviseSettings, "output", "-o", "--output")
    ] = None,
    root_namespace: Annotated[str | None, flag(MeshSettings, "root_namespace")] = None,
) -> None:
    """Measure load balancers by servers as described or reported; recommend one."""
    settings = settings_of(AdviseSettings, locals())
    mesh = settings_of(MeshSettings, locals())
    with lab_failures():
        found = asyncio.run(_advise(paths, settings, mesh))
        from xds_server.lab.advice import table

        if settings.output is ReportFormat.JSON:
            emit(table.advice_json(found))
        else:
            table.print_advice(found)


async def _advise(
    paths: list[Path], settings: AdviseSettings, mesh: MeshSettings
) -> "Advice":
    from xds_server.lab.advice.advice import advise as measure
    from xds_server.lab.advice.described import Description

    cancel_on_sigterm()
    description = Description(
        rate=settings.rate,
        service_time=settings.service_time.total_seconds(),
        workers=settings.workers,
        speeds=settings.speed,
        error_percents=settings.error_percent,
        keys=settings.keys,
        key_header=settings.key_header,
        cache_size=settings.cache_size,
        hit_speedup=settings.hit_speedup,
    )
    describe = await _describe(description, settings)
    say(f"measuring for {settings.seconds} s, and some to start")
    return await measure(
        paths,
        lambda upstream: describe(upstream).profile(len(upstream.endpoints)),
        service=settings.service,
        seconds=settings.seconds,
        seed=settings.seed,
        envoy=settings.envoy,
        root_namespace=mesh.root_namespace,
    )


async def _describe(
    description: "Description", settings: AdviseSettings
) -> Callable[["Upstream"], "Description"]:
    """Return what describes the servers of a Service: flags, or a running server.

    Raises:
        LabError: the server does not answer, or flags say the same.
    """
    from xds_server.lab.advice.recorded import recorded
    from xds_server.lab.error import LabError, UsageError
    from xds_server.status_table import StatusError, decode_status, fetch_status

    if settings.admin_address is None:
        return lambda _: description
    if said := sorted(settings.model_fields_set & _RECORDED):
        flags = ", ".join(f"--{name}".replace("_", "-") for name in said)
        message = f"--admin-address says what {flags} would"
        raise UsageError(message, hint="give it or them")
    try:
        status = decode_status(await fetch_status(settings.admin_address))
    except StatusError as error:
        hint = "--admin-address is that of a server that runs"
        raise LabError(str(error), hint=hint) from None
    return partial(recorded, description, status)
