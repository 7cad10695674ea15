"""A stream and its client in one place, for tests that read like the protocol."""

from dataclasses import dataclass, field

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.rpc.status_pb2 import Status

from tests.serve.wire import World
from xds_server.serve.cohort import Cohorts
from xds_server.serve.exchange import Verdict
from xds_server.serve.stream import DELTA, SOTW, Stream
from xds_server.snapshot.table import Listener
from xds_server.xds import NOWHERE, SHORT_NAMES, Place, Resource


def resource(type_url: str, name: str, version: int = 1) -> Resource:
    """Return a resource whose body is its name and version."""
    return Resource(type_url=type_url, name=name, body=f"{name}|{version}".encode())


@dataclass(frozen=True, kw_only=True)
class Said:
    """One response, in short: `resources` are bodies as text, sorted."""

    type: str
    resources: list[str]
    removed: list[str] = field(default_factory=list)
    nonce: str = field(compare=False)
    version: str = field(compare=False)


def said(type_url: str, *resources: str, removed: tuple[str, ...] = ()) -> Said:
    """Return what a response is expected to be; nonce and version do not count."""
    return Said(
        type=SHORT_NAMES[type_url],
        resources=list(resources),
        removed=list(removed),
        nonce="",
        version="",
    )


class SotwConversation:
    """A state-of-the-world stream of *world*."""

    def __init__(
        self,
        world: World,
        cohorts: Cohorts | None = None,
        *,
        wake: Listener = lambda _: None,
        features: frozenset[str] = frozenset(),
        place: Place = NOWHERE,
    ) -> None:
        self.stream: Stream[DiscoveryRequest] = Stream(
            view=world.view.at(place),
            variant=SOTW,
            cohorts=cohorts or Cohorts(),
            wake=wake,
            features=features,
        )

    def ask(
        self,
        type_url: str,
        *names: str,
        nonce: str = "",
        error: str | None = None,
        version: str = "",
    ) -> Verdict:
        """Send a request."""
        return self.stream.receive(
            DiscoveryRequest(
                type_url=type_url,
                resource_names=names,
                response_nonce=nonce,
                version_info=version,
                error_detail=None if error is None else Status(message=error),
            )
        )

    def read(self) -> list[Said]:
        """Return all responses that are due, without answering them."""
        responses = []
        while (delivery := self.stream.next_response()) is not None:
            message = DiscoveryResponse.FromString(delivery.response.body)
            responses.append(
                Said(
                    type=SHORT_NAMES[message.type_url],
                    resources=sorted(r.value.decode() for r in message.resources),
                    nonce=message.nonce,
                    version=message.version_info,
                )
            )
        return responses


class DeltaConversation:
    """A delta stream of *world*."""

    def __init__(
        self,
        world: World,
        cohorts: Cohorts | None = None,
        *,
        wake: Listener = lambda _: None,
        features: frozenset[str] = frozenset(),
        place: Place = NOWHERE,
    ) -> None:
        self.stream: Stream[DeltaDiscoveryRequest] = Stream(
            view=world.view.at(place),
            variant=DELTA,
            cohorts=cohorts or Cohorts(),
            wake=wake,
            features=features,
        )

    def ask(
        self,
        type_url: str,
        *subscribe: str,
        unsubscribe: tuple[str, ...] = (),
        versions: dict[str, str] | None = None,
    ) -> Verdict:
        """Send a request that is about subscriptions."""
        return self.stream.receive(
            DeltaDiscoveryRequest(
                type_url=type_url,
                resource_names_subscribe=subscribe,
                resource_names_unsubscribe=unsubscribe,
                initial_resource_versions=versions,
            )
        )

    def answer(self, type_url: str, nonce: str, error: str | None = None) -> Verdict:
        """Send an ACK or a NACK."""
        return self.stream.receive(
            DeltaDiscoveryRequest(
                type_url=type_url,
                response_nonce=nonce,
                error_detail=None if error is None else Status(message=error),
            )
        )

    def read(self) -> list[Said]:
        """Return all responses that are due, without answering them."""
        responses = []
        while (delivery := self.stream.next_response()) is not None:
            message = DeltaDiscoveryResponse.FromString(delivery.response.body)
            responses.append(
                Said(
                    type=SHORT_NAMES[message.type_url],
                    resources=sorted(
                        r.resource.value.decode() for r in message.resources
                    ),
                    removed=sorted(message.removed_resources),
                    nonce=message.nonce,
                    version=message.system_version_info,
                )
            )
        return responses
