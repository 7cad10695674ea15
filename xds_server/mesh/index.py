"""The mesh as it is now: one owner of all documents and of what they mean.

Events in; frozen Services, the status of each policy and all problems out, and after
each batch the names of what became different. One task owns an index. Here is only the
order of work: `catalog` knows which Services an event concerns, so that a change costs
what it touches and not the size of the mesh; `service` resolves one of them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from xds_server.api.document import Document
from xds_server.api.name import ROOT_NAMESPACE
from xds_server.api.policy import TargetRef
from xds_server.api.problem import ObjectKey, Problem
from xds_server.mesh.catalog import Catalog
from xds_server.mesh.event import Applied, Deleted, Event, Listed, Reported, Weighed
from xds_server.mesh.explanation import Explanation, explain_service
from xds_server.mesh.ledger import Ledger
from xds_server.mesh.model import Locality, Service
from xds_server.mesh.service import (
    Resolution,
    ServiceName,
    TryOut,
    assess,
    resolve_service,
    take_as_it_is,
)
from xds_server.mesh.site import locality_of
from xds_server.mesh.status import PolicyStatus
from xds_server.mesh.tally import Tally
from xds_server.xds import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a batch of events made different.

    `services` are new or have new values, `deleted` are gone; together they are all
    that Envoy may have to be told. `statuses` are the policies whose status is another
    or gone. `problems` were not there before the batch, `solved` are not any more.
    """

    services: frozenset[ServiceName] = frozenset()
    deleted: frozenset[ServiceName] = frozenset()
    statuses: frozenset[ObjectKey] = frozenset()
    problems: tuple[Problem, ...] = ()
    solved: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Touched:
    """What a batch of events concerns: Services by name, policies by key."""

    services: set[ServiceName] = field(default_factory=set)
    policies: set[ObjectKey] = field(default_factory=set)


class Index:
    """What all documents mean together, kept up to date by `apply`.

    `services` and `statuses` are live and read-only. Their values are frozen, and
    replaced only by values that are unequal to them.
    """

    def __init__(
        self,
        sources: Iterable[str] = (),
        *,
        root_namespace: str = ROOT_NAMESPACE,
        try_out: TryOut = take_as_it_is,
    ) -> None:
        """Start empty; `listed` waits for all of *sources*.

        So do problems between documents: a policy may come before its Service.
        Policies for *root_namespace* are for the whole mesh. *try_out* knows what an
        Envoy says of an upstream that a policy patches.
        """
        self._catalog = Catalog(root_namespace, try_out)
        self._ledger = Ledger()
        self._tally = Tally()
        self._unlisted = set(sources)
        self._is_whole = not self._unlisted
        self._reports: dict[str, Reported] = {}
        self._resolutions: dict[ServiceName, Resolution] = {}
        self._services: dict[ServiceName, Service] = {}

    @property
    def services(self) -> Mapping[ServiceName, Service]:
        """Every Service by namespace and name."""
        return MappingProxyType(self._services)

    @property
    def statuses(self) -> Mapping[ObjectKey, PolicyStatus]:
        """What became of every policy that was ever accepted, or is rejected now."""
        return self._ledger.statuses

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong now, in the documents and between them, by place."""
        return self._tally.problems

    @property
    def selectors(self) -> Collection[Labels]:
        """The labels of clients that policies tell apart, live."""
        return self._catalog.selectors

    def document_of(self, name: ServiceName) -> Document:
        """Return the document of one of `services`.

        Raises:
            KeyError: there is no such Service.
        """
        document = self._catalog.get(ObjectKey("Service", *name))
        if document is None:
            raise KeyError(name)
        return document

    def targeted(self, namespace: str, target: TargetRef) -> Iterator[Service]:
        """Yield the Services that *target* of a policy in *namespace* is for."""
        for name in self._catalog.targeted(namespace, target):
            if (service := self._services.get(name)) is not None:
                yield service

    def explain(self, name: ServiceName, labels: Labels) -> tuple[Explanation, ...]:
        """Return why clients with *labels* get what they get of each port of a Service.

        Raises:
            KeyError: there is no such Service.
        """
        document, material = self.document_of(name), self._catalog.material(name)
        assert material is not None  # noqa: S101 - its own document is about it
        return explain_service(assess(material, document), document, labels)

    def locality_of(self, node: str) -> Locality:
        """Return where the Node called *node* stands; nowhere if it is not known."""
        return locality_of(self._catalog.find_node(node))

    @property
    def listed(self) -> bool:
        """Whether every source has said all that there was when it started."""
        return not self._unlisted

    def apply(self, events: Iterable[Event]) -> Changes:
        """Take *events* in, and return what they made different."""
        touched = _Touched()
        for event in events:
            self._take(event, touched)
        changed = {name for name in touched.services if self._resolve(name, touched)}
        if self.listed and not self._is_whole:
            self._is_whole = True
            for resolution in self._resolutions.values():
                self._tally.replace((), resolution.problems)
        statuses = {
            key
            for key in touched.policies
            if self._ledger.restate(key, self._catalog.get(key))
        }
        appeared, vanished = self._tally.settle()
        return Changes(
            services=frozenset(name for name in changed if name in self._services),
            deleted=frozenset(name for name in changed if name not in self._services),
            statuses=frozenset(statuses),
            problems=appeared,
            solved=vanished,
        )

    def _take(self, event: Event, touched: _Touched) -> None:
        match event:
            case Applied(document=document):
                touched.services |= self._catalog.put(document)
                touched.policies.add(document.key)
            case Deleted(key=key):
                touched.services |= self._catalog.remove(key)
                touched.policies.add(key)
            case Reported(source=source):
                before = self._reports.pop(source, Reported(source=source, problems=()))
                if event.problems or event.rejected:
                    self._reports[source] = event
                self._tally.replace(before.problems, event.problems)
                touched.policies |= self._ledger.report(before, event)
            case Listed(source=source):
                self._unlisted.discard(source)
            case Weighed():
                touched.services |= self._catalog.weigh(event)

    def _resolve(self, name: ServiceName, touched: _Touched) -> bool:
        """Resolve the Service *name* anew; return whether its value is another."""
        before = self._resolutions.pop(name, Resolution())
        material = self._catalog.material(name)
        after = resolve_service(material) if material else Resolution()
        if material:
            self._resolutions[name] = after
        if self._is_whole:
            self._tally.replace(before.problems, after.problems)
        touched.policies |= self._ledger.judge(before.verdicts, after.verdicts)
        if before.service == after.service:
            return False
        if after.service is None:
            del self._services[name]
        else:
            self._services[name] = after.service
        return True
