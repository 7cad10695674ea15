"""What Pods use of the CPU, read again and again from the metrics API of Kubernetes.

In: the namespaces whose Pods somebody goes by. Out: what each of these Pods used, and
what is in the way of knowing it. `metrics.k8s.io` has lists alone, no watch; whoever
serves it (metrics-server) measures every 15 s where nothing else is configured.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

import msgspec
import structlog

from xds_server.api.performance import POD_CPU
from xds_server.api.problem import Place, Problem, Severity
from xds_server.api.quantity import parse_quantity
from xds_server.load import OLDEST_USAGE, PodUsage
from xds_server.sources.go_duration import parse_go_duration
from xds_server.sources.kube_api import KubeApi, KubeConfigError, KubeError, decode
from xds_server.sources.retry import attempts

API_VERSION: Final = "metrics.k8s.io/v1beta1"
PAUSE: Final = 5.0
"""The least seconds between two readings: a third of what metrics-server takes."""
_PART: Final = 0.1
"""The most of the time that readings may take."""
_AT_ONCE: Final = 200
"""Pods, after which all else that waits for the processor has its turn."""
_FORBIDDEN, _NOT_FOUND = 403, 404
_AGAIN: Final = "it is tried again"

Tell = Callable[[Sequence[PodUsage]], None]

logger = structlog.get_logger(__name__)


class _Identity(msgspec.Struct, frozen=True):
    name: str
    namespace: str = ""


class _Container(msgspec.Struct, frozen=True):
    usage: Mapping[str, str] = {}


class _PodMetrics(msgspec.Struct, frozen=True):
    """The part of a PodMetrics (metrics.k8s.io/v1beta1) that counts."""

    metadata: _Identity
    timestamp: datetime
    window: str
    containers: tuple[_Container, ...] = ()


class _PodMetricsList(msgspec.Struct, frozen=True):
    items: tuple[msgspec.Raw, ...]


class PodMetricsReader:
    """Reads what the Pods of some namespaces use, as long as somebody asks for it.

    One request at a time. What fails is a problem, never an error: whoever goes by it
    does without.
    """

    def __init__(
        self,
        api: KubeApi,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Ask *api*; *clock* tells how old a measurement is."""
        self._api = api
        self._clock = clock
        self._namespaces: frozenset[str] = frozenset()
        self._asked = asyncio.Event()
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is in the way, one problem for all namespaces that have the same."""
        return tuple({each.hint: each for each in self._problems.values()}.values())

    def ask_for(self, namespaces: Collection[str]) -> None:
        """Read the Pods of *namespaces* from now on, and of no others."""
        wanted = frozenset(namespaces)
        if wanted == self._namespaces:
            return
        self._namespaces = wanted
        for gone in self._problems.keys() - wanted:
            self._solve(gone)
        self._asked.set()

    async def run(self, tell: Tell) -> None:
        """Read for ever, and *tell* what each reading of a namespace says."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            async for attempt in attempts(self._note_all, longest_pause=PAUSE):
                with attempt:
                    async with self._api.connected():
                        await self._read_on(tell)

    async def _read_on(self, tell: Tell) -> None:
        """Read as long as there is somebody who asks.

        Raises:
            KubeConfigError: the configuration cannot be read.
        """
        loop = asyncio.get_running_loop()
        while self._namespaces:
            began = loop.time()
            for namespace in sorted(self._namespaces):
                tell(await self._read(namespace))
            took = loop.time() - began
            await asyncio.sleep(max(PAUSE, took / _PART - took))

    async def _read(self, namespace: str) -> tuple[PodUsage, ...]:
        """Return what the Pods of *namespace* used, nothing where that is not known."""
        path = f"/apis/{API_VERSION}/namespaces/{namespace}/pods"
        try:
            answer = decode(await self._api.get(path, {}), _PodMetricsList)
        except KubeError as error:
            self._note(namespace, *_explain(error))
            return ()
        found = await self._usages(answer.items)
        recent = tuple(each for each in found if abs(each.age) <= OLDEST_USAGE)
        if recent or not answer.items:
            self._solve(namespace)
        else:
            nearest = min((abs(each.age) for each in found), default=None)
            message = f"no PodMetrics of namespace {namespace} can be read"
            if nearest is not None:
                message = (
                    f"all PodMetrics of namespace {namespace} are {nearest:.0f} s old "
                    f"or more, or so far ahead: they count for {OLDEST_USAGE:.0f} s"
                )
            hint = "is metrics-server well, and do the clocks of the Nodes agree?"
            self._note(namespace, message, hint)
        return recent

    async def _usages(self, items: Sequence[msgspec.Raw]) -> list[PodUsage]:
        """Return what is told of Pods; of one that says no sound numbers nothing.

        Where there are many, all else that waits has its turn between them.
        """
        now = self._clock()
        found: list[PodUsage] = []
        for start in range(0, len(items), _AT_ONCE):
            some = (_usage(each, now) for each in items[start : start + _AT_ONCE])
            found += filter(None, some)
            await asyncio.sleep(0)
        return found

    def _note_all(self, error: KubeError | KubeConfigError) -> None:
        for namespace in self._namespaces:
            self._note(namespace, f"cannot list PodMetrics: {error}", _AGAIN)

    def _note(self, namespace: str, message: str, hint: str) -> None:
        """Note what is in the way, and log it if that is news."""
        if namespace not in self._namespaces:  # it was not wanted any more meanwhile
            return
        problem = Problem(
            place=Place("kubernetes"),
            message=message,
            hint=hint,
            severity=Severity.WARNING,
        )
        if hint not in {each.hint for each in self._problems.values()}:
            logger.warning("problem", message=message, hint=hint)
        self._problems[namespace] = problem

    def _solve(self, namespace: str) -> None:
        problem = self._problems.pop(namespace, None)
        if problem is not None and problem not in self.problems:
            logger.info("problem solved", message=problem.message)


def _explain(error: KubeError) -> tuple[str, str]:
    """Say what *error* means for weights, and how to mend it."""
    message, hint = f"cannot list PodMetrics: {error}", _AGAIN
    if error.status == _NOT_FOUND:
        message = f"{POD_CPU} is not known: the API server has no metrics.k8s.io"
        hint = "install metrics-server; until then endpoints count as equal"
    elif error.status == _FORBIDDEN:
        hint = (
            'grant list on pods of apiGroup "metrics.k8s.io": '
            "kubectl apply -f deploy/kubernetes/pod-metrics.yaml"
        )
    return message, hint


def _usage(item: msgspec.Raw, now: datetime) -> PodUsage | None:
    """Return what *item* tells of a Pod, None where that is no sound numbers."""
    try:
        told = msgspec.json.decode(item, type=_PodMetrics)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    cores, window = _cores(told.containers), parse_go_duration(told.window)
    if cores is None or not window or told.timestamp.tzinfo is None:
        return None
    return PodUsage(
        namespace=told.metadata.namespace,
        name=told.metadata.name,
        cpu=cores,
        timestamp=told.timestamp.timestamp(),
        window=window,
        age=(now - told.timestamp).total_seconds(),
    )


def _cores(containers: Sequence[_Container]) -> float | None:
    """Return what *containers* use together, None where one does not say."""
    total = Fraction(0)
    for each in containers:
        quantity = parse_quantity(each.usage.get("cpu", ""))
        if quantity is None or quantity < 0:
            return None
        total += quantity
    return float(total) if containers else None
