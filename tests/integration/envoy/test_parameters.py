"""Parameters of algorithms that no example shows, measured as `try` measures."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.integration.envoy.world import Json
from xds_server.lab.report import print_report
from xds_server.lab.trial import Outcome, TrialReport, run_trials

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("parameters"),
]

USER: Final[Json] = {"header": {"name": "x-user"}}
UNEQUAL: Final[Json] = {
    "rules": [
        {"addresses": ["10.9.0.2"], "weight": 2},
        {"addresses": ["10.9.0.3"], "weight": 4},
    ]
}
PARAMETERS: Final[Mapping[str, Json]] = {
    "choice-count": {"type": "LeastRequest", "leastRequest": {"choiceCount": 3}},
    "no-bias": {
        "type": "LeastRequest",
        "leastRequest": {"activeRequestBias": 0},
        "weights": UNEQUAL,
    },
    "bias": {
        "type": "LeastRequest",
        "leastRequest": {"activeRequestBias": 2},
        "weights": UNEQUAL,
    },
    "ring-of-a-size": {
        "type": "RingHash",
        "ringHash": {"minimumRingSize": 5000, "maximumRingSize": 6000},
        "hashOn": [USER],
    },
    "ring-of-another-hash": {
        "type": "RingHash",
        "ringHash": {"minimumRingSize": 4096, "hashFunction": "MurmurHash2"},
        "hashOn": [USER],
    },
    "ring-that-is-cut-off": {
        "type": "RingHash",
        "ringHash": {"minimumRingSize": 64, "maximumRingSize": 64},
        "hashOn": [USER],
        "weights": UNEQUAL,
    },
    "table-of-a-size": {
        "type": "Maglev",
        "maglev": {"tableSize": 1009},
        "hashOn": [USER],
    },
    "table-with-weights": {"type": "Maglev", "hashOn": [USER], "weights": UNEQUAL},
    "table-that-is-bounded": {
        "type": "Maglev",
        "maglev": {"boundedLoadPercent": 125},
        "hashOn": [USER],
    },
    "several-keys": {
        "type": "Maglev",
        "hashOn": [
            USER,
            {"queryParameter": {"name": "q"}},
            {"cookie": {"name": "sid"}},
            {"sourceIP": {}},
        ],
    },
    "address-on-a-ring": {"type": "IPHash", "ipHash": {"algorithm": "RingHash"}},
    "warm-at-once": {
        "type": "Weighted",
        "weights": UNEQUAL,
        "slowStart": {"window": "4s", "aggression": 2, "minWeightPercent": 50},
    },
    "several-metrics": {
        "type": "PerformanceBased",
        "performanceBased": {
            "source": "OrcaHeaders",
            "metrics": ["mem_utilization", "utilization.disk", "named_metrics.queue"],
            "blackoutPeriod": "100ms",
            "updatePeriod": "100ms",
        },
    },
}


def write_service(folder: Path, name: str, load_balancer: Json) -> None:
    """Write a Service of three endpoints, and the policy that is for it."""
    metadata = {"namespace": "shop", "name": name}
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "http", "port": 80}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [f"10.9.0.{host}"]} for host in (1, 2, 3)],
        },
        {
            "apiVersion": "traffic.xds-server.dev/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": metadata,
            "spec": {
                "targetRefs": [{"kind": "Service", "name": name}],
                "loadBalancer": load_balancer,
            },
        },
    ]
    (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(objects))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> TrialReport:
    """All of them, measured once: fewer than 1e-6 of such runs find fault."""
    folder = tmp_path_factory.mktemp("parameters")
    for name, load_balancer in PARAMETERS.items():
        write_service(folder, name, load_balancer)
    found = asyncio.run(run_trials([folder]))
    print_report(found)  # pytest shows it where a test fails
    return found


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_does_what_it_says(report: TrialReport, name: str) -> None:
    (trial,) = (one for one in report.trials if one.service == f"shop/{name}:80")

    assert trial.outcome is Outcome.HOLDS, trial
    assert report.false_alarm_rate < 1e-6
