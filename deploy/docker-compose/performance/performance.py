"""Round robin and performance-based side by side, on servers that are not equal.

Nothing here is drawn but which of two equal servers is asked first: requests come
evenly, and servers take as long as they are told. So limits leave no room for chance,
but for a machine that is busy: it makes fast servers slower by the same milliseconds as
slow ones, and shares follow that. With 6 ms more for all, the slow one had 1.3 times
its p/Σp; the limit is 2, and by turns it has 3.3 times. Of latencies, a twentieth was
seen where the limit is a half.
"""

import json
import sys
from socket import gethostbyname

from measure import (
    Answers,
    Judge,
    ask,
    clear,
    set_backend,
    wait_for_answers,
    wait_until,
    write,
)

CLIENT = "client"
IN_TURN, BY_REPORT = "in-turn.demo", "by-report.demo"
BY_PERFORMANCE = "by-performance.demo"
CAPACITY = {"fast": 100.0, "medium": 50.0, "slow": 100 / 6}
RATE = 60.0
SECONDS = 15

judge = Judge()


def load(host: str, seconds: float = SECONDS) -> Answers:
    """Ask at a rate that all servers together carry easily."""
    requests = int(RATE * seconds)
    return ask(CLIENT, host, requests=requests, rate=RATE, concurrency=100)


def tell_addresses() -> None:
    """Write down where the servers are, as the controller of a cluster does."""
    names = {"kubernetes.io/service-name": "by-performance"}
    endpoints = [{"addresses": [gethostbyname(name)]} for name in CAPACITY]
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "demo", "name": "by-performance", "labels": names},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": endpoints,
    }
    write(json.dumps(slice_), "endpoints.yaml")


def report(*, on: bool) -> None:
    """Let the servers report their load in their answers, or no more."""
    for name in CAPACITY:
        set_backend(name, reports=on)


def share(answers: Answers, name: str) -> float:
    """Return the part of the requests that a server has answered."""
    return answers.count[name] / len(answers.all)


def row(name: str, answers: Answers) -> None:
    """Show who answered, and how soon."""
    shares = "".join(f"{share(answers, each):8.0%}" for each in CAPACITY)
    latencies = "".join(f"{answers.percentile(p):8.0f}" for p in (50, 90, 99))
    judge.say(f"  {name:23}{shares}{latencies}")


def is_idle() -> bool:
    """Whether the slow server has worked off what it was given."""
    return ask(CLIENT, IN_TURN, requests=9).percentile(100) < 200


def is_found() -> bool:
    """Whether the slow server gets half of a third, or less."""
    return share(load(BY_PERFORMANCE, 3), "slow") <= 1 / 6


def measure() -> dict[str, Answers]:
    """Return what became of the same load, by the way in which it was balanced."""
    judge.say(f"by turns, {SECONDS} s ...")
    in_turn = load(IN_TURN)
    wait_until("the servers are idle", is_idle)

    judge.say(f"by what servers report (ORCA), {SECONDS} s and 10 s before them ...")
    report(on=True)
    load(BY_REPORT, 10)  # the servers tell what they can do
    by_report = load(BY_REPORT)
    report(on=False)

    judge.say("by what the Envoy measures; the servers report nothing any more ...")
    seconds = wait_until("the slow one gets half of its turns", is_found, 120)
    judge.say(
        f"the slow one gets half of its turns after {seconds:.0f} s; on for 30 s ..."
    )
    load(BY_PERFORMANCE)  # what is left to find is less than noise at first
    return {
        "round robin": in_turn,
        "performance, ORCA": by_report,
        "performance, measured": load(BY_PERFORMANCE),
    }


def main() -> None:
    clear()
    tell_addresses()
    report(on=False)
    for host in (IN_TURN, BY_REPORT, BY_PERFORMANCE):
        wait_for_answers([CLIENT], host)
    whole = sum(CAPACITY.values())
    judge.say(f"{RATE:.0f} requests a second; the servers can do {whole:.0f} together")
    found = measure()

    judge.say(f"\n  {'':23}{'share of requests':^24}{'latency, ms':^24}")
    header = "".join(f"{name:>8}" for name in (*CAPACITY, "p50", "p90", "p99"))
    judge.say(f"  {'':23}{header}")
    for name, answers in found.items():
        row(name, answers)
    theory = "".join(f"{each / whole:8.0%}" for each in CAPACITY.values())
    judge.say(f"  {'p/Σp':23}{theory}\n")

    for name, answers in found.items():
        judge.no_failure(answers, f"by {name}")
    in_turn, *others = found
    for other in others:
        times = share(found[other], "slow") / (CAPACITY["slow"] / whole)
        judge.claim(
            f"{other}: slow gets {times:.1f} times its p/Σp, limit 2", holds=times <= 2
        )
        ratio = found[other].percentile(99) / found[in_turn].percentile(99)
        judge.claim(
            f"{other}: p99 is {ratio:.2f} of that of {in_turn}, limit 0.5",
            holds=ratio <= 0.5,
        )
    judge.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["addresses"]:
        tell_addresses()
    else:
        main()
