"""The load balancers that may be recommended, the simplest first.

A profile in; for each candidate that is for such a profile its `loadBalancer`, as
policies have it, out. Simple is what has the fewest things to know and to keep right: a
candidate further down is recommended only where it does better than all before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import gcd
from typing import Final

from xds_server.lab.advice.profile import Profile

Block = dict[str, object]
"""A `loadBalancer`, or a part of it."""

_FINENESS: Final = 100
"""Weights are speeds to 1 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a policy calls endpoints, and the header with the key of a request."""

    addresses: Sequence[str]
    key_header: str


def _always(_: Profile) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One load balancer; `name` is a DNS label.

    It is for profiles that it `suits`. It needs `settling` seconds until it does what
    it can, where it is `quickened` by what is not meant to be copied.
    """

    name: str
    title: str
    build: Callable[[Profile, Terms], Block]
    suits: Callable[[Profile], bool] = _always
    settling: float = 0.0
    quickened: Mapping[str, object] = field(default_factory=dict)

    def measured(self, profile: Profile, terms: Terms) -> Block:
        """Return the block that is measured."""
        return {**self.build(profile, terms), **self.quickened}


def _plain(type_: str) -> Callable[[Profile, Terms], Block]:
    return lambda _, __: {"type": type_}


def _hashed(type_: str) -> Callable[[Profile, Terms], Block]:
    def build(_: Profile, terms: Terms) -> Block:
        return {"type": type_, "hashOn": [{"header": {"name": terms.key_header}}]}

    return build


def _weighted(type_: str) -> Callable[[Profile, Terms], Block]:
    def build(profile: Profile, terms: Terms) -> Block:
        weights = weights_of([host.speed for host in profile.hosts])
        by_weight: dict[int, list[str]] = {}
        for address, weight in zip(terms.addresses, weights, strict=True):
            by_weight.setdefault(weight, []).append(address)
        rules = [
            {"addresses": addresses, "weight": weight}
            for weight, addresses in by_weight.items()
        ]
        return {"type": type_, "weights": {"rules": rules}}

    return build


def weights_of(speeds: Sequence[float]) -> tuple[int, ...]:
    """Return *speeds* as the least whole numbers in proportion, to 1 % of the least."""
    whole = [max(1, round(_FINENESS * each / min(speeds))) for each in speeds]
    divisor = reduce(gcd, whole)
    return tuple(each // divisor for each in whole)


def _has_keys(profile: Profile) -> bool:
    return profile.keys is not None


def _is_uneven(profile: Profile) -> bool:
    return not profile.is_even


CANDIDATES: Final = (
    Candidate(name="round-robin", title="RoundRobin", build=_plain("RoundRobin")),
    Candidate(name="random", title="Random", build=_plain("Random")),
    Candidate(name="least-request", title="LeastRequest", build=_plain("LeastRequest")),
    Candidate(name="maglev", title="Maglev", build=_hashed("Maglev"), suits=_has_keys),
    Candidate(
        name="ring-hash", title="RingHash", build=_hashed("RingHash"), suits=_has_keys
    ),
    Candidate(
        name="weighted",
        title="Weighted by speed",
        build=_weighted("Weighted"),
        suits=_is_uneven,
    ),
    Candidate(
        name="least-request-weighted",
        title="LeastRequest, weighted by speed",
        build=_weighted("LeastRequest"),
        suits=_is_uneven,
    ),
    Candidate(
        name="performance-based",
        title="PerformanceBased (ControlPlane)",
        build=_plain("PerformanceBased"),
        settling=28.0,
        quickened={"performanceBased": {"updatePeriod": "2s"}},
    ),
)
"""Settling of the last: 14 periods, each of which makes up for 30 % of what is left."""


def candidates_for(profile: Profile, seconds: float) -> tuple[Candidate, ...]:
    """Return those for *profile* that can show in so many *seconds* what they can do.

    At least as long as one settles, it is to be measured.
    """
    return tuple(
        each
        for each in CANDIDATES
        if each.suits(profile) and seconds >= _TIMES_SETTLING * each.settling
    )


_TIMES_SETTLING: Final = 1.5
