"""The dashboard and the alerts on a real Prometheus, an xds-server and Envoys.

Everything runs once: traffic flows, policies change and one Envoy rejects, until every
query has data. What each panel showed then is a test of its own.
"""

import asyncio
import math
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from shutil import which

import pytest
import yaml

from tests.deploy.panels import Asked, expressions, label_values, read
from tests.integration.envoy.world import (
    LOOPBACK,
    Client,
    Mesh,
    print_bootstrap,
    run_client,
    run_mesh,
    run_server,
    until,
)
from tests.integration.observe.prometheus import (
    CONFIG,
    RULES,
    Prometheus,
    Rule,
    Sample,
    Target,
    run_prometheus,
)
from xds_server.lab.backend import Address
from xds_server.lab.envoy import find_envoy, run_envoy
from xds_server.lab.scenario import free_port

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(600)]

DASHBOARD = read()
ASKED = tuple(expressions(DASHBOARD))
VARIABLES = tuple(label_values(DASHBOARD))
WITHOUT_KUBERNETES = {"Replicas B"}
"""What has data only where replicas elect a leader."""
PATIENCE = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What Prometheus knew in the end."""

    panels: dict[str, list[Sample]]
    variables: dict[str, list[str]]
    targets: list[Target]
    rules: dict[str, Rule]


def with_data(samples: list[Sample]) -> list[Sample]:
    """Return those of *samples* that are a number."""
    return [each for each in samples if not math.isnan(float(each.value[1]))]


@asynccontextmanager
async def run_rejecting(home: Path, xds: Address) -> AsyncIterator[None]:
    """Run an Envoy that rejects its listener: its port is its admin's."""
    admin = Address(LOOPBACK, free_port())
    home.mkdir()
    await print_bootstrap(
        home / "envoy.yaml",
        *("--node-id", "rejecting", "--xds-address", str(xds)),
        *("--admin-address", str(admin), "--listen-port", str(admin.port)),
    )
    async with run_envoy(find_envoy(), home / "envoy.yaml", admin):
        yield


def write_other(folder: Path, endpoints: int) -> None:
    """Write another Service, `shop/other`, that has some endpoints and no requests."""
    name, port = "other", {"name": "http", "port": 80}
    labels = {"kubernetes.io/service-name": name}
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"ports": [port]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"namespace": "shop", "name": name, "labels": labels},
            "addressType": "IPv4",
            "ports": [port],
            "endpoints": [
                {"addresses": [f"127.0.8.{n + 1}"]} for n in range(endpoints)
            ],
        },
    ]
    (folder / "other.yaml").write_text(yaml.safe_dump_all(objects))


async def drive(mesh: Mesh, client: Client) -> None:
    """Send requests and change endpoints, for ever.

    They are another Service's, and no policies: an Envoy makes a changed cluster anew,
    and the times of its requests, which it adds up every 5 s, begin at nothing again.
    """
    for endpoints in cycle((1, 2)):
        write_other(mesh.folder, endpoints)
        await client.shares(50)
        await asyncio.sleep(0.1)


async def watch(prometheus: Prometheus) -> Seen:
    """Return what Prometheus knows once it has data for every query."""
    empty = {each.place: each.expression for each in ASKED}

    async def is_complete() -> bool:
        for place, expression in tuple(empty.items()):
            if with_data(await prometheus.query(expression)):
                del empty[place]
        return empty.keys() <= WITHOUT_KUBERNETES

    async def is_pending() -> bool:
        found = (await prometheus.rules())["XdsServerConfigurationRejected"]
        return found.state == "pending"

    with suppress(TimeoutError):  # each panel's own test says that it has nothing
        await until(is_complete, PATIENCE)
        await until(is_pending, PATIENCE)
    return Seen(
        panels={
            each.place: with_data(await prometheus.query(each.expression))
            for each in ASKED
        },
        variables={
            variable.name: await prometheus.label_values(label, selector)
            for variable, label, selector in VARIABLES
        },
        targets=await prometheus.targets(),
        rules=await prometheus.rules(),
    )


async def observe(home: Path) -> Seen:
    """Run everything, and return what Prometheus knew."""
    xds, admin, stats = (Address(LOOPBACK, free_port()) for _ in range(3))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        mesh = await enter(run_mesh(home / "mesh", backends=3))
        mesh.write_policy({"type": "PerformanceBased"})
        await enter(run_server([mesh.folder], home / "log", xds=xds, admin=admin))
        client = await enter(run_client(home, xds, "delta", stats=stats))
        await enter(run_rejecting(home / "rejecting", xds))
        prometheus = await enter(
            run_prometheus(home / "prometheus", {"xds-server": admin, "envoy": stats})
        )
        await until(client.answers)
        async with asyncio.TaskGroup() as tasks:
            driving = tasks.create_task(drive(mesh, client))
            seen = await watch(prometheus)
            driving.cancel()
        return seen


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return asyncio.run(observe(tmp_path_factory.mktemp("observe")))


@pytest.mark.envoy
@pytest.mark.xdist_group("observe")
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.place)
def test_a_panel_has_data(seen: Seen, asked: Asked) -> None:
    """All but the leader, whom only replicas in a cluster elect."""
    has_data = bool(seen.panels[asked.place])

    assert has_data == (asked.place not in WITHOUT_KUBERNETES), asked.expression


@pytest.mark.envoy
@pytest.mark.xdist_group("observe")
def test_the_dashboard_tells_what_happened(seen: Seen) -> None:
    """Numbers that are known: one replica, two nodes, a listener that is rejected."""

    def values(place: str) -> list[tuple[dict[str, str], float]]:
        return [(each.metric, float(each.value[1])) for each in seen.panels[place]]

    rejected = {"node": "rejecting", "type": "listener"}
    assert values("Replicas ready A") == [({}, 1)]
    assert values("Nodes A") == [({}, 2)]
    assert values("Resources rejected A") == [({}, 1)]
    assert values("Rejected, by node and type A") == [(rejected, 1)]
    assert ({"envoy_cluster_name": "shop/web/80"}, 3) in values("Endpoints B")
    assert [metric for metric, _ in values("Answers by class A")] == [
        {"envoy_response_code_class": "2"}
    ]


@pytest.mark.envoy
@pytest.mark.xdist_group("observe")
def test_variables_have_values(seen: Seen) -> None:
    """The clusters that can be chosen are those of Services."""
    assert seen.variables["job"] == ["xds-server"]
    assert len(seen.variables["instance"]) == 1
    assert set(seen.variables["cluster"]) == {
        "envoy-admin",
        "shop/other/80",
        "shop/web/80",
        "xds-server",
    }
    (cluster,) = [x for x, _, _ in VARIABLES if x.name == "cluster"]
    assert cluster.regex == "/.+\\/.+\\/.+/"


@pytest.mark.envoy
@pytest.mark.xdist_group("observe")
def test_both_jobs_are_scraped(seen: Seen) -> None:
    found = {
        each.labels["job"]: (each.health, each.last_error) for each in seen.targets
    }

    assert found == {"xds-server": ("up", ""), "envoy": ("up", "")}


@pytest.mark.envoy
@pytest.mark.xdist_group("observe")
def test_every_alert_is_evaluated_and_one_is_on_its_way(seen: Seen) -> None:
    """What is rejected alarms after 5 minutes; promtool tests the times."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    states = {name: (rule.health, rule.state) for name, rule in seen.rules.items()}

    assert states == dict.fromkeys(names, ("ok", "inactive")) | {
        "XdsServerConfigurationRejected": ("ok", "pending")
    }


def promtool(*arguments: str) -> str:
    """Run promtool; return what it says if it does not agree, else nothing."""
    binary = which("promtool")
    assert binary is not None
    done = subprocess.run(  # noqa: S603 - a binary that was looked up
        [binary, *arguments], capture_output=True, text=True, check=False, timeout=50
    )
    return (done.stdout + done.stderr) if done.returncode else ""


def test_promtool_takes_the_configuration() -> None:
    assert promtool("check", "config", str(CONFIG)) == ""


def test_promtool_finds_nothing_in_the_rules() -> None:
    assert promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES)) == ""


def test_each_alert_fires_when_it_must_and_not_before() -> None:
    file = Path(__file__).with_name("alerts.test.yaml")

    assert promtool("test", "rules", str(file)) == ""


def test_each_alert_has_such_a_test() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    text = Path(__file__).with_name("alerts.test.yaml").read_text()

    assert {name for name in names if f'"{name}",alertstate="firing"' in text} == names
