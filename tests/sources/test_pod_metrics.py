"""What the metrics API says of Pods, and what becomes of it that it says nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import looptime
import msgspec
import pytest

from xds_server.load import OLDEST_USAGE, PodUsage
from xds_server.sources.go_duration import parse_go_duration
from xds_server.sources.kube_api import JSON, KubeApi, KubeError, Query
from xds_server.sources.pod_metrics import PAUSE, PodMetricsReader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Answer = bytes | KubeError
Scenario = Callable[[PodMetricsReader], Awaitable[None]]
FORBIDDEN = KubeError('pods.metrics.k8s.io is forbidden in the namespace "shop"', 403)


def metrics(
    name: str = "web",
    *cpu: str,
    age: float = 10,
    window: str = "15s",
    namespace: str = "shop",
) -> dict[str, object]:
    """Return the PodMetrics of a Pod, a container for each *cpu*."""
    timestamp = (NOW - timedelta(seconds=age)).isoformat().replace("+00:00", "Z")
    usages = [{"cpu": each, "memory": "16Mi"} for each in cpu or ("100m",)]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "web"}},
        "timestamp": timestamp,
        "window": window,
        "containers": [{"name": "main", "usage": each} for each in usages],
    }


def listed(*items: object) -> bytes:
    return msgspec.json.encode({"kind": "PodMetricsList", "items": list(items)})


class Server(KubeApi):
    """Answers for each namespace as it is told, and counts how often."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        super().__init__()
        self.answers = dict(answers)
        self.asked: list[tuple[float, str]] = []

    async def _configure(self) -> None:
        """Need no configuration."""

    async def get(self, path: str, query: Query, *, accept: str = JSON) -> bytes:
        del query, accept
        namespace = path.removeprefix("/apis/metrics.k8s.io/v1beta1/namespaces/")
        namespace = namespace.removesuffix("/pods")
        self.asked.append((asyncio.get_running_loop().time(), namespace))
        answer = self.answers.get(namespace, listed())
        if isinstance(answer, KubeError):
            raise answer
        return answer


def read(api: KubeApi, scenario: Scenario) -> list[PodUsage]:
    """Run *scenario* in no time; return what was told in it."""
    told: list[PodUsage] = []

    async def run() -> None:
        reader = PodMetricsReader(api, lambda: NOW)

        def tell(usages: Sequence[PodUsage]) -> None:
            told.extend(usages)

        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(reader.run(tell))
            await scenario(reader)
            reading.cancel()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(run())
    return told


async def ask_shop(reader: PodMetricsReader) -> None:
    reader.ask_for({"shop"})
    await asyncio.sleep(1)


def test_containers_are_added_up() -> None:
    told = read(Server({"shop": listed(metrics("web", "250m", "1500000n"))}), ask_shop)

    assert told == [
        PodUsage(
            namespace="shop",
            name="web",
            cpu=0.2515,
            timestamp=NOW.timestamp() - 10,
            window=15.0,
            age=10.0,
        )
    ]


def test_only_what_is_asked_for_is_read_again_and_again() -> None:
    server = Server({})

    async def scenario(reader: PodMetricsReader) -> None:
        await asyncio.sleep(60)
        reader.ask_for({"shop", "cart"})
        await asyncio.sleep(2 * PAUSE + 1)
        reader.ask_for({"cart"})
        await asyncio.sleep(PAUSE)
        reader.ask_for(())
        await asyncio.sleep(60)
        reader.ask_for({"shop"})
        await asyncio.sleep(1)

    read(server, scenario)

    assert [namespace for _, namespace in server.asked] == [
        *("cart", "shop") * 3,
        *("cart", "shop"),
    ]
    assert server.asked[0][0] == 60


@pytest.mark.parametrize(
    "odd",
    [
        metrics("odd", "much"),
        metrics("odd", "-1"),
        metrics("odd", window="soon"),
        metrics("odd", window="0s"),
        metrics("odd", age=OLDEST_USAGE + 1),
        metrics("odd", age=-OLDEST_USAGE - 1),
        {**metrics("odd"), "containers": []},
        {**metrics("odd"), "window": None},
        {"kind": "Odd"},
        {**metrics("odd"), "containers": [{"name": "main"}]},
        {**metrics("odd"), "timestamp": "2026-01-01T00:00:00"},
    ],
)
def test_what_says_nothing_of_now_is_passed_over(odd: object) -> None:
    async def scenario(reader: PodMetricsReader) -> None:
        await ask_shop(reader)

        assert reader.problems == ()

    told = read(Server({"shop": listed(odd, metrics())}), scenario)

    assert [each.name for each in told] == ["web"]


def test_a_name_that_is_no_text_is_passed_over() -> None:
    async def scenario(reader: PodMetricsReader) -> None:
        await ask_shop(reader)

    answer = listed(metrics("odd"), metrics()).replace(b"odd", b"\xff\xfe")
    told = read(Server({"shop": answer}), scenario)

    assert [each.name for each in told] == ["web"]


NOT_SERVED = "kubernetes.cpu is not known: the API server has no metrics.k8s.io"
INSTALL = "install metrics-server; until then endpoints count as equal"
GRANT = (
    'grant list on pods of apiGroup "metrics.k8s.io": '
    "kubectl apply -f deploy/kubernetes/pod-metrics.yaml"
)
OLD = (
    "all PodMetrics of namespace shop are 500 s old or more, or so far ahead: they "
    "count for 120 s"
)
CLOCKS = "is metrics-server well, and do the clocks of the Nodes agree?"


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        (KubeError("404 page not found", 404), NOT_SERVED, INSTALL),
        (FORBIDDEN, f"cannot list PodMetrics: {FORBIDDEN}", GRANT),
        (
            KubeError("no answer in time"),
            "cannot list PodMetrics: no answer in time",
            "it is tried again",
        ),
        (
            b"<html>",
            "cannot list PodMetrics: answered something else than JSON: '<html>'",
            "it is tried again",
        ),
        (listed(metrics(age=500), metrics("b", age=600)), OLD, CLOCKS),
        (listed(metrics(age=-500)), OLD, CLOCKS),
        (listed({}), "no PodMetrics of namespace shop can be read", CLOCKS),
    ],
)
def test_what_is_in_the_way_is_one_problem_until_it_is_solved(
    answer: Answer, message: str, hint: str
) -> None:
    server = Server({"shop": answer, "cart": answer})

    async def scenario(reader: PodMetricsReader) -> None:
        reader.ask_for({"shop", "cart"})
        await asyncio.sleep(3 * PAUSE + 1)
        (problem,) = reader.problems

        assert (problem.message, problem.hint) == (message, hint)

        server.answers = {"shop": listed(metrics())}
        await asyncio.sleep(PAUSE)

        assert reader.problems == ()

    assert [each.name for each in read(server, scenario)] == ["web"]


def test_what_nobody_asks_for_any_more_is_no_problem() -> None:
    async def scenario(reader: PodMetricsReader) -> None:
        await ask_shop(reader)
        before = reader.problems
        reader.ask_for(())

        assert len(before) == 1
        assert reader.problems == ()

    assert read(Server({"shop": FORBIDDEN}), scenario) == []


def test_a_kubeconfig_that_is_none_is_a_problem_and_no_end() -> None:
    async def scenario(reader: PodMetricsReader) -> None:
        reader.ask_for({"shop"})
        await asyncio.sleep(60)
        (problem,) = reader.problems

        assert problem.message == "cannot list PodMetrics: no kubeconfig at /nowhere"

    assert read(KubeApi(Path("/nowhere")), scenario) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15.0),
        ("15.25s", 15.25),
        ("1m0.5s", 60.5),
        ("2h0m1s", 7201.0),
        ("500ms", 0.5),
        ("1.5µs", 1.5e-6),
        ("1us2ns", 1.002e-6),
        ("0s", 0.0),
        ("", None),
        ("15", None),
        ("-1s", None),
        ("1 s", None),
        ("1s!", None),
    ],
)
def test_a_window_is_a_duration_of_go(text: str, seconds: float | None) -> None:
    assert parse_go_duration(text) == pytest.approx(seconds)
