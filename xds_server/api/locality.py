"""Which endpoints a client uses by where they run: `locality` of a policy.

One block a type; after validation the block named like `type` is there, with its
defaults, and no other.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from xds_server.api import name
from xds_server.api.field import Choice, Duration, complain
from xds_server.api.model import Model
from xds_server.api.performance import MetricName
from xds_server.api.problem import Fault, named_twice
from xds_server.api.schema import Rule, form
from xds_server.api.typed_block import (
    block_faults,
    block_rules,
    needed_faults,
    needed_rule,
)
from xds_server.api.weights import LARGEST_WEIGHT
from xds_server.api.wording import did_you_mean, got

NODE: Final = "Node"
ZONE: Final = "Zone"
REGION: Final = "Region"
LABEL: Final = "label:"
"""What the key of a label has before it, among what is compared."""

_MOST_ENDPOINTS: Final = 100_000
_PLACES: Final = (NODE, ZONE, REGION)
_COMPARED: Final = "must be Node, Zone, Region, or label: with a label's key"
_LABEL_FORM: Final = name.LABEL_KEY_FORM.removeprefix("^").removesuffix("$")
_LONGEST_PREFIX: Final = len(LABEL) + name.LONGEST_NAME


class LocalityType(Choice):
    """What is made of the places of endpoints."""

    NONE = "None"
    FAILOVER = "Failover"
    WEIGHTED = "Weighted"
    ZONE_AWARE = "ZoneAware"
    LOAD_AWARE = "LoadAware"


class LocalityBasis(Choice):
    """What the part of a zone is of all."""

    ENDPOINT_COUNT = "EndpointCount"
    ENDPOINT_WEIGHT = "EndpointWeight"


class Unlisted(Choice):
    """What localities get that a rule does not name."""

    ENDPOINT_COUNT = "EndpointCount"
    NONE = "None"


def _proximity(text: str) -> str:
    key = text.removeprefix(LABEL)
    if text not in _PLACES and (key == text or not name.is_label_key(key)):
        hint = did_you_mean(text, _PLACES)
        if name.is_label_key(text):
            hint = hint or f"write {LABEL}{text} to compare this label"
        complain(_COMPARED + got(text), hint=hint)
    return text


Proximity = Annotated[
    str,
    AfterValidator(_proximity),
    form(
        pattern=f"^({'|'.join(_PLACES)}|{LABEL}{_LABEL_FORM})$",
        most=_LONGEST_PREFIX + len("/") + name.LONGEST_LABEL,
        rules=[
            Rule(holds=f"self.indexOf('/') <= {_LONGEST_PREFIX}", message=_COMPARED)
        ],
    ),
]
"""What an endpoint may have in common with a client: a place, or `label:` and a key."""


class Failover(Model):
    """Near endpoints first, and others when these fail."""

    order: Annotated[
        tuple[Proximity, ...], form(**{"x-kubernetes-list-type": "set"})
    ] = Field(default=(ZONE, REGION), min_length=1, max_length=8)
    """What endpoints are to have in common with the client: those with the first come
    first, then those with the second, and so on, then all others: `Node`, `Zone`,
    `Region`, or `label:KEY`, a label of the endpoint's Pod and of the client."""
    overprovisioning_percent: int = Field(default=140, ge=100, le=10000)
    """While less than 100 / this of the endpoints that come first is healthy, the next
    get what is missing: at 140, below 71.4 %."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse what is compared twice."""
        yield from named_twice("order", self.order)


def _place_name(text: str) -> str:
    if not text or not name.is_label_value(text):
        complain(f"{_PLACE_NAME}{got(text)}")
    return text


_PLACE_NAME: Final = "must be 1 to 63 letters, digits, - _ ."
PlaceName = Annotated[
    str,
    AfterValidator(_place_name),
    form(pattern=name.LABEL_VALUE_FORM, most=name.LONGEST_LABEL, least=1),
]
"""The name of a region or a zone, which is a label's value."""

_NOWHERE: Final = "needs region, zone or both"


class _Place(Model):
    """A region, a zone, or a zone of a region."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(holds="has(self.region) || has(self.zone)", message=_NOWHERE),
    )

    region: PlaceName | None = None
    """The region; left out: any."""
    zone: PlaceName | None = None
    """The zone; left out: any."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Ask for a place: any place is none."""
        if given.keys().isdisjoint({"region", "zone"}):
            yield Fault(path=(), message=f"{_NOWHERE} (got none)")

    def holds(self, region: str, zone: str) -> bool:
        """Whether it is there."""
        return self.region in (None, region) and self.zone in (None, zone)

    def covers(self, other: "_Place") -> bool:
        """Whether all that is at the *other* is at this one, too."""
        return self.region in (None, other.region) and self.zone in (None, other.zone)


class ClientPlace(_Place):
    """Where a client is."""


class LocalityShare(_Place):
    """What endpoints at a place get together."""

    weight: int = Field(ge=0, le=LARGEST_WEIGHT)
    """What all endpoints there get together, in proportion to the other weights; `0`:
    they are left out."""


_SAME: Final = (
    "(has({0}region) ? {0}region : '') == (has({1}region) ? {1}region : '') && "
    "(has({0}zone) ? {0}zone : '') == (has({1}zone) ? {1}zone : '')"
)


class LocalityRule(Model):
    """How clients at a place share their traffic among localities."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="self.to.all(one, self.to.exists_one(other, "
            f"{_SAME.format('one.', 'other.')}))",
            message="named twice",
            at="to",
        ),
    )

    from_: ClientPlace | None = Field(default=None, alias="from")
    """Where the client is; left out: anywhere."""
    to: tuple[LocalityShare, ...] = Field(min_length=1, max_length=32)
    """What places get; the first that an endpoint is at counts."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a place that is named twice."""
        yield from named_twice("to", [(each.region, each.zone) for each in self.to])


class WeightedLocality(Model):
    """What share each locality gets, by where the client is."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="self.rules.all(one, self.rules.exists_one(other, "
            "has(one.from) == has(other.from) && (!has(one.from) || "
            f"{_SAME.format('one.from.', 'other.from.')})))",
            message="named twice",
            at="rules",
        ),
        Rule(
            holds="self.default != 'None' || "
            "self.rules.all(rule, rule.to.exists(one, one.weight > 0))",
            message="needs a weight above 0 with default: None",
            at="rules",
        ),
    )

    rules: tuple[LocalityRule, ...] = Field(min_length=1, max_length=32)
    """The first whose `from` a client is at counts for it; for a client that none is
    for, places do not count."""
    default: Unlisted = Unlisted.ENDPOINT_COUNT
    """What a locality gets that the rule does not name: `EndpointCount`: as much weight
    as it has endpoints, or `None`: nothing."""

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a rule that is there twice, or that leaves nothing."""
        origins = [
            (each.from_.region, each.from_.zone) if each.from_ else ()
            for each in self.rules
        ]
        yield from named_twice("rules", origins)
        for position, rule in enumerate(self.rules):
            is_empty = not any(each.weight for each in rule.to)
            if is_empty and self.default is Unlisted.NONE:
                yield Fault(
                    path=("rules", position, "to"),
                    message="needs a weight above 0 with default: None",
                    hint="no endpoint would be left",
                )


class ForceLocalZone(Model):
    """When clients stay in their zone however small it is."""

    minimum_endpoints: int = Field(default=1, ge=1, le=_MOST_ENDPOINTS)
    """So many healthy endpoints in the client's zone get all that its clients send."""


class ZoneAware(Model):
    """As much as possible stays in the client's zone, and no zone gets more than all.

    A zone has its part of the clients' Service and its part of the endpoints.
    """

    minimum_cluster_size: int = Field(default=6, ge=1, le=_MOST_ENDPOINTS)
    """Where fewer endpoints are healthy in all, zones do not count."""
    routing_percent: float = Field(default=100, ge=0, le=100)
    """So much of the requests is routed by zones, the others to anybody."""
    force_local_zone: ForceLocalZone | None = None
    """Where written: all stays in the zone; left out: as much as it has capacity
    for."""
    fail_on_panic: bool = False
    """Whether requests fail with 503 where fewer than `panicThreshold` percent of the
    endpoints are healthy, in place of being sent to any of them."""
    basis: LocalityBasis = LocalityBasis.ENDPOINT_COUNT
    """What the part of a zone is of all: `EndpointCount`: the number of its endpoints,
    or `EndpointWeight`: their weights."""


class LoadAware(Model):
    """All stays in the client's zone until that is more loaded than the others.

    Then each locality gets what it has left: endpoints * (1 - utilization).
    """

    variance_threshold: float = Field(default=0.1, ge=0, le=1)
    """All stays in the zone as long as its utilization is at most this above the mean
    of the others."""
    remote_probe_percent: float = Field(default=3, ge=0, le=99)
    """So much goes to other zones all the same, so that they report; `0`: nothing is
    known of them, and when all have expired, none gets anything by its load."""
    smoothing: Duration = timedelta(seconds=5)
    """How fast a zone's utilization follows the reports: after this time by 63 % of a
    change."""
    update_period: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = (
        timedelta(seconds=1)
    )
    """How often weights are computed."""
    expiration: Duration = timedelta(minutes=3)
    """How long a last report counts."""
    metrics: tuple[MetricName, ...] = Field(default=(), max_length=16)
    """What utilization is where a report has no `application_utilization`: the largest
    of these; left out, or in none of them: `cpu_utilization`."""


_BLOCKS: Final = {
    LocalityType.FAILOVER: "failover",
    LocalityType.WEIGHTED: "weighted",
    LocalityType.ZONE_AWARE: "zoneAware",
    LocalityType.LOAD_AWARE: "loadAware",
}
_IN_WEIGHTED: Final = "rules"


class Locality(Model):
    """What becomes of the places of endpoints, and its parameters."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        *block_rules(_BLOCKS),
        needed_rule(LocalityType.WEIGHTED, "weighted", _IN_WEIGHTED),
    )

    type: LocalityType
    """`None`: places do not count, whatever the Service's `trafficDistribution` says;
    `Failover`: near endpoints first, others when these fail; `Weighted`: shares of
    regions and zones; `ZoneAware`: as much in the client's zone as that can take;
    `LoadAware`: the same by what endpoints report."""
    failover: Failover | None = None
    """Only with type Failover."""
    weighted: WeightedLocality | None = None
    """Only with type Weighted."""
    zone_aware: ZoneAware | None = None
    """Only with type ZoneAware."""
    load_aware: LoadAware | None = None
    """Only with type LoadAware."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse the blocks of other types."""
        kind = LocalityType.parse_or_none(given.get("type"))
        if kind is not None:
            yield from block_faults(_BLOCKS, kind, given, found=kind)
        if kind is LocalityType.WEIGHTED:
            hint = "weighted: {rules: [{to: [{zone: a, weight: 90}, ...]}]}"
            yield from needed_faults(kind, "weighted", _IN_WEIGHTED, given, hint=hint)

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Give the type its block."""
        kind = LocalityType.parse_or_none(given.get("type"))
        if kind not in _BLOCKS or kind is LocalityType.WEIGHTED:
            return given
        return {_BLOCKS[kind]: {}, **given}
