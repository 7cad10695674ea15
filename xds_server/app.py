"""The composition root: the rooms meet here, and nowhere else, in one TaskGroup.

Documents come from the sources, the index says what they mean, the publisher turns what
changed into resources, the server sends them. This module starts these, passes values
from one to the next, and stops them within a bound.
"""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from xds_server.api.problem import Problem, Severity
from xds_server.control.loop import ControlLoop
from xds_server.control.memory import Memory
from xds_server.control.source import ControlSource
from xds_server.control.team import Team
from xds_server.debounce import Debounce
from xds_server.engine import Snapshot, XdsServer
from xds_server.journal import Journal
from xds_server.mesh.event import Event
from xds_server.mesh.index import Changes, Index
from xds_server.mesh.service import ServiceName
from xds_server.observe import Metrics
from xds_server.policy_status.survey import Survey
from xds_server.publish import Publisher
from xds_server.serve.admin import AdminEndpoint
from xds_server.settings import ServeSettings
from xds_server.sources.document_set import DocumentSet
from xds_server.sources.files import FilesSource
from xds_server.sources.source import Source, SourceError
from xds_server.status import Json, status_of
from xds_server.takeover import Takeover
from xds_server.translate.cluster import try_patch
from xds_server.weight_metrics import WeightMetrics

if TYPE_CHECKING:
    from xds_server.policy_status.statuses import PolicyStatuses
    from xds_server.policy_status.survey import Peer
    from xds_server.sources.pod_metrics import PodMetricsReader
    from xds_server.weight_exchange import WeightExchange

logger = structlog.get_logger(__name__)

_QUIET: Final = timedelta(milliseconds=10)
"""Changes that follow each other faster than this are published together."""
_CEILING: Final = timedelta(milliseconds=100)
"""But no change waits longer than this."""

_COLLECTED_AT: Final = gc.get_threshold()
_SELDOM: Final = 100_000
"""So many new objects are searched for cycles at a time until the mesh is there.

It stays: searching it again and again while it grows takes a fifth of a start with
100,000 endpoints. While there is nobody to hear it from, each call leaves some cycles.
"""


class StartError(Exception):
    """The server cannot start; the message says what is in the way."""


class ControlPlane:
    """All rooms of one running server, put together."""

    def __init__(self, paths: Iterable[Path], settings: ServeSettings) -> None:
        self._settings = settings
        self._statuses: PolicyStatuses | None = None
        documents, sources = DocumentSet(), list[Source]()
        if paths := tuple(paths):
            sources.append(FilesSource(paths, documents))
        self._pods: PodMetricsReader | None = None
        if settings.kubernetes:
            cluster = _in_cluster(settings, documents, self._survey)
            source, self._statuses, self._pods = cluster
            sources.append(source)
        journal = Journal()
        self._memory = Memory(settings.state_file) if settings.state_file else None
        team = Team(self._is_leading) if settings.lease else None
        self._loop = ControlLoop(
            report_interval=self._report_seconds,
            observers=(journal, *([self._memory] if self._memory else ())),
            team=team,
        )
        self._control = ControlSource(self._loop)
        self._exchange: WeightExchange | None = None
        if self._statuses and settings.lease:
            self._exchange = _exchange(
                settings, settings.lease, self._loop, self._statuses
            )
            sources.append(self._exchange)
        self._sources = tuple(sources)
        self._index = Index(
            sources=[source.name for source in self._sources],
            root_namespace=settings.root_namespace,
            try_out=try_patch,
        )
        self._snapshot = Snapshot()
        self._publisher = Publisher(self._index, self._snapshot)
        self._changed: set[ServiceName] = set()
        self._debounce = Debounce(quiet=_QUIET, ceiling=_CEILING)
        self._metrics = Metrics(self._publisher.tables)
        self._metrics.show_ready(lambda: self._snapshot.is_ready)
        self._metrics.show_problems(lambda: (*self._index.problems, *self._problems()))
        if statuses := self._statuses:
            self._metrics.show_leader(lambda: statuses.is_leading)
        self._metrics.registry.register(
            WeightMetrics(self._loop, self._control.standings)
        )
        self._ready = asyncio.Event()
        takeover = Takeover(self._control, is_alone=team is None)
        self._server = XdsServer(
            snapshot=self._snapshot,
            directory=self._publisher,
            load_report_sink=takeover,
            observers=(
                journal,
                self._metrics,
                takeover,
                *([self._statuses] if self._statuses else ()),
            ),
        )
        self._ask_for_load()
        self._metrics.show_rejected(self._server.statuses)
        self._admin = AdminEndpoint(
            is_ready=lambda: self._snapshot.is_ready,
            status=self._status,
            metrics=self._metrics.registry,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside the block.

        Raises:
            StartError: an address cannot be listened on.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            try:
                admin = await stack.enter_async_context(
                    self._admin.listening(settings.admin_address)
                )
                xds = await stack.enter_async_context(
                    self._server.listening(
                        settings.xds_address, grace=settings.stop_timeout
                    )
                )
            except OSError as error:
                raise StartError(_why(error, settings)) from error
            if self._memory is not None:
                self._loop.restore(await asyncio.to_thread(self._memory.load))
            logger.info("listening", xds_address=xds, admin_address=admin)
            stack.callback(gc.set_threshold, *_COLLECTED_AT)
            gc.set_threshold(_SELDOM)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            sources = (*self._sources, self._control)
            coroutines = [self._publish(), *map(self._follow, sources)]
            if self._exchange is not None:
                coroutines.append(self._exchange.run())
            if self._statuses is not None:
                coroutines.append(self._write_statuses(self._statuses))
            if self._memory is not None:
                coroutines.append(self._keep_weights(self._memory))
            if self._pods is not None:
                coroutines.append(self._pods.run(self._control.take))
            for coroutine in coroutines:
                stack.callback(tasks.create_task(coroutine).cancel)
            yield

    async def _follow(self, source: Source) -> None:
        """Take in what *source* says, for ever."""
        async for events in source.batches():
            for changes in self._apply(events):
                _log_problems(changes)
                self._changed |= changes.services | changes.deleted
                if changes.statuses and self._statuses is not None:
                    self._statuses.hear()
            # What is published before all have listed would be published again.
            if self._index.listed and (self._changed or not self._snapshot.is_ready):
                self._debounce.touch()

    def _apply(self, events: Collection[Event]) -> Iterator[Changes]:
        """Yield what *events* change, and what the weights change that follow of it."""
        while events:
            changes = self._index.apply(events)
            yield changes
            changed = changes.services | changes.deleted
            services = self._index.services
            events = self._control.heed({each: services.get(each) for each in changed})
            self._ask_for_load()

    def _ask_for_load(self) -> None:
        demand = self._loop.demand
        self._server.ask_for_load(demand.clusters, timedelta(seconds=demand.interval))
        if self._pods is not None:
            self._pods.ask_for(demand.namespaces)

    def _is_leading(self) -> bool:
        return self._statuses is not None and self._statuses.is_leading

    def _report_seconds(self) -> float:
        return self._server.report_interval.total_seconds()

    async def _publish(self) -> None:
        """Publish what has changed, for ever; a storm of changes is gathered."""
        async for _ in self._debounce.pulses():
            changed, self._changed = self._changed, set()
            deleted = changed - self._index.services.keys()
            resources = self._publisher.publish(
                Changes(
                    services=frozenset(changed - deleted), deleted=frozenset(deleted)
                )
            )
            self._metrics.count_publication(resources)
            if changed:
                logger.info(
                    "published",
                    resources=resources,
                    services=len(changed) - len(deleted),
                    deleted=len(deleted),
                    versions=self._publisher.versions,
                    cause=_cause(changed),
                )
            if not self._snapshot.is_ready:
                self._snapshot.declare_ready()
                self._loop.settle()
                self._ready.set()
                gc.freeze()
                gc.set_threshold(*_COLLECTED_AT)
                logger.info("ready", services=len(self._index.services))
            if self._statuses is not None:
                self._statuses.recount()

    async def _write_statuses(self, statuses: "PolicyStatuses") -> None:
        """Write onto policies what became of them, for ever.

        Before everything is listed, nobody knows that.
        """
        await self._ready.wait()
        await statuses.run()

    async def _keep_weights(self, memory: Memory) -> None:
        """Write to a file what loops know, for ever.

        Before everything is listed, that is less than what is in the file.
        """
        await self._ready.wait()
        await memory.keep(self._loop.save)

    def _survey(self, peers: "Sequence[Peer]") -> Survey:
        return Survey(
            self._index,
            tables=self._publisher.shared,
            failures=self._publisher.failures,
            clients=self._server.statuses(),
            peers=peers,
        )

    def _problems(self) -> tuple[Problem, ...]:
        """Return what is wrong beside what the index knows."""
        told = self._statuses.problems if self._statuses else ()
        read = self._pods.problems if self._pods else ()
        return (*self._publisher.problems, *told, *read)

    def _status(self) -> Json:
        return status_of(
            self._index,
            self._server.statuses(),
            untranslated=self._problems(),
            weighed=self._control.standings(),
            version=version("xds-server"),
            is_ready=self._snapshot.is_ready,
        )


def _why(error: OSError, settings: ServeSettings) -> str:
    """Say which address cannot be listened on, why, and which flag changes it.

    The gRPC server says it in words; of the admin endpoint it is the system's error.
    """
    text, flag = str(error), "--xds-address"
    if error.errno is not None:
        is_of_system = not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno) if is_of_system else error.strerror
        text = f"cannot listen on {settings.admin_address}: {reason}"
        flag = "--admin-address"
    return f"{text}\n  hint: {flag} takes another"


def _in_cluster(
    settings: ServeSettings,
    documents: DocumentSet,
    survey: "Callable[[Sequence[Peer]], Survey]",
) -> "tuple[Source, PolicyStatuses, PodMetricsReader]":
    """Return what hears from an API server, what writes to it, and what meters Pods."""
    # These take a quarter of a second to import.
    from xds_server.policy_status.statuses import PolicyStatuses  # noqa: PLC0415
    from xds_server.policy_status.team import Place  # noqa: PLC0415
    from xds_server.replicas.lease import LeaseName  # noqa: PLC0415
    from xds_server.sources.kube_api import KubeApi  # noqa: PLC0415
    from xds_server.sources.kubernetes import (  # noqa: PLC0415
        KubernetesSource,
        collections,
    )
    from xds_server.sources.pod_metrics import PodMetricsReader  # noqa: PLC0415

    mirrored = tuple(collections(settings.namespace, settings.selector))
    place = None
    if settings.lease is not None:
        place = Place(lease=LeaseName(*settings.lease), own=settings.replica_name)
    return (
        KubernetesSource(KubeApi(*settings.kubeconfigs), mirrored, documents),
        PolicyStatuses(KubeApi(*settings.kubeconfigs), mirrored, survey, place),
        PodMetricsReader(KubeApi(*settings.kubeconfigs)),
    )


def _exchange(
    settings: ServeSettings,
    lease: tuple[str, str],
    loop: ControlLoop,
    statuses: "PolicyStatuses",
) -> "WeightExchange":
    """Return what tells the other replicas of load and weights, and hears of theirs."""
    from xds_server.policy_status.trouble import Topic  # noqa: PLC0415
    from xds_server.replicas.lease import LeaseName  # noqa: PLC0415
    from xds_server.sources.kube_api import KubeApi  # noqa: PLC0415
    from xds_server.weight_exchange import WeightExchange  # noqa: PLC0415

    return WeightExchange(
        KubeApi(*settings.kubeconfigs),
        LeaseName(*lease),
        settings.replica_name,
        loop,
        said=partial(statuses.troubles.judge, Topic.LOAD),
        heard=partial(statuses.troubles.judge, Topic.WEIGHTS),
    )


async def serve(paths: Iterable[Path], settings: ServeSettings) -> None:
    """Serve the documents in *paths*, and of a cluster, until SIGTERM or SIGINT.

    Raises:
        StartError: an address cannot be listened on, or a source cannot begin.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with ControlPlane(paths, settings).running():
            await stop.wait()
            logger.info("stopping", within=settings.stop_timeout.total_seconds())
    except* SourceError as group:
        raise StartError(str(group.exceptions[0])) from group
    logger.info("stopped")


def _cause(changed: Collection[ServiceName]) -> str:
    """Name the first of the Services that changed, and count the others."""
    first = "/".join(min(changed, default=()))
    more = len(changed) - 1
    return f"{first} and {more} more" if more > 0 else first


def _log_problems(changes: Changes) -> None:
    for problem in changes.solved:
        logger.info("problem solved", place=str(problem.place), message=problem.message)
    for problem in changes.problems:
        _log_problem(problem)


def _log_problem(problem: Problem) -> None:
    write = logger.error if problem.severity is Severity.ERROR else logger.warning
    told = {
        "place": str(problem.place),
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
    }
    write("problem", **{key: value for key, value in told.items() if value})
