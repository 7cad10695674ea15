"""`xds-server advise` recommends what a real Envoy's measurements show.

In three situations: servers that are equal, servers that are not, and answers that a
server keeps. One run may be wrong by chance; it is repeated once, with other chances.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(600)]

ENDPOINTS = 4
Found = Mapping[str, Mapping[str, float]]


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    """Return a file with a Service of four endpoints."""
    metadata = {"namespace": "shop", "name": "web"}
    labels = {"kubernetes.io/service-name": "web"}
    (file := tmp_path / "mesh.yaml").write_text(
        yaml.safe_dump_all(
            [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": metadata,
                    "spec": {"ports": [{"name": "http", "port": 80}]},
                },
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {**metadata, "labels": labels},
                    "addressType": "IPv4",
                    "ports": [{"name": "http", "port": 8080}],
                    "endpoints": [
                        {"addresses": [f"10.0.0.{number + 1}"]}
                        for number in range(ENDPOINTS)
                    ],
                },
            ]
        )
    )
    return file


async def advise(mesh: Path, seed: int, *flags: str) -> dict[str, object]:
    """Return what the command says, as a program reads it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "advise", str(mesh), "-o", "json"),
        *("--seed", str(seed), *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    found: dict[str, object] = json.loads(out)
    return found


async def recommended(
    mesh: Path, among: set[str], *flags: str
) -> tuple[str, Found, Mapping[str, object]]:
    """Return who is recommended, all figures and the block of the policy.

    Where it is none of *among*, of a second run.
    """
    advice = await advise(mesh, 1, *flags)
    if advice["recommended"] not in among:
        advice = await advise(mesh, 2, *flags)
    winner, policy = advice["recommended"], advice["policy"]
    candidates = advice["candidates"]
    assert isinstance(winner, str)
    assert isinstance(policy, dict)
    assert isinstance(candidates, list)
    found = {each["name"]: each for each in candidates}
    return winner, found, policy["spec"]["loadBalancer"]


async def test_for_equal_servers_the_simplest_is_as_good(mesh: Path) -> None:
    """At 6 % of what they can do nobody waits: all take as long as a request does.

    That chance speaks for another one takes 5 standard deviations of batches of 40
    requests: less than 4 of 10,000 runs, so both fail in less than 1 of 5,000,000.
    """
    flags = ("--rate", "60", "--service-time", "30ms", "--workers", "8")
    winner, found, block = await recommended(
        mesh, {"round-robin"}, *flags, "--seconds", "10"
    )

    assert winner == "round-robin"
    assert found.keys() == {"round-robin", "random", "least-request"}
    assert block == {"type": "RoundRobin"}


async def test_for_unequal_servers_it_is_who_heeds_what_they_can_do(mesh: Path) -> None:
    """In turn, the slow ones get 32 requests a second, of which they can do 25.

    Their queues grow by 7 a second, to seconds of waiting: 10 times what the others
    wait, in 20 batches of which each shows it.
    """
    speeds = [part for each in "1124" for part in ("--speed", each)]
    flags = ("--rate", "130", "--service-time", "80ms", "--workers", "2", *speeds)
    among = {"least-request", "weighted", "least-request-weighted"}
    winner, found, block = await recommended(mesh, among, *flags, "--seconds", "12")

    assert winner in among
    assert found[winner]["p95"] < found["round-robin"]["p95"] / 2
    assert found["round-robin"]["beatenBy"]
    assert found["random"]["beatenBy"]
    assert block["type"] in {"LeastRequest", "Weighted"}


async def test_where_servers_keep_answers_it_is_who_asks_the_same_one(
    mesh: Path,
) -> None:
    """60 keys, of which each server keeps 30: by a hash all, by turns a half.

    An answer that is kept takes a tenth, so the 95th percentile is 30 ms or 230.
    """
    keys = ("--keys", "60", "--cache-size", "30", "--key-header", "x-cart")
    flags = ("--rate", "80", "--service-time", "100ms", "--workers", "6", *keys)
    among = {"maglev", "ring-hash"}
    winner, found, block = await recommended(mesh, among, *flags, "--seconds", "12")

    assert winner in among
    assert found[winner]["hitShare"] > 0.9
    assert found["round-robin"]["hitShare"] < 0.7
    assert found[winner]["p95"] < found["round-robin"]["p95"] / 2
    assert block["hashOn"] == [{"header": {"name": "x-cart"}}]
