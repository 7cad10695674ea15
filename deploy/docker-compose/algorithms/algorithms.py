"""Put one policy after the other in force, and measure each on the running Envoy."""

from pathlib import Path

from measure import (
    Judge,
    ask,
    clear,
    in_effect,
    put,
    set_backend,
    wait_for_answers,
)

POLICIES = Path("/demo/policies")
CLIENT, HOST, CLUSTER = "client", "backend.demo", "demo/backend/80"
BACKENDS = [f"backend-{number}" for number in range(1, 6)]
EVEN = dict.fromkeys(BACKENDS, 1.0)
USERS = [{"x-user": f"user-{number}"} for number in range(500)]

judge = Judge()


def switch(policy: str) -> None:
    """Put a policy in force, while everything runs."""
    path = POLICIES / f"{policy}.yaml"
    seconds = in_effect([CLIENT], CLUSTER, lambda: put(path))
    theory = path.read_text().partition("\n")[0].lstrip("# ")
    judge.say(f"\n{policy}: {theory}  (in effect after {seconds * 1000:.0f} ms)")


def round_robin() -> None:
    switch("round-robin")
    answers = ask(CLIENT, HOST, requests=1000)
    judge.shares(answers, EVEN)
    names = answers.who
    in_turn = all(len(set(names[i : i + 5])) == 5 for i in range(len(names) - 4))
    judge.claim("any five requests in a row reach all five servers", holds=in_turn)


def random() -> None:
    switch("random")
    judge.shares(ask(CLIENT, HOST, requests=2000), EVEN)


def weighted() -> None:
    switch("weighted")
    weights = dict(zip(BACKENDS, (5.0, 4.0, 3.0, 2.0, 1.0), strict=True))
    answers = ask(CLIENT, HOST, requests=1500)
    judge.shares(answers, weights)
    off = max(abs(answers.count[name] - 100 * w) for name, w in weights.items())
    judge.claim(
        f"in turn: at most {off:.0f} of 1500 requests off, limit 5", holds=off <= 5
    )


def least_request() -> None:
    switch("least-request")
    for name in BACKENDS:
        set_backend(name, latency_ms=10)
    set_backend("backend-5", latency_ms=100)
    answers = ask(CLIENT, HOST, requests=2000, concurrency=10)
    for name in BACKENDS:
        set_backend(name, latency_ms=0)
    judge.no_failure(answers)
    share = answers.count["backend-5"] / 2000
    judge.claim(
        f"a server that is ten times slower gets {share:.1%}, less than half of 1/n",
        holds=share < 0.1,
    )


def sticky(policy: str) -> None:
    switch(policy)
    first, again = (ask(CLIENT, HOST, requests=500, each=USERS) for _ in range(2))
    judge.no_failure(first)
    judge.claim(
        "500 users each reach the same server again",
        holds=first.who == again.who,
    )
    if policy == "maglev":
        judge.shares(first, EVEN)
    else:
        judge.claim("every server has users", holds=set(first.who) == set(BACKENDS))


def ip_hash() -> None:
    switch("ip-hash")
    answers = ask(CLIENT, HOST, requests=500)
    judge.no_failure(answers)
    home = ", ".join(answers.count)
    judge.claim(f"one client has one server: {home}", holds=len(answers.count) == 1)


def performance_based() -> None:
    load = dict(zip(BACKENDS, (0.2, 0.2, 0.4, 0.4, 0.8), strict=True))
    for name, utilization in load.items():
        set_backend(name, reports=True, rate=100, utilization=utilization)
    switch("performance-based")
    judge.say("  as many requests keep backend-5 four times as busy as backend-1")
    ask(CLIENT, HOST, requests=500, rate=100)  # reports, and the blackout's end
    answers = ask(CLIENT, HOST, requests=1300)
    judge.shares(answers, {name: 100 / busy for name, busy in load.items()})
    for name in BACKENDS:
        set_backend(name, reports=False)


def main() -> None:
    clear()
    wait_for_answers([CLIENT], HOST)
    random()
    round_robin()
    weighted()
    least_request()
    sticky("ring-hash")
    sticky("maglev")
    ip_hash()
    performance_based()
    clear()
    judge.close()


if __name__ == "__main__":
    main()
