"""Take a server away and bring it back: who has to move?"""

from collections.abc import Sequence

from measure import (
    ALPHA,
    Answers,
    Judge,
    ask,
    chance,
    clear,
    in_effect,
    wait_for_answers,
    write,
)

GATEWAY = "gateway"
CLIENTS = ("client-1", "client-2", "client-3")
BY_ADDRESS, BY_COOKIE = "by-address.demo", "by-cookie.demo"
BACKENDS = [f"backend-{number}" for number in range(1, 6)]
SESSIONS = 600

SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: demo
  name: {service}
  labels: {{kubernetes.io/service-name: {service}}}
addressType: FQDN
ports: [{{name: http, port: 8080}}]
endpoints:
"""

judge = Judge()


def without(gone: str, service: str) -> None:
    """Take a server away, as a scheduler would; wait until the gateway knows."""
    text = SLICE.format(service=service)
    text += "".join(f"  - addresses: [{name}]\n" for name in BACKENDS if name != gone)
    name = f"{service}.yaml"
    in_effect([GATEWAY], f"demo/{service}/80", lambda: write(text, name))


def with_all(service: str) -> None:
    """Bring it back: what is in mesh/ is in force again."""
    in_effect([GATEWAY], f"demo/{service}/80", clear)


def homes() -> Sequence[str]:
    """Return which server each client has, and claim that it has one."""
    found: list[str] = []
    for client in CLIENTS:
        answers = ask(client, BY_ADDRESS, requests=300)
        judge.no_failure(answers)
        (home, _), *others = answers.count.most_common()
        judge.claim(f"{client} has one server: {home}", holds=not others)
        found.append(home)
    return found


def by_address() -> None:
    judge.say("\nBy the client's address, three clients:")
    before = homes()
    gone = before[0]
    judge.say(f"\n  {gone} goes away:")
    without(gone, "by-address")
    during = homes()
    judge.claim(f"nobody asks {gone} any more", holds=gone not in during)
    judge.say(f"\n  {gone} comes back:")
    with_all("by-address")
    judge.claim("all are where they were", holds=homes() == before)


def sessions(client: str, cookies: Sequence[str]) -> Answers:
    """Ask once with each of the cookies."""
    each = [{"Cookie": cookie} for cookie in cookies]
    return ask(client, BY_COOKIE, requests=len(cookies), each=each, concurrency=2)


def by_cookie() -> None:
    judge.say(f"\nBy a cookie, {SESSIONS} sessions:")
    first = ask("client-1", BY_COOKIE, requests=SESSIONS, concurrency=2, fresh=True)
    judge.no_failure(first)
    given = [(answer["cookie"] or "").partition(";")[0] for answer in first.all]
    judge.claim("each new one is given a cookie", holds=all(given))
    judge.claim("each has one of its own", holds=len(set(given)) == SESSIONS)
    stays = sessions("client-1", given).who == first.who
    judge.claim("with its cookie each reaches the same server", holds=stays)
    roams = sessions("client-2", given).who == first.who
    judge.claim("from another address, too", holds=roams)

    gone = "backend-3"
    judge.say(f"\n  {gone} goes away:")
    without(gone, "by-cookie")
    away = sessions("client-1", given)
    judge.no_failure(away)
    pairs = list(zip(first.who, away.who, strict=True))
    left = sum(old == gone for old, _ in pairs)
    strays = sum(old not in (gone, new) for old, new in pairs)
    judge.claim(
        f"{left} of {SESSIONS} had to move; a fifth is to be expected",
        holds=chance(left, SESSIONS, 1 / 5) >= ALPHA,
    )
    judge.claim(
        f"{strays} of the others moved with them, limit 5 %",
        holds=strays <= SESSIONS / 20,
    )
    judge.say(f"\n  {gone} comes back:")
    with_all("by-cookie")
    again = sessions("client-1", given)
    judge.claim("all are where they were", holds=again.who == first.who)


def main() -> None:
    clear()
    wait_for_answers(CLIENTS, BY_ADDRESS, [GATEWAY])
    wait_for_answers(CLIENTS, BY_COOKIE, [GATEWAY])
    by_address()
    by_cookie()
    judge.close()


if __name__ == "__main__":
    main()
