"""A zone goes down, and comes back: where does the traffic go?"""

from measure import Judge, ask, set_backend, wait_for_answers, wait_until

CLIENT, HOST = "client", "backend.demo"
ZONE_A, ZONE_B = ("a1", "a2"), ("b1", "b2")
EVEN_A, EVEN_B = dict.fromkeys(ZONE_A, 1.0), dict.fromkeys(ZONE_B, 1.0)
REQUESTS = 1000

judge = Judge()


def moved_to(zone: tuple[str, ...]) -> float:
    """Ask 50 times a second until all is well in this zone; return the seconds."""

    def is_there() -> bool:
        answers = ask(CLIENT, HOST, requests=25, rate=50, concurrency=4)
        failed.append(sum(answers.failures.values()))
        return set(answers.count) == set(zone) and not answers.failures

    failed: list[int] = []
    seconds = wait_until(f"only {', '.join(zone)} are asked", is_there)
    judge.say(f"  after {seconds:.1f} s; {sum(failed)} requests failed meanwhile")
    return seconds


def main() -> None:
    for name in (*ZONE_A, *ZONE_B):
        set_backend(f"backend-{name}", down=False)
    wait_for_answers([CLIENT], HOST)

    judge.say("\nThe client is in zone a:")
    moved_to(ZONE_A)
    judge.shares(ask(CLIENT, HOST, requests=REQUESTS), EVEN_A)

    judge.say("\nZone a goes down:")
    for name in ZONE_A:
        set_backend(f"backend-{name}", down=True)
    seconds = moved_to(ZONE_B)
    judge.claim(f"moved within 10 s (got {seconds:.1f})", holds=seconds <= 10)
    judge.shares(ask(CLIENT, HOST, requests=REQUESTS), EVEN_B)

    judge.say("\nZone a comes back:")
    for name in ZONE_A:
        set_backend(f"backend-{name}", down=False)
    seconds = moved_to(ZONE_A)
    judge.claim(f"returned within 10 s (got {seconds:.1f})", holds=seconds <= 10)
    judge.shares(ask(CLIENT, HOST, requests=REQUESTS), EVEN_A)
    judge.close()


if __name__ == "__main__":
    main()
