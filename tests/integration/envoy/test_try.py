"""`xds-server try`: the examples hold on a real Envoy, and what does not hold is found.

All examples are measured in one run; each has a test of its own.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.components import envoy_binary
from xds_server.lab.example import packaged_examples
from xds_server.lab.report import print_report
from xds_server.lab.trial import Outcome, TrialReport, run_trials

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(900)]

EXAMPLES = packaged_examples()
FILES = sorted(file.stem for file in EXAMPLES.glob("*.yaml"))
ALGORITHMS = (
    "RoundRobin",
    "Random",
    "Weighted",
    "LeastRequest",
    "RingHash",
    "Maglev",
    "IPHash",
    "PerformanceBased (ControlPlane)",
    "PerformanceBased (OrcaHeaders)",
    "PerformanceBased (OrcaOutOfBand)",
)


@pytest.fixture(scope="module")
def report() -> TrialReport:
    """Everything under `policies/`, measured once."""
    report = asyncio.run(run_trials([EXAMPLES]))
    print_report(report)  # pytest shows it where a test fails
    return report


def services(file: str) -> set[str]:
    """Return the names of the Services in an example."""
    text = (EXAMPLES / f"{file}.yaml").read_text("utf-8")
    return set(
        re.findall(r"kind: Service\nmetadata:\n +namespace: .+\n +name: (.+)", text)
    )


@pytest.mark.xdist_group("try")
@pytest.mark.parametrize("file", FILES)
def test_an_example_holds(report: TrialReport, file: str) -> None:
    names = {f"shop/{name}" for name in services(file)}
    trials = [t for t in report.trials if t.service.partition(":")[0] in names]

    assert names
    assert {t.service.partition(":")[0] for t in trials} == names
    assert {t.service: t.outcome for t in trials} == {
        t.service: Outcome.HOLDS for t in trials
    }


@pytest.mark.xdist_group("try")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_has_an_example(report: TrialReport, algorithm: str) -> None:
    assert any(trial.algorithm.startswith(algorithm) for trial in report.trials)


@pytest.mark.xdist_group("try")
def test_a_run_seldom_cries_wolf(report: TrialReport) -> None:
    assert report.holds
    assert report.false_alarm_rate < 1e-6


async def run_try(*arguments: str | Path) -> tuple[int, str, str]:
    """Return code, stdout and stderr of `xds-server try`."""
    process = await start_try(*arguments)
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def start_try(
    *arguments: str | Path, home: Path | None = None
) -> asyncio.subprocess.Process:
    environment = dict(os.environ)
    if home is not None:
        environment["TMPDIR"] = str(home)
    # A job that a shell script runs in the background has no Ctrl-C, nor have its
    # children, unless somebody says otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "try"),
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )


async def test_stdout_is_data(tmp_path: Path) -> None:
    """Two policies on one Service, as JSON and as a picture."""
    picture = tmp_path / "shares.svg"
    code, out, _ = await run_try(
        EXAMPLES / "per-port.yaml", "-o", "json", "--plot", picture, "--requests", "400"
    )
    value = json.loads(out)

    assert code == 0
    assert [trial["service"] for trial in value["trials"]] == [
        "shop/stock:80",
        "shop/stock:9000",
    ]
    assert [trial["algorithm"] for trial in value["trials"]] == ["Random", "RoundRobin"]
    assert "2 of 2 policies hold" in picture.read_text("utf-8")


async def test_one_service_can_be_picked() -> None:
    """By name and port, and several requests in flight."""
    code, out, _ = await run_try(
        EXAMPLES,
        *("--service", "shop/stock:9000", "--concurrency", "4", "-o", "json"),
    )
    (trial,) = json.loads(out)["trials"]

    assert code == 0
    assert trial["service"] == "shop/stock:9000"


JOBS = """
---
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: core, name: jobs}
spec:
  targetRefs: [{kind: Namespace, name: core}]
  clientSelector: {matchLabels: {tier: batch}}
  loadBalancer: {type: Random}
"""


async def test_it_measures_as_a_client_with_labels(tmp_path: Path) -> None:
    """By a policy for the mesh, whose root namespace is an unusual one."""
    plain = (EXAMPLES / "annotation-only.yaml").read_text()
    annotation = "traffic.xds-server.dev/load-balancer"
    (file := tmp_path / "jobs.yaml").write_text(plain.replace(annotation, "a/b") + JOBS)
    flags = ("--label", "tier=batch", "--root-namespace", "core", "-o", "json")
    code, out, _ = await run_try(file, *flags)
    trials = json.loads(out)["trials"]

    assert code == 0
    assert {each["algorithm"] for each in trials} == {"Random"}
    assert {*map(tuple, (each["policies"] for each in trials))} == {
        ("TrafficPolicy core/jobs",)
    }


async def test_a_policy_that_does_not_hold_is_found(tmp_path: Path) -> None:
    """An operator's runtime override takes the requests in flight out of the formula.

    Envoy then balances by weight alone (RuntimeDouble in least_request.v3), which is
    not what the policy says.
    """
    overridden = tmp_path / "envoy"
    overridden.write_text(
        f'#!/bin/sh\nexec "{envoy_binary()}" "$@" --config-yaml "layered_runtime:'
        ' {layers: [{name: operator, static_layer: {xds_server.lr.bias: 0}}]}"\n'
    )
    overridden.chmod(0o755)
    code, out, _ = await run_try(
        EXAMPLES / "least-request-weighted.yaml", "--envoy", overridden
    )

    assert code == 1
    assert "DOES NOT HOLD  largest deviation" in out
    assert "0 of 1 hold on a real Envoy" in out


async def test_an_envoy_that_does_not_start_shows_its_last_words(
    tmp_path: Path,
) -> None:
    broken = tmp_path / "envoy"
    broken.write_text("#!/bin/sh\necho 'no such CPU' >&2\nexit 7\n")
    broken.chmod(0o755)
    code, _, error = await run_try(EXAMPLES / "random.yaml", "--envoy", broken)

    assert code == 3
    assert "envoy ended with code 7" in error
    assert "no such CPU" in error


async def test_a_missing_envoy_is_said(tmp_path: Path) -> None:
    code, _, error = await run_try(
        EXAMPLES / "random.yaml", "--envoy", tmp_path / "envoy"
    )

    assert code == 3
    assert f"no Envoy at {tmp_path}/envoy" in error


def children(pid: int) -> Iterator[int]:
    """Yield the children of a process, and theirs."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text("ascii").split()):
                yield child
                yield from children(child)


def command(pid: int) -> str:
    """Return the name of a living process's command; empty for a dead one."""
    try:
        name, _, state = (
            Path(f"/proc/{pid}/stat")
            .read_text("ascii")
            .partition("(")[2]
            .rpartition(")")
        )
    except OSError:
        return ""
    return "" if state.split()[0] == "Z" else name


async def while_measuring(process: asyncio.subprocess.Process) -> list[int]:
    """Return the children of a run once an Envoy is among them."""
    async with asyncio.timeout(120):
        while process.returncode is None:
            family = list(children(process.pid))
            if any(command(pid) == "envoy" for pid in family):
                return family
            await asyncio.sleep(0.05)
    pytest.fail("the run ended before it had an Envoy")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_no_process_is_left_behind(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C and SIGTERM are answered in order; killed, the kernel ends all."""
    process = await start_try(EXAMPLES, home=tmp_path)
    family = await while_measuring(process)
    process.send_signal(how)
    await process.communicate()
    async with asyncio.timeout(60):
        while any(map(command, family)):  # noqa: ASYNC110 - not our children
            await asyncio.sleep(0.05)

    assert len(family) >= 2
    if how is not signal.SIGKILL:
        assert process.returncode == 130
        assert list(tmp_path.iterdir()) == []
