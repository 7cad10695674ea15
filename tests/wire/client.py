"""An xDS client over real gRPC that speaks any variant, so that one test is for all.

What a test wants in, requests out; responses in, an `Answer` out. A client subscribes,
accepts and rejects as clients do; `request` sends what no good client would.

That nothing is sent is proved with a barrier, never by waiting: something is asked for
that is always answered, and the answer to that is the next response there is.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
)
from google.rpc.status_pb2 import Status

from tests.serve.conversation import resource
from tests.serve.setting import NODE, Setting
from tests.serve.wire import Wire, open_delta
from tests.wire.variant import Variant
from xds_server.xds import FULL_STATE_TYPES

BARRIER_TYPE: Final = "type.googleapis.com/tests.Barrier"
"""A type of which no rule speaks; it comes after all others in push order."""
WRAPPED: Final = "type.googleapis.com/envoy.service.discovery.v3.Resource"
BARRIER: Final = "barrier-"
"""What the names of resources begin with that are only there to be asked for."""

Request = TypeVar("Request", DiscoveryRequest, DeltaDiscoveryRequest)
Response = TypeVar("Response", DiscoveryResponse, DeltaDiscoveryResponse)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response, in short.

    `resources` are bodies as text, sorted; `barriers` are those that only a barrier
    asked for. `wrapped` are the messages that say more of a resource, by its name: in
    delta all have one, in SotW those with a time to live.
    """

    type_url: str
    resources: tuple[str, ...]
    removed: tuple[str, ...] = ()
    barriers: frozenset[str] = frozenset()
    wrapped: Mapping[str, Resource] = field(default_factory=dict)
    version: str
    nonce: str

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the resources, by name."""
        return {name: each.version for name, each in self.wrapped.items()}


class Client(ABC, Generic[Request, Response]):
    """One client of the server, with a stream for all types or one for each."""

    response: type[Response]

    def __init__(self, setting: Setting, variant: Variant, node: Node = NODE) -> None:
        """Connect *node* to the server; a stream opens when it is first used."""
        self.setting = setting
        self.variant = variant
        self._node = node
        self._wires: dict[str, Wire[Request, Response]] = {}
        self._barriers = 0

    @abstractmethod
    async def subscribe(self, type_url: str, *names: str) -> None:
        """Ask for *names* too; the first time without any, ask for everything."""

    @abstractmethod
    async def unsubscribe(self, type_url: str, *names: str) -> None:
        """Ask for *names* no more."""

    @abstractmethod
    async def receive(self, type_url: str) -> Answer:
        """Return the next response, which must be of *type_url*; do not answer it."""

    @abstractmethod
    async def ack(self, answer: Answer) -> None:
        """Accept a response."""

    @abstractmethod
    async def nack(self, answer: Answer, message: str) -> None:
        """Reject a response."""

    @abstractmethod
    async def _pass_barrier(self, type_url: str) -> None:
        """Receive something that was just asked for, and nothing before it."""

    async def expect(
        self, type_url: str, *resources: str, removed: Iterable[str] = ()
    ) -> Answer:
        """Receive exactly these resources and removals, and accept them."""
        answer = await self.receive(type_url)

        assert (resources, tuple(removed)) == (answer.resources, answer.removed)
        await self.ack(answer)
        return answer

    async def expect_silence(self, *type_urls: str) -> None:
        """Prove that none of *type_urls* has anything to receive.

        On an aggregated stream a resource of another type is asked for. Where a stream
        has one type, another name of that type is; then the last response must have
        been answered, or the barrier would wait for that itself.
        """
        for type_url in type_urls[:1] if self.variant.is_aggregated else type_urls:
            await self._pass_barrier(type_url)

    def stream(self, type_url: str) -> Wire[Request, Response]:
        """Return the stream of *type_url*, opened when it is first used."""
        method = self.variant.method(type_url)
        if method not in self._wires:
            call = self.setting.channel.stream_stream(method)()
            self._wires[method] = Wire(call=call, response=self.response)
        return self._wires[method]

    async def send(self, type_url: str, request: Request) -> None:
        """Send *request* about *type_url*; a stream's first carries the node."""
        if self.variant.method(type_url) not in self._wires:
            request.node.CopyFrom(self._node)
        if self.variant.is_aggregated:
            request.type_url = type_url
        await self.stream(type_url).send(request)

    def leave(self) -> None:
        """Cancel all streams."""
        for wire in self._wires.values():
            wire.call.cancel()

    def _next_barrier(self) -> str:
        self._barriers += 1
        return f"{BARRIER}{self._barriers}"


class SotwClient(Client[DiscoveryRequest, DiscoveryResponse]):
    """A client that lists all it wants in every request."""

    response = DiscoveryResponse

    def __init__(self, setting: Setting, variant: Variant, node: Node = NODE) -> None:
        super().__init__(setting, variant, node)
        self._names: dict[str, set[str]] = defaultdict(set)
        self._nonces: dict[str, str] = defaultdict(str)
        self._versions: dict[str, str] = defaultdict(str)
        self._legacy: set[str] = set()  # never named, so it gets everything

    async def request(
        self,
        type_url: str,
        *names: str,
        nonce: str = "",
        version: str = "",
        error: str | None = None,
    ) -> None:
        """Send exactly this."""
        request = DiscoveryRequest(
            resource_names=names,
            response_nonce=nonce,
            version_info=version,
            error_detail=None if error is None else Status(message=error),
        )
        await self.send(type_url, request)

    async def subscribe(self, type_url: str, *names: str) -> None:
        if names:
            self._legacy.discard(type_url)
        elif not self._names[type_url] and type_url in FULL_STATE_TYPES:
            self._legacy.add(type_url)
        self._names[type_url].update(names)
        await self._repeat(type_url)

    async def unsubscribe(self, type_url: str, *names: str) -> None:
        self._names[type_url].difference_update(names)
        await self._repeat(type_url)

    async def receive(self, type_url: str) -> Answer:
        response = await self.stream(type_url).receive()
        wrapped = [
            Resource.FromString(each.value)
            for each in response.resources
            if each.type_url == WRAPPED
        ]
        bare = [each for each in response.resources if each.type_url != WRAPPED]
        bare += [each.resource for each in wrapped if each.HasField("resource")]
        bodies = sorted(each.value.decode() for each in bare)

        assert response.type_url == type_url
        assert {each.type_url for each in bare} <= {type_url}, "rule 33"
        assert len(bodies) == len(set(bodies)), "rule 29"
        return Answer(
            type_url=type_url,
            resources=tuple(b for b in bodies if not b.startswith(BARRIER)),
            barriers=frozenset(b for b in bodies if b.startswith(BARRIER)),
            wrapped={each.name: each for each in wrapped},
            version=response.version_info,
            nonce=response.nonce,
        )

    async def ack(self, answer: Answer) -> None:
        self._nonces[answer.type_url] = answer.nonce
        self._versions[answer.type_url] = answer.version
        await self._repeat(answer.type_url)

    async def nack(self, answer: Answer, message: str) -> None:
        self._nonces[answer.type_url] = answer.nonce
        await self._repeat(answer.type_url, error=message)

    async def _repeat(self, type_url: str, error: str | None = None) -> None:
        await self.request(
            type_url,
            *sorted(self._names[type_url]),
            nonce=self._nonces[type_url],
            version=self._versions[type_url],
            error=error,
        )

    async def _pass_barrier(self, type_url: str) -> None:
        if self.variant.is_aggregated:
            name = self._next_barrier()
            self.setting.world.publish(resource(BARRIER_TYPE, name))
            self._names[BARRIER_TYPE] = {name}
            await self._repeat(BARRIER_TYPE)
            answer = await self.receive(BARRIER_TYPE)

            assert answer.barriers == {f"{name}|1"}
            assert not answer.resources
            await self.ack(answer)
            return
        # A full state would hide what else was due, so that must be sent by now.
        await round_trip(self.setting)
        name = self._next_barrier()
        self.setting.world.publish(resource(type_url, name))
        if type_url not in self._legacy and "*" not in self._names[type_url]:
            await self.subscribe(type_url, name)
        answer = await self.receive(type_url)

        assert f"{name}|1" in answer.barriers
        assert type_url in FULL_STATE_TYPES or not answer.resources
        self._names[type_url].discard(name)
        await self.ack(answer)


class DeltaClient(Client[DeltaDiscoveryRequest, DeltaDiscoveryResponse]):
    """A client that says what it wants more and what it wants no more."""

    response = DeltaDiscoveryResponse

    async def request(
        self,
        type_url: str,
        *names: str,
        unsubscribe: Iterable[str] = (),
        nonce: str = "",
        error: str | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Send exactly this."""
        request = DeltaDiscoveryRequest(
            resource_names_subscribe=names,
            resource_names_unsubscribe=unsubscribe,
            response_nonce=nonce,
            error_detail=None if error is None else Status(message=error),
            initial_resource_versions=versions,
        )
        await self.send(type_url, request)

    async def subscribe(self, type_url: str, *names: str) -> None:
        await self.request(type_url, *names)

    async def unsubscribe(self, type_url: str, *names: str) -> None:
        await self.request(type_url, unsubscribe=names)

    async def receive(self, type_url: str) -> Answer:
        response = await self.stream(type_url).receive()
        bare = [e.resource for e in response.resources if e.HasField("resource")]
        told = [e.name for e in response.resources] + [*response.removed_resources]
        removed = sorted(response.removed_resources)

        assert response.type_url == type_url
        assert {each.type_url for each in bare} <= {type_url}, "rule 33"
        assert len(told) == len(set(told)), "rule 29"
        return Answer(
            type_url=type_url,
            resources=tuple(sorted(each.value.decode() for each in bare)),
            removed=tuple(n for n in removed if not n.startswith(BARRIER)),
            barriers=frozenset(n for n in removed if n.startswith(BARRIER)),
            wrapped={each.name: each for each in response.resources},
            version=response.system_version_info,
            nonce=response.nonce,
        )

    async def ack(self, answer: Answer) -> None:
        await self.request(answer.type_url, nonce=answer.nonce)

    async def nack(self, answer: Answer, message: str) -> None:
        await self.request(answer.type_url, nonce=answer.nonce, error=message)

    async def _pass_barrier(self, type_url: str) -> None:
        asked = BARRIER_TYPE if self.variant.is_aggregated else type_url
        name = self._next_barrier()
        await self.subscribe(asked, name)
        answer = await self.receive(asked)

        assert (answer.resources, answer.removed) == ((), ())
        assert answer.barriers == {name}
        await self.ack(answer)


AnyClient = SotwClient | DeltaClient


def connect_to(setting: Setting, variant: Variant, node: Node = NODE) -> AnyClient:
    """Return a client of the server in *setting* that speaks *variant*."""
    kind = DeltaClient if variant.is_delta else SotwClient
    return kind(setting, variant, node)


async def round_trip(setting: Setting) -> None:
    """Return when the server has answered a stream that was opened just now."""
    wire = open_delta(setting.channel)
    await wire.send(
        DeltaDiscoveryRequest(
            node=NODE, type_url=BARRIER_TYPE, resource_names_subscribe=["x"]
        )
    )
    await wire.receive()
    wire.call.cancel()
