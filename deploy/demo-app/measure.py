"""What the loads of the demos share: ask, wait, compare, and say what holds.

Draws are judged by Chernoff's bound: of n draws of probability p, one in exp(n D) at
most gives a share as high as k/n > p, and as many one as low as k/n < p, where D is
the relative entropy D(k/n || p). A share holds unless 2 exp(-n D) is below `ALPHA`: it
fails for no reason less often than that. A demo makes fewer than 30 such checks, so
its false-alarm rate is below 3e-8. Turns are nearer to their shares than draws are.
"""

import json
import math
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

ALPHA = 1e-9
LIVE = Path("/live")
"""Where the control plane looks for policies that a load changes."""
PATIENCE = 60.0
PORT = 8080
CONTROL_PORT = 8081


class Answer(TypedDict):
    """One request's: status 0 is none at all; `cookie` is what it sets, if it does."""

    status: int
    who: str
    cookie: str | None
    ms: float


@dataclass(frozen=True)
class Answers:
    """What many requests gave, in their order."""

    all: Sequence[Answer]

    @property
    def count(self) -> Counter[str]:
        """How many each server has answered; failures are nobody's."""
        return Counter(each["who"] for each in self.all if each["status"] == 200)

    @property
    def who(self) -> Sequence[str]:
        """Who answered, one request after the other."""
        return [each["who"] for each in self.all]

    @property
    def failures(self) -> Counter[str]:
        """How many failed, by what was said instead."""
        failed = (each for each in self.all if each["status"] != 200)
        return Counter(f"{each['status'] or 'none'}: {each['who']}" for each in failed)

    def percentile(self, percent: float) -> float:
        """Return the latency in ms below which *percent* of the requests were."""
        ordered = sorted(each["ms"] for each in self.all)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def ask(client: str, host: str, **how: object) -> Answers:
    """Let *client* ask *host* through its Envoy; *how* as in client.py's `Question`."""
    body = json.dumps({"host": host, **how}).encode()
    request = urllib.request.Request(
        f"http://{client}:{PORT}/ask", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - http
        return Answers(json.load(answer))


def versions(client: str) -> Mapping[str, str]:
    """Return the version of each cluster that the Envoy beside *client* works with."""
    url = f"http://{client}:{PORT}/clusters"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: Mapping[str, str] = json.load(answer)
        return found


def set_backend(backend: str, **settings: object) -> None:
    """Change settings of a backend, while it runs."""
    request = urllib.request.Request(
        f"http://{backend}:{CONTROL_PORT}/settings",
        data=json.dumps(settings).encode(),
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - http
        pass


def wait_until(
    what: str, holds: Callable[[], bool], patience: float = PATIENCE
) -> float:
    """Wait until *holds*; return how many seconds it took.

    Raises:
        SystemExit: it does not within *patience* seconds.
    """
    began = time.monotonic()
    while not _tried(holds):
        if time.monotonic() - began > patience:
            sys.exit(
                f"FAILS: waited {patience:.0f} s in vain until {what}\n"
                "hint: `docker compose logs xds-server sidecar gateway` may say why"
            )
        time.sleep(0.05)
    return time.monotonic() - began


def _tried(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except OSError:
        return False  # not up yet


def clear() -> None:
    """Take away what an earlier run has put in force."""
    for path in LIVE.glob("*.yaml"):
        path.unlink()


def wait_for_answers(
    clients: Sequence[str], host: str, envoys: Sequence[str] = ()
) -> None:
    """Wait until all *clients* reach *host*, and their Envoys have settled.

    *envoys* are what to ask for that, where it is not the clients.
    """
    for client in clients:
        wait_until(f"{client} reaches {host}", partial(_reaches, client, host))
    for envoy in envoys or clients:
        steady = Steady(partial(versions, envoy))
        wait_until(f"the Envoy of {envoy} has settled", steady)


def _reaches(client: str, host: str) -> bool:
    return not ask(client, host, requests=1).failures


class Steady:
    """Holds when something has been the same for two seconds."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._since = time.monotonic()
        self._last: object = None

    def __call__(self) -> bool:
        """Look again."""
        now, last = self._look(), self._last
        self._last = now
        if now != last:
            self._since = time.monotonic()
        return time.monotonic() - self._since > 2


def put(document: Path, name: str = "policy.yaml") -> None:
    """Put *document* in force in place of the last of this name, all at once."""
    write(document.read_text(), name)


def write(text: str, name: str) -> None:
    """Put a document in force: what watches never sees half of it."""
    hidden = LIVE / f".{name}"
    hidden.write_text(text)
    hidden.rename(LIVE / name)


def in_effect(
    clients: Sequence[str], cluster: str, change: Callable[[], object]
) -> float:
    """Do *change*, and wait until all Envoys work with another version of *cluster*.

    Seconds that it took are returned.
    """
    before = {client: versions(client).get(cluster) for client in clients}
    change()
    return wait_until(
        f"the Envoys work with the changed {cluster}",
        lambda: all(
            versions(client).get(cluster) != before[client] for client in clients
        ),
    )


class Background:
    """Requests that go on while something happens, from some clients at once."""

    def __init__(self, clients: Sequence[str], host: str, rate: float) -> None:
        self._end = threading.Event()
        self._pool = ThreadPoolExecutor(len(clients))
        self._asked = [
            self._pool.submit(self._ask, client, host, rate) for client in clients
        ]

    def _ask(self, client: str, host: str, rate: float) -> Sequence[Answer]:
        answers: list[Answer] = []
        while not answers or not self._end.is_set():
            batch = ask(client, host, requests=20, concurrency=4, rate=rate)
            answers += batch.all
        return answers

    def end(self) -> Answers:
        """Stop, and return all answers since the beginning; at least 20 of each client.

        Raises:
            OSError: a client could not be told to ask.
        """
        self._end.set()
        with self._pool:
            return Answers([each for asked in self._asked for each in asked.result()])


class Judge:
    """Prints what was measured, and remembers what does not hold."""

    def __init__(self) -> None:
        self._claims = 0
        self._failed: list[str] = []

    def say(self, text: str = "") -> None:
        """Tell the story."""
        print(text, flush=True)

    def claim(self, text: str, *, holds: bool) -> None:
        """State something that was measured."""
        self._claims += 1
        if not holds:
            self._failed.append(text)
        self.say(f"  {'HOLDS' if holds else 'FAILS'}  {text}")

    def shares(self, answers: Answers, expected: Mapping[str, float]) -> None:
        """Compare who answered with the shares that are to be expected."""
        requests = len(answers.all)
        whole = sum(expected.values())
        names = sorted({*expected, *answers.count})
        worst = 1.0
        for name in names:
            share = expected.get(name, 0.0) / whole
            count = answers.count[name]
            worst = min(worst, chance(count, requests, share))
            bar = "█" * round(40 * count / requests)
            self.say(f"    {name:12} {share:6.1%} {count / requests:7.1%} {bar}")
        self.no_failure(answers)
        self.claim(
            f"{requests} requests fit the theory (p up to {worst:.2g})",
            holds=worst >= ALPHA,
        )

    def no_failure(self, answers: Answers, of: str = "requests") -> None:
        """Claim that every request was answered well."""
        failures = answers.failures
        text = f"none of {len(answers.all)} {of} failed"
        if failures:
            text += f" (got {dict(failures.most_common(3))})"
        self.claim(text, holds=bool(answers.all) and not failures)

    def close(self) -> None:
        """Sum up and exit: 0 if all holds, else 1.

        Raises:
            SystemExit: always.
        """
        if self._failed:
            self.say(f"\n{len(self._failed)} of {self._claims} claims FAIL:")
            for text in self._failed:
                self.say(f"  {text}")
            sys.exit(1)
        self.say(f"\nAll {self._claims} claims hold.")
        sys.exit(0)


def chance(count: int, requests: int, share: float) -> float:
    """Return a bound of how often draws of *share* are as unlikely, on either side."""
    measured = count / requests
    return min(1.0, 2 * math.exp(-requests * _entropy(measured, share)))


def _entropy(measured: float, share: float) -> float:
    """Return D(measured || share) of two Bernoulli distributions, in nats."""
    total = 0.0
    for found, wanted in ((measured, share), (1 - measured, 1 - share)):
        if found > 0:
            if wanted <= 0:
                return math.inf
            total += found * math.log(found / wanted)
    return total
