"""Move traffic from one version to the next in three steps, and lose no request."""

from functools import partial
from pathlib import Path

from measure import Background, Judge, ask, clear, in_effect, put, wait_for_answers

POLICIES = Path("/demo/policies")
CLIENT, HOST, CLUSTER = "client", "backend.demo", "demo/backend/80"
STEPS = (("90-10", 90, 10), ("50-50", 50, 50), ("0-100", 0, 100))
REQUESTS = 2000


def main() -> None:
    judge = Judge()
    clear()
    wait_for_answers([CLIENT], HOST)
    others = Background([CLIENT], HOST, rate=50)
    for name, old, new in STEPS:
        path = POLICIES / f"{name}.yaml"
        seconds = in_effect([CLIENT], CLUSTER, partial(put, path))
        words = path.read_text().partition("\n")[0].lstrip("# ")
        judge.say(f"\n{name}: {words}  (in effect after {seconds * 1000:.0f} ms)")
        answers = ask(CLIENT, HOST, requests=REQUESTS, concurrency=2)
        judge.shares(answers, {"v1": old, "v2": new})
    judge.say("\nAll the while, others asked 50 times a second:")
    judge.no_failure(others.end())
    clear()
    judge.close()


if __name__ == "__main__":
    main()
