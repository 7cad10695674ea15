"""Documents from a Kubernetes API server: all there are, and then what changes.

In: what the reflectors of each collection hear. Out: batches of events. Each object is
an origin of its own, so a bad one keeps its last good version in force and is in
nobody's way; so is each collection, for what is wrong with hearing it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeGuard

import msgspec
import structlog

from xds_server.api.decode import decode_object
from xds_server.api.document import Decoded
from xds_server.api.kind import KINDS
from xds_server.api.manifest import TypeMeta
from xds_server.api.problem import ObjectKey, Place, Problem, Severity
from xds_server.mesh.event import Event, Listed, Reported
from xds_server.sources.document_set import DocumentSet, Rank
from xds_server.sources.kube_api import KubeApi, KubeConfigError, KubeError
from xds_server.sources.reflector import (
    Changed,
    Collection,
    News,
    Patience,
    Reflector,
    Replaced,
    Troubled,
)

NAME: Final = "kubernetes"

_POLICY: Final = "TrafficPolicy"
_PLURALS: Final = {
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "Pod": "pods",
    "Node": "nodes",
    _POLICY: "trafficpolicies",
}
_OPTIONAL: Final = {
    "Pod": "endpoints have no weights from their Pods",
    "Node": "endpoints have no region, and no zone but that of their EndpointSlice",
}
"""What may not be allowed to be read, and what it is like without."""
_SELECTED: Final = ("Service", "EndpointSlice")
"""Slices carry the labels of their Service."""
_LIVING: Final = "status.phase!=Succeeded,status.phase!=Failed"

_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 400, 401, 403, 404
_NOBODY: Final = "system:anonymous"


def collections(
    namespaces: Sequence[str] = (), selector: str = ""
) -> Iterator[Collection]:
    """Yield what there is to mirror: of all namespaces unless some are named.

    *selector* picks Services by their labels, and with them their slices. Nodes are in
    no namespace.
    """
    for kind, plural in _PLURALS.items():
        api_version = KINDS[kind].api_version
        query = {}
        if selector and kind in _SELECTED:
            query["labelSelector"] = selector
        if kind == "Pod":
            query["fieldSelector"] = _LIVING
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        places = [f"namespaces/{each}/" for each in dict.fromkeys(namespaces)]
        for place in [""] if kind == "Node" else places or [""]:
            yield Collection(
                kind=kind,
                api_version=api_version,
                path=f"{root}/{place}{plural}",
                query=query,
                is_metadata=kind == "Node",
            )


logger = structlog.get_logger(__name__)


class KubernetesSource:
    """The documents of one API server, as long as it is asked for batches.

    It has listed when every collection has, so that nobody is served half of a mesh
    after a restart. Until then it tells what is wrong, and keeps the objects to itself:
    half of a mesh means something else. Pods and Nodes that must not be read are done
    without, and so are policies where the API server does not know any.
    """

    name: Final = NAME

    def __init__(
        self,
        api: KubeApi,
        mirrored: Iterable[Collection],
        documents: DocumentSet | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """Mirror some collections.

        *documents* is shared with other sources, so that one speaks for each object.
        """
        self._api = api
        self._patience = patience
        self._documents = documents or DocumentSet()
        self._mirrors = [_Mirror(each) for each in mirrored]
        self._has_listed = False
        self._unreached: dict[_Mirror, KubeError | KubeConfigError] = {}
        self._withheld: list[Event] = []

    async def batches(self) -> AsyncIterator[tuple[Event, ...]]:
        """Yield what is heard: with `Listed` once all was listed; never ends.

        Raises:
            KubeConfigError: the configuration cannot be read.
        """
        heard: asyncio.Queue[tuple[_Mirror, News]] = asyncio.Queue()
        async with self._api.connected(), asyncio.TaskGroup() as tasks:
            logger.info("asking", server=self._api.server, account=self._api.account)
            for mirror in self._mirrors:
                tasks.create_task(
                    self._mirror(mirror, heard), name=f"mirror {mirror.plural}"
                )
            while True:
                batch = [await heard.get()]
                while not heard.empty():
                    batch.append(heard.get_nowait())
                if events := await self._digest(batch):
                    yield events

    async def _mirror(
        self, mirror: "_Mirror", heard: asyncio.Queue[tuple["_Mirror", News]]
    ) -> None:
        def tell(news: News) -> None:
            heard.put_nowait((mirror, news))

        await Reflector(self._api, mirror.collection, tell, self._patience).run()

    async def _digest(
        self, batch: Sequence[tuple["_Mirror", News]]
    ) -> tuple[Event, ...]:
        changes: dict[str, Decoded | None] = {}
        for mirror, news in batch:
            if isinstance(news, Troubled) and _is_unreached(news.error):
                self._unreached[mirror] = news.error
                continue
            self._unreached.pop(mirror, None)
            if isinstance(news, Replaced):  # seconds of work, where the mesh is large
                changes |= await asyncio.to_thread(mirror.take, news)
            else:
                changes |= mirror.take(news)
        changes[NAME] = self._unreachable()
        events = self._documents.update(changes, Rank.KUBERNETES)
        if self._has_listed:
            return events
        if all(each.is_heard for each in self._mirrors):
            self._has_listed = True
            withheld, self._withheld = self._withheld, []
            return (*withheld, *events, Listed(source=NAME))
        self._withheld += (e for e in events if not isinstance(e, Reported))
        return tuple(e for e in events if isinstance(e, Reported))

    def _unreachable(self) -> Decoded | None:
        """Say that the server cannot be reached, once for all collections."""
        if not self._unreached:
            return None
        error = next(iter(self._unreached.values()))
        message = str(error)
        if isinstance(error, KubeError):
            message = f"cannot reach the API server {self._api.server}: {message}"
        hint = "nothing is served until it answers"
        if self._has_listed:
            hint = "what was heard last stays in force"
        problem = Problem(place=Place(NAME), message=message, hint=hint)
        return Decoded(problems=(problem,))


def _is_unreached(
    error: KubeError | KubeConfigError | None,
) -> TypeGuard[KubeError | KubeConfigError]:
    """Whether there was no answer, or nobody to ask."""
    return error is not None and not (isinstance(error, KubeError) and error.status)


class _Identity(msgspec.Struct, frozen=True):
    name: str
    namespace: str = "default"


class _Identified(msgspec.Struct, frozen=True):
    metadata: _Identity


class _Mirror:
    """One collection as it was heard: which objects it has."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.is_heard = False
        self._type_meta = TypeMeta(collection.api_version, collection.kind)
        self._origins: set[str] = set()

    @property
    def _state(self) -> Decoded | None:
        """What is wrong with the collection, although it is heard."""
        if self.collection.kind != "Service" or self._origins:
            return None
        problem = Problem(
            place=Place(NAME),
            message=f"there is no Service at {self.collection.path}",
            hint="are --namespace and --selector right?",
            severity=Severity.WARNING,
        )
        return Decoded(problems=(problem,))

    @property
    def plural(self) -> str:
        """The name of the collection."""
        return self.collection.plural

    def _replace(self, objects: Iterable[msgspec.Raw]) -> Mapping[str, Decoded | None]:
        """Take in all objects that there are."""
        self.is_heard = True
        before, self._origins = self._origins, set()
        changes: dict[str, Decoded | None] = dict.fromkeys(before)
        for each in objects:
            origin = self._origin(each)
            self._origins.add(origin)
            changes[origin] = self._decode(each, origin)
        changes[self.collection.path] = self._state
        return changes

    def take(self, news: News) -> Mapping[str, Decoded | None]:
        """Take in what became of objects, or of hearing them.

        Returns what each origin that this concerns says now; None where it is gone.
        """
        if isinstance(news, Replaced):
            return self._replace(news.objects)
        if isinstance(news, Changed):
            origin = self._origin(news.object)
            if news.is_deleted:
                self._origins.discard(origin)
                return {origin: None, self.collection.path: self._state}
            self._origins.add(origin)
            decoded = self._decode(news.object, origin)
            return {origin: decoded, self.collection.path: self._state}
        if news.error is None:
            return {self.collection.path: self._state}
        problem = _trouble(self.collection, news.error)
        self.is_heard = self.is_heard or problem.severity is Severity.WARNING
        return {self.collection.path: Decoded(problems=(problem,))}

    def _origin(self, body: msgspec.Raw) -> str:
        identity = msgspec.json.decode(body, type=_Identified).metadata
        return str(ObjectKey(self.collection.kind, identity.namespace, identity.name))

    def _decode(self, body: msgspec.Raw, origin: str) -> Decoded:
        return decode_object(body, source=origin, type_meta=self._type_meta)


def _trouble(collection: Collection, error: KubeError | KubeConfigError) -> Problem:
    """Say why *collection* cannot be heard; a warning where it can be done without."""
    status = error.status if isinstance(error, KubeError) else 0
    plural, group = collection.plural, collection.api_version.rpartition("/")[0]
    message, hint = f"cannot watch {plural}: {error}", None
    severity = Severity.ERROR
    if status == _FORBIDDEN and _NOBODY in str(error):
        hint = "no credentials were sent: look at the user in the kubeconfig"
    elif status == _FORBIDDEN:
        hint = f'grant list and watch on {plural} of apiGroup "{group}"'
        if collection.kind in _OPTIONAL:
            severity = Severity.WARNING
            hint += f"; without it {_OPTIONAL[collection.kind]}"
    elif status == _NOT_FOUND and collection.kind == _POLICY:
        severity = Severity.WARNING
        message = "the API server knows no TrafficPolicy"
        hint = "xds-server crd | kubectl apply -f -"
    elif status == _UNAUTHORIZED:
        hint = "the token has expired, or is of another cluster"
    elif status == _BAD_REQUEST and collection.query.get("labelSelector"):
        hint = f"is --selector right? (got {collection.query['labelSelector']})"
    return Problem(place=Place(NAME), message=message, hint=hint, severity=severity)
