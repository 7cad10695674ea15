"""Mutated requests, a hundred thousand and more: nothing breaks and nothing stays.

Most go through decoding and the protocol without I/O, which is where all decisions are
made; some go over a real connection. A failure names the seed that repeats it.
"""

import asyncio
import gc
import tracemalloc
from collections import deque
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final, Generic, TypeVar

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types
import pytest
from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.protobuf.message import DecodeError

from tests.serve.conversation import resource
from tests.serve.setting import Setting
from tests.serve.wire import World
from tests.wire.client import AnyClient
from tests.wire.conftest import Connect
from tests.wire.mutation import Mutator
from tests.wire.variant import ALL, over
from xds_server.serve.cohort import Cohorts
from xds_server.serve.ending import LaggingError, RequestError
from xds_server.serve.node import node_of
from xds_server.serve.response import KNOWS_TTL, UNWRAPS
from xds_server.serve.session import decode
from xds_server.serve.stream import DELTA, SOTW, Stream, Variant
from xds_server.xds import EXTENSION, PUSH_ORDER, ROUTE, SECRET, VIRTUAL_HOST

CASES: Final = 10_000
SEEDS: Final = (
    0,
    *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(1, 10)),
)
REQUESTS_OVER_WIRE: Final = 1_000
STREAM: Final = 20
LIFE: Final = 100
"""So many requests come on one stream, if it lives that long."""
FEATURES: Final = frozenset({KNOWS_TTL, UNWRAPS})
KEPT: Final = 2 * 1024 * 1024
"""So many bytes may be there after a run that were not before."""

Request = TypeVar("Request", DiscoveryRequest, DeltaDiscoveryRequest)


def populate(world: World) -> None:
    """Publish something of each kind that a request may be about."""
    uri = "xdstp://a/t/web/one?a=1&b=2"
    for type_url in world.tables:
        lasting = replace(resource(type_url, "b"), ttl=timedelta(seconds=60))
        named = replace(resource(type_url, "c"), aliases=("alias",))
        world.publish(resource(type_url, "a"), lasting, named, resource(type_url, uri))
    world.snapshot.declare_ready()


class Fuzzer(Generic[Request]):
    """Streams of one variant that are fed with mutated requests."""

    def __init__(self, variant: Variant[Request], world: World, seed: int) -> None:
        self.mutator = Mutator(seed)
        self.random = self.mutator.random
        self.cohorts = Cohorts()
        self.endings = 0
        self._variant: Variant[Request] = variant
        self._world = world
        self._stream: Stream[Request]
        self._left = 0
        self._nonces: deque[str] = deque(maxlen=4)
        self._open()

    def run(self, cases: int) -> None:
        """Feed *cases* requests; a stream that must end is replaced."""
        for case in range(cases):
            if not self._left:
                self.close()
                self._open()
            self._left -= 1
            try:
                self._feed(case)
            except (RequestError, LaggingError):
                self.endings += 1
                self._left = 0
        self.close()
        del self._stream

    def close(self) -> None:
        """End the stream as the shell does."""
        self._stream.close()

    def _open(self) -> None:
        self._stream = Stream(
            view=self._world.view,
            variant=self._variant,
            cohorts=self.cohorts,
            wake=lambda _: None,
            features=FEATURES if self.random.random() < 0.5 else frozenset(),
        )
        self._left = LIFE
        self._nonces.clear()

    def _feed(self, case: int) -> None:
        make = self.mutator.sotw if self._variant is SOTW else self.mutator.delta
        self._stream.receive(decode(self._variant.request, make(self._nonces)))
        if self.random.random() < 0.1:
            self._change(case)
        if self.random.random() < 0.05:
            self._stream.beat(self._stream.heartbeat_intervals)
        if self.random.random() < 0.02:
            for substream in self._stream.substreams.values():
                substream.exchange.give_up("no answer")
        while (delivery := self._stream.next_response()) is not None:
            self._check(delivery.response.body)
            self._nonces.append(delivery.response.head.nonce)

    def _change(self, case: int) -> None:
        type_url = self.random.choice(tuple(self._world.tables))
        name = self.random.choice("abcd")
        if self.random.random() < 0.3:
            self._world.publish(gone={type_url: (name,)})
        else:
            self._world.publish(resource(type_url, name, case))

    def _check(self, body: bytes) -> None:
        """Whatever was asked, what is said is well formed."""
        if self._variant is SOTW:
            assert DiscoveryResponse.FromString(body).nonce
            return
        response = DeltaDiscoveryResponse.FromString(body)
        names = [each.name for each in response.resources]
        names += response.removed_resources
        assert len(names) == len(set(names)), "rule 29"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("variant", [SOTW, DELTA], ids=["sotw", "delta"])
def test_mutated_requests_break_nothing(variant: Variant[Request], seed: int) -> None:
    """A stream ends with a reason, or goes on; and lets go of everything."""
    world = World(EXTENSION, SECRET, VIRTUAL_HOST)
    populate(world)
    fuzzer = Fuzzer(variant, world, seed)
    try:
        fuzzer.run(CASES)
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise

    assert CASES / 100 < fuzzer.endings < CASES / 2, "else little is tested"
    assert_nothing_stays(world, fuzzer.cohorts)


@pytest.mark.parametrize("variant", [SOTW, DELTA], ids=["sotw", "delta"])
def test_mutated_requests_leave_no_memory(variant: Variant[Request]) -> None:
    """What a first run has grown, a second one does not grow again."""
    world, grown = World(EXTENSION, SECRET, VIRTUAL_HOST), []
    populate(world)
    for seed in range(2):
        tracemalloc.start()
        try:
            fuzzer = Fuzzer(variant, world, seed)
            fuzzer.run(CASES // 5)
            assert_nothing_stays(world, fuzzer.cohorts)
            del fuzzer
            gc.collect()
            grown.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()

    assert grown[1] < KEPT


def assert_nothing_stays(world: World, cohorts: Cohorts) -> None:
    """No stream is followed any more, and no subscription is known.

    What streams in equal state share is remembered until somebody asks after a change.
    """
    assert [each for each in world.tables.values() if each.followers._listeners] == []
    for type_url, table in world.tables.items():
        world.publish(resource(type_url, "last", table.sequence))
        ask_once(world, cohorts, type_url)
    gc.collect()
    assert len(cohorts._subscriptions) == 1


def ask_once(world: World, cohorts: Cohorts, type_url: str) -> None:
    """Be the last stream to ask."""
    stream = Stream(view=world.view, variant=DELTA, cohorts=cohorts, wake=print)
    stream.receive(
        DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=["last"])
    )
    assert stream.next_response()
    stream.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_nodes_are_read_or_refused(seed: int) -> None:
    """Who a client says it is comes with its first request, before all else."""
    mutator, refused = Mutator(seed), 0
    for _ in range(CASES):
        try:
            node_of(NodeMessage.FromString(mutator.node()))
        except (DecodeError, RequestError):
            refused += 1

    assert CASES / 100 < refused < CASES / 2, "else little is tested"


@over(ALL)
@pytest.mark.parametrize("seed", range(3))
async def test_mutated_requests_over_a_connection_harm_nobody(
    connect: Connect, setting: Setting, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Streams are refused or served; one that asks properly is served all the while.

    gRPC logs what a server does not expect; here that is nothing.
    """
    populate(setting.world)
    mutator, good = Mutator(seed), connect()
    await good.subscribe(ROUTE, "d")
    if good.variant.is_delta:
        await good.expect(ROUTE, removed=["d"])
    for version in range(REQUESTS_OVER_WIRE // STREAM):
        await send_mutated(connect(), mutator)
        setting.world.publish(resource(ROUTE, "d", version))
        await good.expect(ROUTE, f"d|{version}")
    while len(setting.server.statuses()) > 1:
        await setting.events.next("disconnect")

    assert len(setting.world.held) == 1
    assert [each for each in caplog.messages if "Unexpected" in each] == []


async def send_mutated(client: AnyClient, mutator: Mutator) -> None:
    """Send requests on one stream until it ends, or all of them; then leave."""
    type_url = mutator.random.choice(PUSH_ORDER)
    await client.subscribe(type_url, "a")
    make = mutator.delta if client.variant.is_delta else mutator.sotw
    call = client.stream(type_url).call
    try:
        for _ in range(STREAM):
            await call.write(make(()))
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return  # the server has ended it; its words are lost to who still writes
    with suppress(grpc.aio.AioRpcError):
        while await call.read():
            pass

    assert await call.code() in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
