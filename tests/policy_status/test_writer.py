"""The writer in virtual time: what it writes, when, and what it does when it cannot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import looptime
import msgspec

from xds_server.api.document import Revision
from xds_server.api.problem import ObjectKey
from xds_server.policy_status.census import Nodes, Refusal
from xds_server.policy_status.condition import (
    Ancestor,
    AncestorRef,
    Ancestors,
    Condition,
    stamped,
)
from xds_server.policy_status.survey import Description
from xds_server.policy_status.trouble import Troubles
from xds_server.policy_status.writer import StatusWriter
from xds_server.sources.kube_api import JSON, Json, KubeApi, KubeError, Query
from xds_server.sources.kubernetes import collections

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTLE = 0.5
COUNTS = 5.0
REFUSED = 30.0


class FakeApi(KubeApi):
    """Keeps what is written, and fails when it is told to."""

    def __init__(self, stored: Sequence[Json] = ()) -> None:
        super().__init__()
        self.stored = stored
        self.errors: list[KubeError | None] = []
        self.applied: list[tuple[float, str, Json]] = []
        self.created: list[Json] = []
        self.read_errors: list[KubeError] = []
        self.event_errors: list[KubeError] = []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connect to nothing."""
        yield

    async def get(self, path: str, query: Query, *, accept: str = JSON) -> bytes:
        """Return the policies that there are."""
        if self.read_errors:
            raise self.read_errors.pop(0)
        del path, query, accept
        return msgspec.json.encode({"metadata": {}, "items": self.stored})

    async def apply(self, path: str, body: Json, *, manager: str) -> bytes:
        """Keep *body*, or fail as the next error says."""
        assert manager == "xds-server"
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        now = asyncio.get_running_loop().time()
        self.applied.append((now, path, body))
        return b""

    async def create(self, path: str, body: Json) -> bytes:
        """Keep an Event."""
        assert path.endswith("/events")
        if self.event_errors:
            raise self.event_errors.pop(0)
        self.created.append(body)
        return b""

    @property
    def times(self) -> list[float]:
        """When something was written."""
        return [round(time, 2) for time, _, _ in self.applied]

    @property
    def messages(self) -> list[str]:
        """What the last condition said, write by write."""
        found = [msgspec.convert(body, Written) for _, _, body in self.applied]
        return [each.status.ancestors[0].conditions[-1].message for each in found]


class WrittenStatus(msgspec.Struct):
    ancestors: Ancestors


class Written(msgspec.Struct):
    status: WrittenStatus


@dataclass
class World:
    """Some policies, and their writer."""

    api: FakeApi = field(default_factory=FakeApi)
    policies: dict[str, Description] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.troubles = Troubles()
        self.writer = StatusWriter(
            self.api,
            collections(),
            lambda: self,
            troubles=self.troubles,
            clock=lambda: NOW,
        )

    def keys(self) -> list[ObjectKey]:
        """Return all policies."""
        return [each.key for each in self.policies.values()]

    def describe(self, key: ObjectKey) -> Description | None:
        """Return what to say of one."""
        return self.policies.get(key.name)

    def say(
        self, name: str, count: str, *refusals: Refusal, is_accepted: bool = True
    ) -> None:
        """Let this be what is said of a policy."""
        self.policies[name] = described(name, count, *refusals, is_accepted=is_accepted)
        self.writer.hear()


def described(
    name: str, count: str, *refusals: Refusal, is_accepted: bool = True
) -> Description:
    """Return what is said of a policy of one target."""
    accepted = "True" if is_accepted else "False"
    reference = AncestorRef(group="", kind="Service", namespace="shop", name="web")
    conditions = (
        Condition(type="Accepted", status=accepted, reason="Accepted"),
        Condition(
            type="Distributed", status="True", reason="Acknowledged", message=count
        ),
    )
    return Description(
        key=ObjectKey("TrafficPolicy", "shop", name),
        revision=Revision(uid=f"uid-{name}", generation=1),
        ancestors=(Ancestor(ancestor_ref=reference, conditions=conditions),),
        refusals=refusals,
    )


def run(world: World, scene: Callable[[], Coroutine[None, None, None]]) -> None:
    """Let the writer run through *scene*, in virtual time."""

    async def play() -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(world.writer.run())
            await scene()
            task.cancel()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(play())


def test_what_is_the_same_is_written_once() -> None:
    world = World()

    async def scene() -> None:
        world.say("p", "1 of 1")
        await asyncio.sleep(10)
        world.say("p", "1 of 1")
        world.writer.recount()
        await asyncio.sleep(10)

    run(world, scene)

    assert world.api.times == [SETTLE]
    (_, path, body), *_ = world.api.applied
    assert path == (
        "/apis/traffic.xds-server.dev/v1alpha1/namespaces/shop/trafficpolicies/p/status"
    )
    assert body["metadata"] == {"namespace": "shop", "name": "p", "uid": "uid-p"}


def test_counts_alone_wait_and_only_the_newest_is_written() -> None:
    """Anything else does not wait for them."""
    world = World()

    async def scene() -> None:
        world.say("p", "1 of 3")
        await asyncio.sleep(1)
        world.say("p", "2 of 3")
        await asyncio.sleep(1)
        world.say("p", "3 of 3")
        await asyncio.sleep(10)
        world.say("p", "none", is_accepted=False)
        await asyncio.sleep(1)
        world.say("p", "none of 3", is_accepted=True)
        await asyncio.sleep(1)

    run(world, scene)

    assert world.api.messages == ["1 of 3", "3 of 3", "none", "none of 3"]
    first, second, third, fourth = world.api.times
    assert COUNTS <= second - first <= COUNTS + 2 * SETTLE
    assert fourth - third <= 2 * SETTLE


def test_many_writes_keep_to_the_rate() -> None:
    world = World()

    async def scene() -> None:
        for number in range(50):
            world.say(f"p{number}", "1 of 1")
        await asyncio.sleep(20)

    run(world, scene)

    times = world.api.times
    assert len(times) == 50
    assert all(times[n + 10] - times[n] >= 0.99 for n in range(40))
    assert times[-1] < 10


def test_a_failed_write_is_tried_again_with_what_holds_then() -> None:
    world = World()
    world.api.errors = [KubeError("no answer in time")] * 3

    async def scene() -> None:
        world.say("p", "1 of 2")
        await asyncio.sleep(SETTLE + 0.01)
        world.say("p", "2 of 2")
        await asyncio.sleep(30)

    run(world, scene)

    assert world.api.messages == ["2 of 2"]
    assert world.troubles.problems == ()


def test_a_missing_permission_is_a_problem_until_it_is_granted() -> None:
    world = World()
    world.api.errors = [KubeError("is forbidden", 403)]
    during: list[str | None] = []

    async def scene() -> None:
        world.say("p", "1 of 1")
        await asyncio.sleep(1)
        during.extend(each.hint for each in world.troubles.problems)
        await asyncio.sleep(REFUSED + 1)

    run(world, scene)

    assert during == [
        'grant patch on trafficpolicies/status of apiGroup "traffic.xds-server.dev"'
    ]
    assert world.api.messages == ["1 of 1"]
    assert world.troubles.problems == ()


def test_a_read_that_failed_is_no_problem_once_it_went_well() -> None:
    """Although there is nothing to write."""
    world = World()
    world.api.read_errors = [KubeError("connection refused")]

    async def scene() -> None:
        await asyncio.sleep(10)

    run(world, scene)

    assert world.troubles.problems == ()


def test_a_refusal_stands_while_others_are_written_and_goes_with_its_policy() -> None:
    world = World()
    world.api.errors = [KubeError("too long", 422)]
    told: list[int] = []

    async def scene() -> None:
        world.say("a", "1 of 1")
        await asyncio.sleep(1)
        world.say("b", "1 of 1")
        await asyncio.sleep(1)
        told.append(len(world.troubles.problems))
        del world.policies["a"]
        world.writer.hear()
        await asyncio.sleep(1)

    run(world, scene)

    assert world.api.messages == ["1 of 1"]
    assert told == [1]
    assert world.troubles.problems == ()


def test_an_event_that_is_refused_is_told_when_it_may_be() -> None:
    """And the status does not wait for it."""
    world = World()
    world.api.event_errors = [KubeError("is forbidden", 403)]
    refusal = Refusal(nodes=Nodes.of(("one",)), text="no ring", is_answered=True)
    during: list[str | None] = []

    async def scene() -> None:
        world.say("p", "0 of 1", refusal)
        await asyncio.sleep(1)
        during.extend(each.hint for each in world.troubles.problems)
        await asyncio.sleep(REFUSED + 1)

    run(world, scene)

    assert during == ['grant create on events of apiGroup "events.k8s.io"']
    assert world.api.messages == ["0 of 1"]
    assert [each["note"] for each in world.api.created] == ["one rejects no ring"]
    assert world.troubles.problems == ()


def test_a_policy_that_is_gone_keeps_no_other_back() -> None:
    """It was replaced, or deleted: its watch will say so."""
    world = World()
    world.api.errors = [KubeError("not found", 404), KubeError("uid", 409)]

    async def scene() -> None:
        for name in "abc":
            world.say(name, f"1 of 1 {name}")
        await asyncio.sleep(1)
        del world.policies["a"], world.policies["b"]
        await asyncio.sleep(2 * REFUSED)

    run(world, scene)

    assert world.api.messages == ["1 of 1 c"]
    assert world.troubles.problems == ()


def test_a_rejection_is_one_event_however_many_nodes_say_it() -> None:
    world = World()
    text = "cluster shop/web/80: bad ring"

    async def scene() -> None:
        for nodes in (("one",), ("one", "two")):
            refusal = Refusal(nodes=Nodes.of(nodes), text=text, is_answered=True)
            world.say("p", f"{nodes}", refusal)
            await asyncio.sleep(10)
        silent = Refusal(nodes=Nodes.of(("one",)), text="no answer", is_answered=False)
        world.say("p", "silent", silent)
        await asyncio.sleep(10)

    run(world, scene)

    (event,) = world.api.created
    assert event["note"] == f"one rejects {text}"
    assert event["reason"] == "Rejected"


def test_what_stands_there_at_the_start_is_not_written_again() -> None:
    """And keeps its times; nonsense in its place is put right."""
    then = "2025-01-01T00:00:00Z"
    stands = stamped((), described("p", "1 of 1").ancestors, then)

    def stored(name: str, ancestors: object) -> Json:
        return {
            "metadata": {"uid": f"uid-{name}"},
            "status": {"ancestors": ancestors},
        }

    world = World(
        FakeApi([stored("p", msgspec.to_builtins(stands)), stored("q", [{"a": 1}])])
    )

    async def scene() -> None:
        world.say("p", "1 of 1")
        world.say("q", "1 of 1")
        await asyncio.sleep(5)
        world.say("p", "2 of 2")
        await asyncio.sleep(5)

    run(world, scene)

    written = [msgspec.convert(body, Written) for _, _, body in world.api.applied]
    times = [
        {each.last_transition_time for each in one.status.ancestors[0].conditions}
        for one in written
    ]
    assert [path.split("/")[-2] for _, path, _ in world.api.applied] == ["q", "p"]
    assert times == [{"2026-01-02T03:04:05Z"}, {then}]
