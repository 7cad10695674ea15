"""Real Envoys keep sessions: of endpoints that come, that drain, and that are gone.

A session is what a client was told with its first answer. New clients take turns, so a
round says exactly which endpoints they get.
"""

import asyncio
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.integration.envoy.resilience import Answer, World, run_world
from tests.integration.envoy.world import Client, Json, run_client, until

pytestmark = pytest.mark.envoy

COOKIE: Json = {"type": "Cookie", "cookie": {"name": "sid"}}
HEADER: Json = {"type": "Header", "header": {"name": "X-Session"}}
BOTH = pytest.mark.parametrize("session", [COOKIE, HEADER], ids=["cookie", "header"])
ROUND = 12
GONE = "no healthy upstream"


@dataclass(kw_only=True)
class Visitor:
    """A client that keeps what it was told, and says it with its next request."""

    world: World
    sidecar: Client | None = None
    kept: dict[str, str] = field(default_factory=dict)

    async def ask(self, path: str = "/") -> Answer:
        """Return what is answered to one request."""
        answer = await self.world.ask(path, self.kept, self.sidecar)
        if "set-cookie" in answer.headers:
            self.kept["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        if "x-session" in answer.headers:
            self.kept["x-session"] = answer.headers["x-session"]
        return answer

    async def who(self) -> str:
        """Return who answers, which is one endpoint alone."""
        (name,) = {(await self.ask()).body for _ in range(6)}
        return name


async def visitors(world: World, number: int = ROUND) -> dict[str, list[Visitor]]:
    """Return so many new clients, by the endpoint that answered each."""
    found: dict[str, list[Visitor]] = {each.name: [] for each in world.endpoints}
    for _ in range(number):
        visitor = Visitor(world=world)
        found[(await visitor.ask()).body].append(visitor)
    return found


async def until_new_ones_get(world: World, *numbers: int) -> None:
    """Return when clients without a session take turns among these endpoints."""
    names = {world.endpoints[number].name for number in numbers}

    async def holds() -> bool:
        return {(await world.ask()).body for _ in range(ROUND)} == names

    await until(holds)


@BOTH
async def test_a_client_stays_where_it_was_first(tmp_path: Path, session: Json) -> None:
    """And another endpoint takes none away, and gets its part of new clients."""
    async with run_world(tmp_path, {"session": session}) as world:
        world.write({"session": session}, present=[0, 1])
        await until_new_ones_get(world, 0, 1)
        before = await visitors(world)
        world.write({"session": session})
        await until_new_ones_get(world, 0, 1, 2)
        after = await visitors(world)

        assert [len(each) for each in before.values()] == [6, 6, 0]
        assert [len(each) for each in after.values()] == [4, 4, 4]
        for name, kept in before.items():
            assert [await each.who() for each in kept] == [name] * len(kept)


async def test_any_algorithm_picks_the_first(tmp_path: Path) -> None:
    sections: Json = {
        "session": COOKIE,
        "loadBalancer": {"type": "Maglev", "hashOn": [{"header": {"name": "x-user"}}]},
    }
    async with run_world(tmp_path, sections) as world:
        for user in range(12):
            visitor = Visitor(world=world, kept={"x-user": str(user)})
            picked = (await visitor.ask()).body
            visitor.kept["x-user"] = "another"

            assert await visitor.who() == picked


async def test_a_session_is_told_once_and_says_which_endpoint_it_is(
    tmp_path: Path,
) -> None:
    """In the clear: a client can read it, and write it."""
    async with run_world(tmp_path, {"session": HEADER}) as world:
        visitor = Visitor(world=world)
        first, second = await visitor.ask(), await visitor.ask()
        told = b64decode(first.headers["x-session"]).decode()

        assert told == first.body == second.body
        assert "x-session" not in second.headers


async def test_what_a_cookie_is(tmp_path: Path) -> None:
    """With a path, other requests have no session."""
    cookie: Json = {
        "name": "sid",
        "ttl": "90s",
        "path": "/shop",
        "sameSite": "Strict",
        "secure": True,
    }
    session: Json = {"type": "Cookie", "cookie": cookie}
    async with run_world(tmp_path, {"session": session}) as world:
        answer = await world.ask("/shop/cart")
        value, *attributes = answer.headers["set-cookie"].split("; ")
        elsewhere = [await world.ask(path) for path in ("/", "/shopping")]

    assert value.startswith("sid=")
    assert sorted(attributes) == sorted(
        ["Max-Age=90", "Path=/shop", "SameSite=Strict", "Secure", "HttpOnly"]
    )
    assert all("set-cookie" not in each.headers for each in elsewhere)


@BOTH
async def test_sessions_stay_with_an_endpoint_that_drains(
    tmp_path: Path, session: Json
) -> None:
    """With keepDraining, and nobody else goes there; until it is gone."""
    sections: Json = {"session": {**session, "keepDraining": True}}
    async with run_world(tmp_path, sections) as world:
        first = world.endpoints[0].name
        kept = (await visitors(world))[first]
        world.write(sections, ending=[0])
        await until_new_ones_get(world, 1, 2)

        assert [await each.who() for each in kept] == [first] * 4
        assert len((await visitors(world))[first]) == 0

        world.write(sections, present=[1, 2])
        visitor = kept[0]

        async def has_moved() -> bool:
            return (await visitor.ask()).body != first

        await until(has_moved)


@BOTH
async def test_sessions_leave_an_endpoint_that_drains(
    tmp_path: Path, session: Json
) -> None:
    """Without it, and have another from then on."""
    async with run_world(tmp_path, {"session": session}) as world:
        first = world.endpoints[0].name
        kept = (await visitors(world))[first]
        world.write({"session": session}, ending=[0])
        await until_new_ones_get(world, 1, 2)
        moved = [await each.who() for each in kept]

        assert len(moved) == 4
        assert first not in moved


@BOTH
@pytest.mark.parametrize("ending", [(), (0,)], ids=["gone", "draining"])
async def test_a_strict_session_is_not_moved(
    tmp_path: Path, session: Json, ending: Sequence[int]
) -> None:
    """503 for those whose endpoint is gone, or drains; the others are well."""
    sections: Json = {"session": {**session, "strict": True}}
    async with run_world(tmp_path, sections) as world:
        first, second, _ = [each.name for each in world.endpoints]
        clients = await visitors(world)
        world.write(sections, present=None if ending else [1, 2], ending=ending)
        await until_new_ones_get(world, 1, 2)
        lost = [await each.ask() for each in clients[first]]

        assert lost == [Answer(503, GONE)] * 4
        assert [await each.who() for each in clients[second]] == [second] * 4


async def test_what_is_in_flight_at_an_endpoint_that_drains_is_answered(
    tmp_path: Path,
) -> None:
    """And nothing new goes there meanwhile, of those that have no session."""
    sections: Json = {"session": {**COOKIE, "keepDraining": True}}
    async with run_world(tmp_path, sections) as world:
        draining = world.endpoints[0]
        draining.gate.clear()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(world.ask()) for _ in range(ROUND)]

            async def are_waiting() -> bool:
                return sum(task.done() for task in asked) == 8 and draining.arrived == 4

            await until(are_waiting)
            world.write(sections, ending=[0])
            await until(partial(world.is_draining, draining))
            arrived = draining.arrived
            new = [(await world.ask()).body for _ in range(60)]
            assert draining.arrived == arrived
            draining.gate.set()
        answers = [task.result() for task in asked]

    assert Counter(new) == {each.name: 30 for each in world.endpoints[1:]}
    assert {each.status for each in answers} == {200}
    assert sum(each.body == draining.name for each in answers) == 4


async def test_a_retry_takes_the_session_with_it(tmp_path: Path) -> None:
    sections: Json = {"session": COOKIE, "retry": {"retryOn": ["5xx"]}}
    async with run_world(tmp_path, sections) as world:
        failing = world.endpoints[0]
        (visitor, *_) = (await visitors(world))[failing.name]
        failing.statuses = [503]
        answer = await visitor.ask()
        failing.statuses = [200]

        assert answer.status == 200
        assert await visitor.who() == answer.body != failing.name


async def test_a_session_goes_before_what_a_caller_names(tmp_path: Path) -> None:
    """And one begins where a caller names an endpoint."""
    sections: Json = {
        "session": COOKIE,
        "overrideHost": {"header": {"name": "x-endpoint"}},
    }
    async with run_world(tmp_path, sections) as world:
        first, second, _ = [each.name for each in world.endpoints]
        visitor = Visitor(world=world, kept={"x-endpoint": first})

        assert await visitor.who() == first
        del visitor.kept["x-endpoint"]
        assert await visitor.who() == first
        visitor.kept["x-endpoint"] = second
        assert await visitor.who() == first


def for_batch(session: Json) -> Json:
    """Return sections that are for batch jobs alone."""
    selector: Json = {"matchLabels": {"tier": "batch"}}
    return {"clientSelector": selector, "session": session}


@asynccontextmanager
async def run_batch(home: Path, world: World) -> AsyncIterator[Client]:
    """Run another sidecar, of a batch job."""
    async with run_client(home, world.server.xds, "sotw", label="tier=batch") as batch:

        async def is_routed() -> bool:
            return (await world.ask(client=batch)).status == 200

        await until(is_routed)
        yield batch


async def test_sessions_are_for_the_clients_that_a_policy_selects(
    tmp_path: Path,
) -> None:
    """Two sidecars ask for one Service; the policy changes, and goes away."""
    async with (
        run_world(tmp_path, for_batch(COOKIE)) as world,
        run_batch(tmp_path, world) as batch,
    ):
        for _ in range(ROUND):
            visitor = Visitor(world=world, sidecar=batch)
            picked = (await visitor.ask()).body
            assert await visitor.who() == picked
        others = [await world.ask() for _ in range(ROUND)]

        assert all("set-cookie" not in each.headers for each in others)
        assert Counter(each.body for each in others) == {
            each.name: 4 for each in world.endpoints
        }

        world.write(for_batch(HEADER))

        async def is_header() -> bool:
            return "x-session" in (await world.ask(client=batch)).headers

        await until(is_header)
        assert "x-session" not in (await world.ask()).headers

        world.write({"panicThreshold": 50})

        async def has_none() -> bool:
            return "x-session" not in (await world.ask(client=batch)).headers

        await until(has_none)
