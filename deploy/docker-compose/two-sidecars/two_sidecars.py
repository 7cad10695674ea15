"""Two applications, two policies, and a control plane that is killed under load."""

import os
import signal
import socket
from pathlib import Path

from measure import (
    Answers,
    Background,
    Judge,
    ask,
    clear,
    in_effect,
    put,
    wait_for_answers,
    wait_until,
)

CLIENTS = ("web", "batch")
HOST, CLUSTER = "backend", "demo/backend/80"
JOBS = [{"x-job": f"job-{number}"} for number in range(300)]
REQUESTS = 900

judge = Judge()


def servers() -> list[int]:
    """Return the process ids of the control plane."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if b"serve" in words and any(word.endswith(b"/xds-server") for word in words):
            found.append(int(entry.parent.name))
    return found


def policies_hold() -> None:
    """Claim that each application's requests go as its own policy says."""
    judge.say("\n  web, by turns:")
    web = evenly("web")
    judge.say("\n  batch, by job:")
    first, again = (ask("batch", HOST, requests=300, each=JOBS) for _ in range(2))
    judge.no_failure(first)
    stays = first.who == again.who
    judge.claim("300 jobs each reach the same server again", holds=stays)
    judge.claim("every server has jobs", holds=set(first.who) == set(web.who))


def replicas() -> int:
    """Return how many servers are behind the name, as DNS knows it."""
    found = socket.getaddrinfo(HOST, 8080, socket.AF_INET, socket.SOCK_STREAM)
    return len({address for *_, address in found})


def evenly(client: str) -> Answers:
    """Claim that an application's requests are spread over all servers.

    Whatever it says of itself: other requests take turns, too, so that those of one
    measurement are not exactly one after the other.
    """
    answers = ask(client, HOST, requests=REQUESTS, each=JOBS)
    judge.shares(answers, dict.fromkeys(answers.count, 1.0))
    all_of_them = replicas()
    text = f"all {all_of_them} are asked"
    judge.claim(text, holds=len(answers.count) == all_of_them)
    return answers


def main() -> None:
    clear()
    wait_for_answers(CLIENTS, HOST)
    judge.say("Both applications ask for http://backend/:")
    policies_hold()

    judge.say("\nThe control plane is killed, while both ask 50 times a second:")
    load = Background(CLIENTS, HOST, rate=50)
    (server,) = servers()
    os.kill(server, signal.SIGKILL)
    wait_until("the old one is gone", lambda: server not in servers())
    judge.say("  killed: what the Envoys have stays in force")
    policies_hold()
    wait_until("a new one runs", lambda: len(servers()) == 1)
    seconds = in_effect(
        ["batch"], CLUSTER, lambda: put(Path("/demo/policies/by-turns.yaml"))
    )
    judge.say(
        f"\n  started again; a new policy for batch is in effect ({seconds:.1f} s):"
    )
    evenly("batch")
    in_effect(["batch"], CLUSTER, clear)
    judge.say("\nAll the while:")
    judge.no_failure(load.end())
    judge.close()


if __name__ == "__main__":
    main()
