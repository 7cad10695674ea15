"""docs/observability.md says what `/metrics` has, and which alerts there are."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import yaml
from prometheus_client import CollectorRegistry

from tests.control.mesh import World, mesh
from tests.deploy.kustomization import KUBERNETES, build
from tests.deploy.workload import deployments
from xds_server.api.problem import Place, Problem
from xds_server.engine import (
    CLUSTER,
    Cause,
    ClientStatus,
    Connection,
    Delivery,
    Head,
    Mode,
    Node,
    Rejection,
    Resource,
    Response,
    SendTimes,
    Subscription,
    Table,
    TypeStatus,
)
from xds_server.observe import Metrics
from xds_server.translate.stats import READABLE
from xds_server.weight_metrics import WeightMetrics

REPOSITORY: Final = Path(__file__).parents[1]
GUIDE: Final = (REPOSITORY / "docs" / "observability.md").read_text()
RULES: Final = REPOSITORY / "deploy" / "prometheus" / "rules.yaml"
ADDED: Final = frozenset({"le", "quantile"})
"""Labels that a type of metric has by itself."""


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, but for its own heading."""
    _, _, text = GUIDE.partition(f"\n## {heading}\n")
    _, _, text = text.partition("\n|")
    table = text.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def busy_metrics() -> Metrics:
    """Return metrics that have heard of everything there is to hear of."""
    head = Head(type_url=CLUSTER, version="1", nonce="1", names=("a",), removed=())
    rejection = Rejection(head=head, message="bad", suspects=("a",))
    connection = Connection(
        node=Node(id="n"),
        mode=Mode.DELTA,
        peer="here",
        connected_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    delivery = Delivery(
        response=Response(head=head, body=b"1"), changed=(), cause=Cause.REQUEST
    )
    status = TypeStatus(
        type_url=CLUSTER,
        subscription=Subscription(),
        sent=head,
        is_waiting=False,
        accepted_version=None,
        rejections=(rejection,),
    )
    table = Table(CLUSTER)
    table.update(applied=[Resource(type_url=CLUSTER, name="a", body=b"")])
    metrics = Metrics(lambda: [table])
    metrics.show_ready(lambda: True)
    metrics.show_leader(lambda: True)
    metrics.show_problems(lambda: [Problem(place=Place("a"), message="no")])
    metrics.show_rejected(
        lambda: [ClientStatus(connection=connection, types=(status,))]
    )
    metrics.count_publication(1)
    metrics.on_connect(connection)
    metrics.on_response(connection, delivery)
    moment = timedelta(seconds=1)
    metrics.on_sent(connection, delivery, SendTimes(queued=moment, sent=moment))
    metrics.on_ack(connection, head)
    metrics.on_nack(connection, rejection)
    metrics.on_stale(connection, CLUSTER)
    metrics.on_converged(moment)
    world = World(*mesh(1, 2, 3))
    world.learn()
    standings = tuple(world.loop.standings(world.now))
    metrics.registry.register(WeightMetrics(world.loop, lambda: standings))
    return metrics


def exposed(registry: CollectorRegistry) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield name, type and labels of each metric of our own."""
    for family in registry.collect():
        if family.name.startswith("process_"):
            continue
        assert family.samples, f"{family.name}: nothing was counted"
        labels = {label for sample in family.samples for label in sample.labels}
        suffix = "_total" if family.type == "counter" else ""
        yield family.name + suffix, family.type, tuple(sorted(labels - ADDED))


def test_the_guide_has_every_metric_and_no_other() -> None:
    told = [
        (name.strip("`"), kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _ in rows("Metrics")
    ]

    assert sorted(told) == sorted(exposed(busy_metrics().registry))


def test_the_guide_has_every_alert() -> None:
    """In the order of the file, with the time and the severity that it has there."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    told = [
        (name.strip("`"), time, severity) for name, _, time, severity in rows("Alerts")
    ]

    assert told == [
        (rule["alert"], rule["for"], rule["labels"]["severity"])
        for rule in group["rules"]
    ]


def test_every_alert_says_what_to_do_and_why() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]

    for rule in group["rules"]:
        assert rule["annotations"].keys() == {"summary", "description", "why"}


def test_in_kubernetes_the_named_port_is_scraped() -> None:
    """The job is called as the alerts have it, and the port as the Deployment does."""
    _, _, text = GUIDE.partition("```yaml\nscrape_configs:\n")
    server, envoy = yaml.safe_load(text.partition("```")[0])
    (deployment,) = deployments(build(KUBERNETES))
    (container,) = deployment.containers
    (admin,) = [port.name for port in container.ports if port.container_port == 18001]

    assert server["job_name"] == "xds-server"
    assert server["relabel_configs"][0]["regex"] == admin
    assert server["kubernetes_sd_configs"][0]["namespaces"]["names"] == ["xds-system"]
    assert envoy["metrics_path"] in READABLE
