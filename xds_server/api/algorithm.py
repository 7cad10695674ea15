"""The load-balancing algorithms: their names, and one block of parameters for each.

Why the limits are what they are: Envoy checks almost none of them itself; some values
that it accepts fail every request, and some abort it.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field

from xds_server.api.field import Choice, complain, fold
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import FORBIDDEN, Rule
from xds_server.api.wording import got

LARGEST_RING: Final = 8388608
LARGEST_TABLE: Final = 5000011
_DEFAULT_MAXIMUM_RING: Final = 65536


class LoadBalancerType(Choice):
    """The algorithms, spelled as in the API."""

    ROUND_ROBIN = "RoundRobin"
    RANDOM = "Random"
    WEIGHTED = "Weighted"
    LEAST_REQUEST = "LeastRequest"
    RING_HASH = "RingHash"
    MAGLEV = "Maglev"
    IP_HASH = "IPHash"
    PERFORMANCE_BASED = "PerformanceBased"

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read any spelling, Envoy's and Istio's names for the same things too."""
        if isinstance(text, str):
            folded = fold(text)
            if folded in _REFUSED_TYPES:
                reason, hint = _REFUSED_TYPES[folded]
                complain(f"{text} is not supported: {reason}", hint=hint)
            text = _OTHER_NAMES.get(folded, text)
        return super().parse(text)


CLIENT_SIDE: Final = "clientsideweightedroundrobin"
_OTHER_NAMES: Final = {
    "weightedroundrobin": "Weighted",
    "leastconn": "LeastRequest",
    "weightedleastrequest": "LeastRequest",
    "consistenthash": "Maglev",
    "sourceip": "IPHash",
    CLIENT_SIDE: "PerformanceBased",
}
_REFUSED_TYPES: Final = {
    "passthrough": (
        "requests go to the endpoints of a Service, never around them",
        None,
    ),
    "clusterprovided": ("it belongs to cluster kinds that are never built here", None),
    "subset": (
        "Envoy accepts subsets that match nothing",
        "make a second Service that selects the subset's Pods",
    ),
}


class Selection(Choice):
    """How `Weighted` picks: in turn, or by independent draws."""

    ROUND_ROBIN = "RoundRobin"
    RANDOM = "Random"


class SelectionMethod(Choice):
    """How `LeastRequest` looks for the least busy endpoint."""

    N_CHOICES = "NChoices"
    FULL_SCAN = "FullScan"


class HashFunction(Choice):
    """What `RingHash` hashes with."""

    XX_HASH = "XXHash"
    MURMUR_HASH_2 = "MurmurHash2"


class HashAlgorithm(Choice):
    """The consistent hash behind `IPHash`."""

    MAGLEV = "Maglev"
    RING_HASH = "RingHash"


class AddressFrom(Choice):
    """Which client address `IPHash` hashes."""

    CONNECTION = "Connection"
    X_FORWARDED_FOR = "XForwardedFor"


class Weighted(Model):
    """Shares in proportion to the endpoints' weights."""

    selection: Selection = Selection.ROUND_ROBIN
    """`RoundRobin`: in turn, or `Random`: independent draws by weight."""


class LeastRequest(Model):
    """The endpoint with the fewest requests in flight, of a few drawn or of all.

    `active_request_bias` counts only where weights differ: weight / (active+1)^bias.
    """

    told_apart = frozenset({"choiceCount"})
    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="self.selectionMethod != 'FullScan' || !has(self.choiceCount)",
            message="not allowed when selectionMethod is FullScan",
            at="choiceCount",
            reason=FORBIDDEN,
        ),
    )

    choice_count: int = Field(default=2, ge=2, le=100)
    """Endpoints that are compared for each request; not with FullScan."""
    active_request_bias: float = Field(default=1.0, ge=0, le=100)
    """How much requests in flight count where weights differ: weight / (active +
    1)^bias."""
    selection_method: SelectionMethod = SelectionMethod.N_CHOICES
    """`NChoices`: the best of some, or `FullScan`: the best of all endpoints."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a number of choices where all endpoints are looked at."""
        is_full_scan = self.selection_method is SelectionMethod.FULL_SCAN
        if is_full_scan and "choice_count" in self.model_fields_set:
            yield Fault(
                path=("choiceCount",),
                message="not allowed when selectionMethod is FullScan"
                + got(self.choice_count),
                hint="a full scan looks at all endpoints",
                at_key=True,
            )


BoundedLoadPercent = Annotated[int | None, Field(ge=100, le=10000)]
"""How far above the mean an endpoint's requests in flight may go before the next on
the ring gets them."""


class RingHash(Model):
    """Consistent hashing on a ring (ketama).

    Envoy's own maximum of 8388608 entries took 384 MiB for two endpoints of weights
    1 : 1000000000 (measured on Envoy 1.40), hence the smaller default.
    """

    told_apart = frozenset({"maximumRingSize"})
    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="!has(self.maximumRingSize)"
            " || self.minimumRingSize <= self.maximumRingSize",
            message="must be <= maximumRingSize",
            at="minimumRingSize",
        ),
    )

    minimum_ring_size: int = Field(default=1024, ge=1, le=LARGEST_RING)
    """The least entries of the ring; 100 an endpoint keep shares near the weights."""
    maximum_ring_size: int = Field(default=_DEFAULT_MAXIMUM_RING, ge=1, le=LARGEST_RING)
    """The most entries of the ring; not below `minimumRingSize`, which raises the
    default."""
    hash_function: HashFunction = HashFunction.XX_HASH
    """Of the keys and the entries: `XXHash` or `MurmurHash2`."""
    bounded_load_percent: BoundedLoadPercent = None
    """Requests in flight that an endpoint may have, in percent of the mean, before its
    keys go on to the next."""

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Let a maximum that is left out make room for the minimum."""
        least = given.get("minimumRingSize")
        if type(least) is int and _DEFAULT_MAXIMUM_RING < least <= LARGEST_RING:
            return {"maximumRingSize": least, **given}
        return given

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a minimum above the maximum."""
        if self.minimum_ring_size > self.maximum_ring_size:
            found = f"(got {self.minimum_ring_size} > {self.maximum_ring_size})"
            yield Fault(
                path=("minimumRingSize",),
                message=f"must be <= maximumRingSize {found}",
                hint="raise maximumRingSize or leave it out "
                f"(default {_DEFAULT_MAXIMUM_RING})",
            )


def is_prime(number: int) -> bool:
    """Say whether a number is prime, by trial division."""
    return number > 1 and all(
        number % divisor for divisor in range(2, int(number**0.5) + 1)
    )


SMALLEST_TABLE: Final = 251
_DIVISORS: Final = [
    number for number in range(2, int(LARGEST_TABLE**0.5) + 1) if is_prime(number)
]
"""The primes that a table size which is not prime has one of as a divisor."""


class Maglev(Model):
    """Consistent hashing by a table (Maglev, NSDI 2016).

    A table size that is not prime is rejected late, and a size of 1 aborts Envoy.
    """

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds=f"{_DIVISORS}.all(one, self.tableSize % one != 0"
            " || self.tableSize == one)",
            message="must be a prime number",
            at="tableSize",
        ),
    )

    table_size: int = Field(default=65537, ge=SMALLEST_TABLE, le=LARGEST_TABLE)
    """The entries of the table, a prime; 100 an endpoint keep shares near the
    weights."""
    bounded_load_percent: BoundedLoadPercent = None
    """Requests in flight that an endpoint may have, in percent of the mean, before its
    keys go on to the next."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a table size that is not prime and name the next one."""
        if not is_prime(self.table_size):
            following = next(
                filter(is_prime, range(self.table_size, LARGEST_TABLE + 1))
            )
            yield Fault(
                path=("tableSize",),
                message=f"must be a prime number{got(self.table_size)}",
                hint=f"the next prime is {following}",
            )


class IPHash(Model):
    """One client address, one endpoint, by a consistent hash."""

    algorithm: HashAlgorithm = HashAlgorithm.MAGLEV
    """`Maglev` moves the fewest clients when endpoints change; or `RingHash`."""
    address_from: AddressFrom = AddressFrom.CONNECTION
    """`Connection`: the peer's address; `XForwardedFor`: the first one in that header,
    which clients can forge (HTTP only)."""
