"""Each demo's claim, by itself and from outside, on a real Docker Engine.

A demo passes by what its load says. What is asked from outside then, through published
ports, is judged exactly, or where it is drawn by binomial tests at 1e-9 each: fewer
than 50 in all, so a run fails once in 20 million for no reason.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Event
from urllib.request import urlopen

import msgspec
import pytest
from scipy.stats import binomtest  # type: ignore[import-untyped] # it has no types

from tests.integration.compose.project import (
    DEMOS,
    Answer,
    Project,
    build_images,
    left_behind,
    running,
)
from xds_server.status_table import Status

ALPHA = 1e-9
ALL_DEMOS = sorted(path.parent.name for path in DEMOS.glob("*/compose.yaml"))

pytestmark = [
    pytest.mark.docker,
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        build_images(patch)
        yield patch


@pytest.fixture(scope="module", params=ALL_DEMOS)
def demo(
    request: pytest.FixtureRequest, environment: pytest.MonkeyPatch
) -> Iterator[Project]:
    """Run each demo once, for all tests of this module."""
    name = str(request.param)
    with running(name, environment) as project:
        yield project
    assert not left_behind(project.name)


def test_the_load_says_that_all_holds(demo: Project) -> None:
    code, said = demo.load_exits()

    assert code == 0, said
    assert "FAILS" not in said
    assert "claims hold." in said


def test_its_readme_shows_what_the_load_says(demo: Project) -> None:
    """But for numbers: how many requests, which shares, how long."""
    _, said = demo.load_exits()
    blocks = (DEMOS / demo.demo / "README.md").read_text().split("```")
    (shown,) = [block for block in blocks if block.rstrip().endswith("claims hold.")]

    assert {*map(numberless, shown.split("\n"))} == {*map(numberless, said.split("\n"))}


def test_nothing_runs_with_more_rights_than_it_needs(demo: Project) -> None:
    for container in demo.containers():
        host = container.details["HostConfig"]
        config = container.details["Config"]
        assert isinstance(host, dict)
        assert isinstance(config, dict)
        assert config["User"] == "65532:65532", container.service
        assert not host["Privileged"]
        assert not host["CapAdd"]
        assert host["CapDrop"] == ["ALL"]
        assert host["ReadonlyRootfs"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert not any("docker.sock" in each for each in host["Binds"] or ())
        # What has an end has no health.
        assert config.get("Healthcheck") or container.service == "load"


def test_only_loopback_is_published(demo: Project) -> None:
    published = [container.published for container in demo.containers()]

    assert frozenset().union(*published) == {"127.0.0.1"}


def test_the_claim_holds_from_outside(demo: Project) -> None:
    assert demo.load_exits()[0] == 0
    CLAIMS[demo.demo](demo)


def algorithms(demo: Project) -> None:
    """A policy that is put in force from outside decides who is asked."""
    for policy, weights in {"random": (1,) * 5, "weighted": (5, 4, 3, 2, 1)}.items():
        put(demo, policy)

        answers = demo.ask("client", "backend.demo", requests=3000, concurrency=2)

        names = [f"backend-{number}" for number in range(1, 6)]
        assert_shares(answers, dict(zip(names, weights, strict=True)))


def put(demo: Project, policy: str) -> None:
    """Put one of the demo's policies in force, and wait until the Envoy has it."""
    before = demo.clusters("client")
    copy = f"/demo/policies/{policy}.yaml /live/policy.yaml"
    demo.compose(f"run --rm --no-deps --entrypoint cp load {copy}")
    wait_until(demo, partial(_follows, demo, before))


def _follows(demo: Project, before: Mapping[str, str]) -> bool:
    return demo.clusters("client") != before


def canary(demo: Project) -> None:
    """After the last step nobody asks the old version."""
    put(demo, "0-100")

    answers = demo.ask("client", "backend.demo", requests=2000, concurrency=2)

    assert_shares(answers, {"v2": 1})


def sticky(demo: Project) -> None:
    """Each client has one server; a cookie is worth the same to all of them."""
    clients = ("client-1", "client-2", "client-3")
    for client in clients:
        answers = demo.ask(client, "by-address.demo", requests=200)
        assert len(count(answers)) == 1

    each = [{"Cookie": f"session={number}"} for number in range(200)]
    asked = [
        demo.ask(client, "by-cookie.demo", requests=200, each=each)
        for client in clients
    ]
    homes = [[answer["who"] for answer in answers] for answers in asked]
    assert all(one == another for one, another in pairwise(homes))
    assert len(set(homes[0])) == 5


def failover(demo: Project) -> None:
    """Servers that are really gone: their containers are stopped."""

    def asked() -> set[str]:
        return {
            answer["who"] if answer["status"] == 200 else "failed"
            for answer in demo.ask("client", "backend.demo", requests=50)
        }

    assert asked() == {"a1", "a2"}
    demo.compose("stop --timeout 2 backend-a1 backend-a2")
    wait_until(demo, lambda: asked() == {"b1", "b2"})
    demo.compose("start backend-a1 backend-a2")
    wait_until(demo, lambda: asked() == {"a1", "a2"})


def performance(demo: Project) -> None:
    """The control plane follows a server that becomes slow, without any report of it.

    What takes longest has the least weight then, and so on. Nothing is drawn: it is a
    question of time alone.
    """

    def share() -> float:
        answers = demo.ask(
            "client", "by-performance.demo", requests=180, rate=60, concurrency=50
        )
        assert not failures(answers)
        return count(answers)["fast"] / len(answers)

    wait_until(demo, lambda: share() > 0.4, timeout=90)
    slower = "from measure import set_backend; set_backend('fast', latency_ms=200)"
    demo.compose(f'exec -T slow python3 -c "{slower}"')
    wait_until(demo, lambda: share() < 0.2 and is_weighed(demo), timeout=90)


def is_weighed(demo: Project) -> bool:
    """Whether the faster of any two servers has the larger weight."""
    (port,) = status(demo).weights
    endpoints = sorted(port.endpoints, key=lambda each: each.latency_seconds or 0.0)
    weights = [each.weight for each in endpoints]
    return all(faster > slower for faster, slower in pairwise(weights))


def two_sidecars(demo: Project) -> None:
    """The container of the control plane is killed, and more servers are started."""
    stop = Event()

    def load() -> Sequence[Answer]:
        answers: list[Answer] = []
        while not stop.is_set():
            answers += demo.ask("web", "backend", requests=50, rate=100, concurrency=4)
        return answers

    with ThreadPoolExecutor() as pool:
        going_on = pool.submit(load)
        try:
            demo.compose("kill --signal KILL xds-server")
            during = demo.ask("batch", "backend", requests=300)
            demo.compose("start xds-server")
            wait_until(demo, lambda: connected(demo) == {"web.demo", "batch.demo"})
        finally:
            stop.set()
        assert not failures(going_on.result())
    assert not failures(during)

    demo.compose("up --detach --no-recreate --no-deps --scale backend=5 backend")
    # Envoy asks for the name every 5 s.
    wait_until(demo, lambda: len(count(demo.ask("web", "backend", requests=50))) == 5)
    answers = demo.ask("web", "backend", requests=1000)
    assert_shares(answers, dict.fromkeys(count(answers), 1))


CLAIMS: Mapping[str, Callable[[Project], None]] = {
    "algorithms": algorithms,
    "canary": canary,
    "failover": failover,
    "performance": performance,
    "sticky": sticky,
    "two-sidecars": two_sidecars,
}


def assert_shares(answers: Sequence[Answer], weights: Mapping[str, int]) -> None:
    """Hold who answered against w/Σw, server by server."""
    assert not failures(answers)
    found = count(answers)
    assert found.keys() <= weights.keys()
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        p = binomtest(found[name], len(answers), share).pvalue
        assert p >= ALPHA, (name, found)


def numberless(line: str) -> str:
    """Return a line without numbers, names of containers, bars and spaces."""
    without_names = re.sub(r"\b[0-9a-f]{12}\b", "NAME", line)
    without_numbers = re.sub(r"[-+]?\d+(\.\d+)?(e-\d+)?", "N", without_names)
    return re.sub(r"[\s█]+", " ", without_numbers).strip()


def count(answers: Sequence[Answer]) -> Counter[str]:
    return Counter(answer["who"] for answer in answers if answer["status"] == 200)


def failures(answers: Sequence[Answer]) -> Sequence[Answer]:
    return [answer for answer in answers if answer["status"] != 200]


def connected(demo: Project) -> set[str]:
    """Return the nodes that the control plane knows."""
    return {node.id for node in status(demo).nodes}


def status(demo: Project) -> Status:
    with urlopen(f"{demo.url('xds-server', 18001)}/status", timeout=5) as answer:  # noqa: S310 - http
        return msgspec.json.decode(answer.read(), type=Status)


def wait_until(demo: Project, holds: Callable[[], bool], timeout: float = 30) -> None:
    def tried() -> bool:
        try:
            return holds()
        except OSError:
            return False  # not up again

    demo.services.wait_until_responsive(tried, timeout=timeout, pause=0.2)
