"""What Istio holds without being told, where policies hold something else."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from xds_server.api.field import LARGEST_COUNT
from xds_server.api.manifest import Value
from xds_server.api.problem import FieldPath
from xds_server.importer.draft import Draft
from xds_server.importer.outlier import hold_outliers
from xds_server.importer.source import mapping

_POOL: Final = "connectionPool"
_SPLIT: Final = "splitExternalLocalOriginErrors"
_LIMITS: Final = ("maxConnections", "maxPendingRequests")
_OF_HTTP: Final = ("maxRequests", "maxRetries")
_HTTP_LIMITS: Final = (
    "without http, Istio limits no requests: here 1024 are in flight at once, and 3 "
    "retries"
)
_WRITE_LIMITS: Final = (
    "where ports speak HTTP, write maxRequests and maxRetries in circuitBreaker"
)

SPEAKING: Final = ("loadBalancer", "connectionPool", "outlierDetection")
"""With one of these a rule says how traffic is handled, and what it leaves out of them
is as Istio has it; without it says nothing that is not so of every Service."""


def hold_defaults(draft: Draft, policy: Mapping[str, Value], base: FieldPath) -> None:
    """Write out what Istio holds where *policy*, which is at *base*, says nothing.

    That is, where we hold something else.
    """
    balancer = mapping(policy.get("loadBalancer"))
    if draft.has("loadBalancer.hashOn"):
        has_table = mapping(balancer.get("consistentHash")).get("maglev") is not None
        draft.hold("loadBalancer.type", "Maglev" if has_table else "RingHash")
    elif {"simple", "consistentHash"}.isdisjoint(balancer):
        draft.hold("loadBalancer.type", "LeastRequest", stands=True)
    _hold_places(draft, policy)
    if draft.has("connection"):
        draft.hold("connection.connectTimeout", "10s")
    pool = mapping(policy.get(_POOL))
    if pool:
        has_http = pool.get("http") is not None
        for limit in (*_LIMITS, *_OF_HTTP) if has_http else _LIMITS:
            draft.hold(f"circuitBreaker.{limit}", LARGEST_COUNT, stands=True)
        if not has_http:
            draft.account.note((*base, _POOL), _HTTP_LIMITS, _WRITE_LIMITS)
    detection = policy.get("outlierDetection")
    if isinstance(detection, dict):
        hold_outliers(
            draft,
            is_split=detection.get(_SPLIT),
            split=(*base, "outlierDetection", _SPLIT),
        )
        draft.hold("panicThreshold", 0, stands=True)


def _hold_places(draft: Draft, policy: Mapping[str, Value]) -> None:
    """Say what Istio makes of places: where outliers are ejected, near ones are first.

    Without that nothing is seen to fail, and Istio has no others take over.
    """
    if draft.has("locality.weighted"):
        draft.hold("locality.type", "Weighted")
        draft.hold("locality.weighted.default", "None")
    elif isinstance(policy.get("outlierDetection"), dict):
        draft.hold("locality.type", "Failover", stands=True)
    else:
        draft.drop("locality.failover", "has no effect there without outlierDetection")


_NOTHING: Final[Mapping[str, tuple[str, Value]]] = {
    "connection": ("connection.connectTimeout", "10s"),
    "outlierDetection": ("outlierDetection.consecutive5xx", LARGEST_COUNT),
    "panicThreshold": ("panicThreshold", 50),
    "locality": ("locality.type", "None"),
    "tls": ("tls.mode", "Disable"),
}
"""How a policy says that it has nothing of what a broader one has.

Nothing is ejected where no number of errors is enough.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broader:
    """The sections of broader policies, which hold where a nearer one has none.

    In Istio they do not: the nearest rule is all that counts.
    """

    sections: frozenset[str] = frozenset()
    limits: tuple[str, ...] = _LIMITS

    @classmethod
    def of(cls, draft: Draft) -> Self:
        """Return what a policy of *draft* has."""
        has_http = draft.has("circuitBreaker.maxRequests")
        limits = (*_LIMITS, *_OF_HTTP) if has_http else _LIMITS
        return cls(sections=draft.sections, limits=limits)

    def __or__(self, other: Self) -> Self:
        limits = max(self.limits, other.limits, key=len)
        return replace(self, sections=self.sections | other.sections, limits=limits)

    def undo(self, draft: Draft) -> None:
        """Write Istio's defaults over what *draft* does not say."""
        for section in sorted(self.sections - draft.sections):
            if section == "circuitBreaker":
                for limit in self.limits:
                    draft.hold(f"circuitBreaker.{limit}", LARGEST_COUNT, stands=True)
            elif section in _NOTHING:
                field, nothing = _NOTHING[section]
                draft.hold(field, nothing, stands=True)
