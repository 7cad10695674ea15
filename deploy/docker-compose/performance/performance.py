"""Round robin and performance-based side by side, on servers that are not equal."""

from measure import Answers, Judge, ask, wait_for_answers, wait_until

CLIENT = "client"
IN_TURN, BY_PERFORMANCE = "in-turn.demo", "by-performance.demo"
CAPACITY = {"fast": 200.0, "medium": 100.0, "slow": 100 / 3}
RATE = 120.0
SECONDS = 15

judge = Judge()


def load(host: str, seconds: float = SECONDS) -> Answers:
    """Ask at a rate that all servers together carry easily."""
    requests = int(RATE * seconds)
    return ask(CLIENT, host, requests=requests, rate=RATE, concurrency=100)


def row(name: str, answers: Answers) -> None:
    requests = len(answers.all)
    shares = "".join(f"{answers.count[name] / requests:8.0%}" for name in CAPACITY)
    latencies = "".join(f"{answers.percentile(p):8.0f}" for p in (50, 90, 99))
    judge.say(f"  {name:18}{shares}{latencies}")


def is_idle() -> bool:
    """Whether the slow server has worked off what it was given."""
    return ask(CLIENT, IN_TURN, requests=9).percentile(100) < 100


def main() -> None:
    wait_for_answers([CLIENT], IN_TURN)
    wait_for_answers([CLIENT], BY_PERFORMANCE)
    whole = sum(CAPACITY.values())
    judge.say(f"{RATE:.0f} requests a second; the servers can do {whole:.0f} together")
    judge.say(f"by turns, {SECONDS} s ...")
    in_turn = load(IN_TURN)
    wait_until("the servers are idle", is_idle)
    judge.say(f"by performance, {SECONDS} s and 10 s before them ...")
    load(BY_PERFORMANCE, 10)  # the servers tell what they can do
    by_performance = load(BY_PERFORMANCE)

    judge.say(f"\n  {'':18}{'share of requests':^24}{'latency, ms':^24}")
    header = "".join(f"{name:>8}" for name in (*CAPACITY, "p50", "p90", "p99"))
    judge.say(f"  {'':18}{header}")
    row("round robin", in_turn)
    row("performance-based", by_performance)
    theory = "".join(f"{each / whole:8.0%}" for each in CAPACITY.values())
    judge.say(f"  {'p/Σp':18}{theory}\n")

    judge.no_failure(in_turn, "by turns")
    judge.no_failure(by_performance, "by performance")
    for name, capacity in CAPACITY.items():
        share = by_performance.count[name] / len(by_performance.all)
        off = share / (capacity / whole) - 1
        judge.claim(
            f"{name}: {off:+.0%} off its p/Σp, limit 25 %", holds=abs(off) <= 0.25
        )
    ratio = by_performance.percentile(99) / in_turn.percentile(99)
    judge.claim(
        f"the slowest 1 % wait {ratio:.2f} of what they do by turns, limit 0.5",
        holds=ratio <= 0.5,
    )
    judge.close()


if __name__ == "__main__":
    main()
