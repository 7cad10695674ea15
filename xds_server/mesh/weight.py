"""What share of the traffic each backend asks for.

A load balancer's `weights` and the backends (with their Pods) in; one weight a backend
out, or none where the algorithm takes none. Reducing weights is the translator's.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from xds_server.api.document import Document
from xds_server.api.kubernetes import Pod
from xds_server.api.policy import LoadBalancer, ResourceRequest, WeightRule, Weights
from xds_server.api.problem import FieldPath, ObjectKey, Problem
from xds_server.api.quantity import parse_quantity
from xds_server.api.weights import LARGEST_WEIGHT
from xds_server.mesh.backend import Backend, canonical
from xds_server.mesh.finding import warning
from xds_server.mesh.model import Health
from xds_server.mesh.share import divide

_DIGITS: Final = 20
"""More than any weight has; Python refuses to read some thousands."""

FindPod = Callable[[ObjectKey], Document | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """A weight for each backend in their order, or None; 0 means no new traffic.

    `empty_groups` are the positions of groups whose share others have, since nobody
    healthy belongs to them,
    `idle_rules` those of rules that no backend has its weight from. `stops_all` where
    weight 0 keeps new traffic from every backend that is ready for it.
    """

    weights: tuple[int, ...] | None
    problems: tuple[Problem, ...] = ()
    empty_groups: tuple[int, ...] = ()
    idle_rules: tuple[int, ...] = ()
    stops_all: bool = False


def weigh(
    load_balancer: LoadBalancer, backends: Sequence[Backend], find_pod: FindPod
) -> Weighing:
    """Return what the `weights` of *load_balancer* make of *backends*."""
    weights = load_balancer.weights
    if weights is None:
        return Weighing(weights=None)
    scale = _Scale(weights, find_pod)
    if weights.groups:
        return _divide(weights, backends, scale)
    found = tuple(scale.weight_of(backend) for backend in backends)
    return Weighing(
        weights=found,
        problems=tuple(scale.problems),
        idle_rules=scale.idle_rules,
        stops_all=_stops_all(found, backends),
    )


def _divide(weights: Weights, backends: Sequence[Backend], scale: "_Scale") -> Weighing:
    """Weigh by groups; backends of none share `others`, rules count inside a group."""

    def weight_inside(backend: Backend) -> int:
        if backend.health is Health.DRAINING:
            return 0
        return scale.weight_of(backend)

    members = [(scale.group_of(each), weight_inside(each)) for each in backends]
    alive = {group for group, weight in members if weight}
    shares = [*(group.share for group in weights.groups), weights.others]
    found = divide(members, shares)
    return Weighing(
        weights=found,
        problems=tuple(scale.problems),
        empty_groups=tuple(
            position
            for position, group in enumerate(weights.groups)
            if group.share and position not in alive
        ),
        idle_rules=scale.idle_rules,
        stops_all=_stops_all(found, backends),
    )


def _stops_all(weights: Sequence[int], backends: Sequence[Backend]) -> bool:
    pairs = zip(weights, backends, strict=True)
    ready = [weight for weight, each in pairs if each.health is Health.HEALTHY]
    return bool(ready) and not any(ready)


class _Scale:
    """Weighs one backend at a time by the rules: the first that matches wins."""

    def __init__(self, weights: Weights, find_pod: FindPod) -> None:
        self.problems: list[Problem] = []
        self._weights = weights
        self._find_pod = find_pod
        self._applied: set[int] = set()
        self._addresses = {
            id(rule): frozenset(canonical(each) or each for each in rule.addresses)
            for rule in weights.rules
            if rule.addresses is not None
        }

    @property
    def idle_rules(self) -> tuple[int, ...]:
        """The positions of rules that have not given a weight."""
        return tuple(sorted({*range(len(self._weights.rules))} - self._applied))

    def weight_of(self, backend: Backend) -> int:
        """Return what the rules say of *backend*, or else the default."""
        document = self._find_pod(backend.pod) if backend.pod else None
        for position, rule in enumerate(self._weights.rules):
            weight = self._apply(rule, backend, document)
            if weight is not None:
                self._applied.add(position)
                return weight
        return self._weights.default

    def group_of(self, backend: Backend) -> int:
        """Return the position of the first group that matches; past the last: none."""
        groups = self._weights.groups
        document = self._find_pod(backend.pod) if backend.pod else None
        if document is not None:
            for position, group in enumerate(groups):
                if _has(document, group.match_labels):
                    return position
        return len(groups)

    def _apply(
        self, rule: WeightRule, backend: Backend, document: Document | None
    ) -> int | None:
        if rule.addresses is not None:
            return rule.weight if backend.address in self._addresses[id(rule)] else None
        if document is None:
            return None
        if rule.match_labels is not None:
            return rule.weight if _has(document, rule.match_labels) else None
        return self._said(rule, document)

    def _said(self, rule: WeightRule, document: Document) -> int | None:
        """Return the weight that the Pod says itself; None if it says nothing."""
        if rule.from_annotation is not None:
            return self._read(document, "annotations", rule.from_annotation)
        if rule.from_label is not None:
            return self._read(document, "labels", rule.from_label)
        if rule.from_resource_request is not None:
            return self._request(document, rule.from_resource_request)
        return None

    def _read(self, document: Document, field: str, name: str) -> int | None:
        metadata = _pod(document).metadata
        values = metadata.labels if field == "labels" else metadata.annotations
        text = values.get(name)
        if text is None:
            return None
        is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS
        if is_number and int(text) <= LARGEST_WEIGHT:
            return int(text)
        message = f"must be a whole number of 0..{LARGEST_WEIGHT} (got {text!r})"
        return self._complain(document, ("metadata", field, name), message)

    def _request(self, document: Document, rule: ResourceRequest) -> int | None:
        """Return how many divisors the Pod requests in all, rounded up, at least 1."""
        divisor = parse_quantity(rule.divisor)
        total = Fraction(0)
        is_requested = False
        for position, container in enumerate(_pod(document).spec.containers):
            text = container.resources.requests.get(rule.resource)
            if text is None:
                continue
            quantity = parse_quantity(str(text))
            if quantity is None or quantity < 0 or not divisor:
                path = ("spec", "containers", position, "resources", "requests")
                message = f"must be a Kubernetes quantity (got {text!r})"
                return self._complain(document, (*path, rule.resource), message)
            is_requested = True
            total += quantity / divisor
        weight = max(1, math.ceil(total))
        return min(weight, LARGEST_WEIGHT) if is_requested else None

    def _complain(self, document: Document, path: FieldPath, message: str) -> int:
        """Report what a Pod says of its weight, and return the default."""
        key, default = document.key, self._weights.default
        consequence = f"Pod {key.namespace}/{key.name} has the default weight {default}"
        self.problems.append(warning(document, path, f"{message}: {consequence}"))
        return default


def labels_of(document: Document) -> Mapping[str, str]:
    """Return the labels of a Pod."""
    return _pod(document).metadata.labels


def _has(document: Document, labels: Collection[tuple[str, str]]) -> bool:
    found = labels_of(document)
    return all(found.get(key) == value for key, value in labels)


def _pod(document: Document) -> Pod:
    assert isinstance(document.body, Pod)  # noqa: S101 - narrows the union
    return document.body
