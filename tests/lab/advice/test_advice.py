"""What is said of a Service, and to which ones nothing can be said."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from tests.lab.advice.test_candidate import KEYS, profile
from xds_server.api.decode import decode
from xds_server.lab.advice.advice import Advice, advise
from xds_server.lab.advice.candidate import CANDIDATES, Terms
from xds_server.lab.advice.decision import Batch, Decision, Record, decide
from xds_server.lab.advice.described import Description
from xds_server.lab.advice.measurement import Plan, Standing
from xds_server.lab.advice.table import (
    advice_json,
    policy_yaml,
    print_advice,
    reasons,
)
from xds_server.lab.error import UsageError

P95 = (0.3, 0.31, 0.1, 0.05)
CHOSEN = CANDIDATES[:4]
TERMS = Terms(addresses=("10.0.0.1", "10.0.0.2"), key_header="x-user")


def standing(position: int, p95: float) -> Standing:
    name = CHOSEN[position].name
    batches = tuple(Batch(p95=p95 * (1 + n / 100), error_share=0) for n in range(10))
    return Standing(
        candidate=CHOSEN[position],
        record=Record(name=name, batches=batches),
        requests=400,
        median=p95 / 4,
        p95=p95,
        p99=p95 * 2,
        error_share=0,
        shares=(0.25, 0.75),
        hit_share=0.5,
    )


@pytest.fixture
def advice() -> Advice:
    found = replace(profile(1, 1, keys=KEYS), rate=50)
    standings = tuple(standing(n, p95) for n, p95 in enumerate(P95))
    spec = {
        "targetRefs": [{"kind": "Service", "name": "web", "sectionName": "http"}],
        "loadBalancer": CHOSEN[3].build(found, TERMS),
    }
    return Advice(
        service="shop/web:80",
        profile=found,
        plan=Plan(slowdown=1, settling=3, batches=10, batch=1),
        standings=standings,
        left_out=CANDIDATES[-1:],
        decision=decide([each.record for each in standings]),
        present="RoundRobin",
        policy={
            "apiVersion": "traffic.xds-server.dev/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"namespace": "shop", "name": "web-80"},
            "spec": spec,
        },
    )


def test_people_are_shown_the_figures_the_reasons_and_the_policy(
    advice: Advice,
) -> None:
    console = Console(file=StringIO(), width=200)
    print_advice(advice, console)
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    lines = [" ".join(each.split()) for each in shown.splitlines()]

    assert lines[0].startswith("shop/web:80: 50 requests a second, 12% of what 2 ")
    assert lines[1].startswith("(10 ms a request at speed 1, speeds 1:1, ")
    assert "Maglev 400 12 50 100 0.0% 50% 25:75 recommended" in lines
    assert "RoundRobin 400 75 300 600 0.0% 50% 25:75 beaten" in lines
    assert (
        "Recommended for shop/web:80: Maglev, the simplest that no other one beats. In "
        "force now: RoundRobin."
    ) in lines
    assert any(
        each.startswith("LeastRequest is beaten by Maglev: p95 50 ms, not 100 ms (p = ")
        for each in lines
    )
    assert any("PerformanceBased (ControlPlane), which needs 28 s" in e for e in lines)
    assert shown.endswith(f"\n\n{policy_yaml(advice)}")


def test_who_was_faster_without_a_proof_is_named(advice: Advice) -> None:
    """And nobody is where the winner was the fastest."""
    unproved = "Maglev was better at the 95th percentile, 50 ms and not 300 ms, which"
    decision = Decision(winner="round-robin", defeats={}, level=0.001)

    assert not any("was better" in each for each in reasons(advice))
    told = list(reasons(replace(advice, decision=decision)))
    assert any(each.startswith(unproved) for each in told)


def test_the_policy_can_be_pasted(advice: Advice) -> None:
    decoded = decode(policy_yaml(advice).encode(), source="x.yaml")

    assert (len(decoded.documents), decoded.problems) == (1, ())


def test_programs_are_told_the_same(advice: Advice) -> None:
    found = json.loads(advice_json(advice))

    assert found["recommended"] == advice.recommended.candidate.name == "maglev"
    assert found["policy"] == advice.policy
    assert [each["beatenBy"] for each in found["candidates"]] == [*["maglev"] * 3, None]
    assert found["leftOut"] == ["performance-based"]
    assert found["profile"]["speeds"] == [1, 1]


def manifests(*names: str, endpoints: int = 2, protocol: str = "http") -> str:
    objects: list[object] = []
    for name in names:
        ports = [{"name": "x", "port": 80, "appProtocol": protocol}]
        labels = {"kubernetes.io/service-name": name}
        objects += [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": "shop", "name": name},
                "spec": {"ports": ports},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"namespace": "shop", "name": name, "labels": labels},
                "addressType": "IPv4",
                "ports": [{"name": "x", "port": 80}],
                "endpoints": [
                    {"addresses": [f"10.0.0.{number + 1}"]}
                    for number in range(endpoints)
                ],
            },
        ]
    return yaml.safe_dump_all(objects)


ALONE = yaml.safe_dump(
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "alone"}}
)


@pytest.mark.parametrize(
    ("text", "service", "seconds", "said"),
    [
        (manifests("a"), "shop/b", 60, "there is no Service shop/b"),
        (manifests("a"), "shop/a:81", 60, "there are: shop/a:80"),
        (ALONE, None, 60, "there is no Service in the files\n  hint: there are: none"),
        (manifests("a", "b"), None, 60, "--service; there are: shop/a:80, shop/b:80"),
        (manifests("a", protocol="tcp"), None, 60, "shop/a:80 is TCP"),
        (manifests("a", endpoints=1), None, 60, r"2 to 32 endpoints \(got 1\)"),
        (manifests("a", endpoints=33), None, 60, r"2 to 32 endpoints \(got 33\)"),
        (manifests("a"), None, 1, "too few: 70 requests would count"),
    ],
)
async def test_there_is_no_advice_without_a_choice(
    tmp_path: Path, text: str, service: str | None, seconds: float, said: str
) -> None:
    """Nothing is started for that."""
    (tmp_path / "mesh.yaml").write_text(text)
    envoy = tmp_path / "envoy"
    envoy.write_text("#!/bin/false")
    envoy.chmod(0o700)
    described = Description(rate=100, service_time=0.01, workers=1)

    with pytest.raises(UsageError, match=said):
        await advise(
            [tmp_path],
            lambda upstream: described.profile(len(upstream.endpoints)),
            service=service,
            seconds=seconds,
            envoy=envoy,
        )
