"""A client and a server stream with a slow network between, for property tests."""

from abc import ABC, abstractmethod
from collections import deque
from typing import Final

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.rpc.status_pb2 import Status

from tests.serve.model import FULL, Auditor, ClientType, Content, Interest
from xds_server.serve.cohort import Cohorts
from xds_server.serve.stream import DELTA, SOTW, Stream
from xds_server.snapshot.table import Publication
from xds_server.snapshot.view import View

ROUNDS: Final = 100
"""More round trips than this to agree on anything is a loop."""


class Peer(ABC):
    """One client and its stream; messages stay in flight until they are let in."""

    auditor: Auditor
    clients: dict[str, ClientType]
    requests: deque[bytes]
    responses: deque[bytes]
    is_awake = True

    def __init__(
        self,
        view: View,
        cohorts: Cohorts,
        content: dict[str, Content],
        replaced: dict[str, dict[str, bytes | None]],
        history: dict[str, bytes],
    ) -> None:
        self.view = view
        self.cohorts = cohorts
        self.content = content
        self.replaced = replaced
        self.history = history
        self.clients = {
            type_url: ClientType(interest=Interest(type_url=type_url))
            for type_url in content
        }
        self.connect()

    def wake(self, _: Publication | None = None) -> None:
        """Hear that there may be something to send; nothing is sent before."""
        self.is_awake = True

    @abstractmethod
    def connect(self) -> None:
        """Open a stream, with nothing in flight."""

    @abstractmethod
    def reconnect(self, *, tells_versions: bool) -> None:
        """Open a new stream and ask again for what is wanted."""

    @abstractmethod
    def server_reads(self) -> None:
        """Let the oldest request arrive."""

    @abstractmethod
    def server_writes(self) -> bool:
        """Let the server send a response if one is due."""

    @abstractmethod
    def client_reads(self, *, rejects: bool) -> None:
        """Let the oldest response arrive, and be answered."""

    @abstractmethod
    def server_gives_up(self, type_url: str) -> None:
        """Let the server stop waiting for an answer."""

    def settle(self, *, can_say_missing: bool) -> None:
        """Let everything arrive and be accepted; then both sides must agree."""
        for _ in range(ROUNDS):
            while self.requests:
                self.server_reads()
            while self.server_writes():
                pass
            if not self.responses:
                break
            while self.responses:
                self.client_reads(rejects=False)
        else:
            message = "no end of responses"
            raise AssertionError(message)
        self.auditor.check_settled(can_say_missing=can_say_missing)
        for type_url, client in self.clients.items():
            self._check_agreement(type_url, client, can_say_missing=can_say_missing)

    def _check_agreement(
        self, type_url: str, client: ClientType, *, can_say_missing: bool
    ) -> None:
        expected = {
            name: body
            for name, body in self.content[type_url].items()
            if client.interest.wants(name)
        }
        held = client.held
        if not can_say_missing and type_url not in FULL:
            held = {name: body for name, body in held.items() if name in expected}
        bad = self.auditor.accounts[type_url].bad

        assert {n: b for n, b in held.items() if n not in bad} == {
            n: b for n, b in expected.items() if n not in bad
        }


class SotwPeer(Peer):
    """A state-of-the-world client."""

    def connect(self) -> None:
        self.stream: Stream[DiscoveryRequest] = Stream(
            view=self.view, variant=SOTW, cohorts=self.cohorts, wake=self.wake
        )
        self.wake()
        self.auditor = Auditor(self.content, self.replaced, self.history)
        self.requests = deque()
        self.responses = deque()

    def reconnect(self, *, tells_versions: bool) -> None:
        self.stream.close()
        self.connect()
        for type_url, client in self.clients.items():
            old, client.interest = client.interest, Interest(type_url=type_url)
            client.nonce = ""
            names = old.names | ({"*"} if old.wildcard and old.has_named else set())
            if names or old.wildcard:
                self.ask(type_url, names, version="1" if tells_versions else "")
            client.drop_unwanted()

    def ask(
        self, type_url: str, names: set[str], version: str = "", error: str = ""
    ) -> None:
        """Send a request for *names*, with the newest nonce that was seen."""
        client = self.clients[type_url]
        client.interest.set_all(names)
        client.drop_unwanted()
        self.requests.append(
            DiscoveryRequest(
                type_url=type_url,
                resource_names=sorted(names),
                response_nonce=client.nonce,
                version_info=version,
                error_detail=Status(message=error) if error else None,
            ).SerializeToString()
        )

    def server_reads(self) -> None:
        request = DiscoveryRequest.FromString(self.requests.popleft())
        self.auditor.hear_sotw(request)
        self.stream.receive(request)
        self.wake()

    def server_writes(self) -> bool:
        delivery = self.stream.next_response() if self.is_awake else None
        if delivery is None:
            self.is_awake = False
            return False
        body = delivery.response.body
        self.auditor.see_sotw(DiscoveryResponse.FromString(body))
        self.responses.append(body)
        return True

    def client_reads(self, *, rejects: bool) -> None:
        response = DiscoveryResponse.FromString(self.responses.popleft())
        client = self.clients[response.type_url]
        client.take_sotw(response, rejects=rejects)
        interest = client.interest
        wildcard = {"*"} if interest.wildcard and interest.has_named else set()
        self.ask(
            response.type_url,
            interest.names | wildcard,
            version=response.version_info,
            error="no" if rejects else "",
        )

    def server_gives_up(self, type_url: str) -> None:
        if type_url in self.stream.substreams:
            self.stream.substreams[type_url].exchange.give_up("no answer")
            self.wake()
            self.auditor.accounts[type_url].is_waiting = False


class DeltaPeer(Peer):
    """A delta client."""

    def connect(self) -> None:
        self.stream: Stream[DeltaDiscoveryRequest] = Stream(
            view=self.view, variant=DELTA, cohorts=self.cohorts, wake=self.wake
        )
        self.wake()
        self.auditor = Auditor(self.content, self.replaced, self.history)
        self.requests = deque()
        self.responses = deque()

    def reconnect(self, *, tells_versions: bool) -> None:
        self.stream.close()
        self.connect()
        for type_url, client in self.clients.items():
            old, client.interest = client.interest, Interest(type_url=type_url)
            client.nonce = ""
            if not tells_versions:
                client.held = {}
            is_legacy = type_url in FULL and not old.names
            names = old.names | ({"*"} if old.wildcard and not is_legacy else set())
            if names or old.wildcard:
                versions = {name: client.versions[name] for name in client.held}
                self.ask(type_url, names, set(), versions)
            client.drop_unwanted()

    def ask(
        self,
        type_url: str,
        subscribe: set[str],
        unsubscribe: set[str],
        versions: dict[str, str] | None = None,
    ) -> None:
        """Send a request that changes what is wanted."""
        client = self.clients[type_url]
        client.interest.add(subscribe, unsubscribe)
        client.held = {n: c for n, c in client.held.items() if n not in unsubscribe}
        client.drop_unwanted()
        self.requests.append(
            DeltaDiscoveryRequest(
                type_url=type_url,
                resource_names_subscribe=sorted(subscribe),
                resource_names_unsubscribe=sorted(unsubscribe),
                initial_resource_versions=versions,
            ).SerializeToString()
        )

    def server_reads(self) -> None:
        request = DeltaDiscoveryRequest.FromString(self.requests.popleft())
        self.auditor.hear_delta(request)
        self.stream.receive(request)
        self.wake()

    def server_writes(self) -> bool:
        delivery = self.stream.next_response() if self.is_awake else None
        if delivery is None:
            self.is_awake = False
            return False
        body = delivery.response.body
        self.auditor.see_delta(DeltaDiscoveryResponse.FromString(body))
        self.responses.append(body)
        return True

    def client_reads(self, *, rejects: bool) -> None:
        response = DeltaDiscoveryResponse.FromString(self.responses.popleft())
        self.clients[response.type_url].take_delta(response, rejects=rejects)
        self.requests.append(
            DeltaDiscoveryRequest(
                type_url=response.type_url,
                response_nonce=response.nonce,
                error_detail=Status(message="no") if rejects else None,
            ).SerializeToString()
        )

    def server_gives_up(self, type_url: str) -> None:
        if type_url in self.stream.substreams:
            self.stream.substreams[type_url].exchange.give_up("no answer")
            self.wake()
            self.auditor.accounts[type_url].is_waiting = False
