"""What share of the traffic each endpoint asks for (`weights`)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from xds_server.api.field import Address, LabelKey, Labels, complain
from xds_server.api.model import Model
from xds_server.api.problem import Fault, named_twice
from xds_server.api.quantity import FORM, LONGEST, parse_quantity
from xds_server.api.schema import FORBIDDEN, REQUIRED, Rule, form, has_one_of
from xds_server.api.wording import got

WEIGHT_ANNOTATION: Final = "traffic.xds-server.dev/weight"
LARGEST_WEIGHT: Final = 1_000_000

_MATCHES: Final = ("matchLabels", "addresses")
_READS: Final = ("fromAnnotation", "fromLabel", "fromResourceRequest")
_QUANTITY: Final = "must be a Kubernetes quantity above 0, such as 100m or 1Gi"

_NO_GROUPS: Final = "only allowed with groups"


def _quantity(text: str) -> str:
    quantity = parse_quantity(text)
    if quantity is None or quantity <= 0:
        complain(_QUANTITY + got(text))
    return text


class ResourceRequest(Model):
    """A resource that a Pod's containers request, in units of `divisor`, rounded up."""

    resource: LabelKey
    """What is requested, such as `cpu`."""
    divisor: Annotated[
        str,
        AfterValidator(_quantity),
        form(
            pattern=FORM,
            most=LONGEST,
            rules=[
                Rule(
                    holds="isQuantity(self)"
                    " && quantity(self).isGreaterThan(quantity('0'))",
                    message=_QUANTITY,
                )
            ],
        ),
    ]
    """The weight is the sum of the requests / this, rounded up, at least 1; such as
    `100m`."""


class WeightRule(Model):
    """Which endpoints weigh what.

    Either a match (labels of the Pod, or addresses) with its weight, or a place where
    the Pod says its weight itself. Without that annotation, label or request the rule
    does not match.
    """

    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds=has_one_of((*_MATCHES, *_READS)),
            message=f"exactly one of {', '.join((*_MATCHES, *_READS))}",
        ),
        *(
            Rule(
                holds=f"!has(self.{match}) || has(self.weight)",
                message=f"required with {match}",
                at="weight",
                reason=REQUIRED,
            )
            for match in _MATCHES
        ),
        *(
            Rule(
                holds=f"!has(self.{read}) || !has(self.weight)",
                message=f"not allowed with {read}: the Pod says it",
                at="weight",
                reason=FORBIDDEN,
            )
            for read in _READS
        ),
    )

    match_labels: Labels | None = None
    """Pods with all of these labels have this rule's `weight`."""
    addresses: tuple[Address, ...] | None = Field(
        default=None, min_length=1, max_length=1000
    )
    """Endpoints with these IP addresses or DNS names have this rule's `weight`."""
    from_annotation: LabelKey | None = None
    """The value of this annotation of the Pod."""
    from_label: LabelKey | None = None
    """The value of this label of the Pod."""
    from_resource_request: ResourceRequest | None = None
    """What the Pod's containers request."""
    weight: int | None = Field(default=None, ge=0, le=LARGEST_WEIGHT)
    """Required with `matchLabels` and `addresses`, only there."""

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Ask for one source of weights, and for a weight where it has none."""
        found = [key for key in (*_MATCHES, *_READS) if key in given]
        if len(found) != 1:
            names = ", ".join(found) or "none"
            message = f"exactly one of {', '.join((*_MATCHES, *_READS))} (got {names})"
            yield Fault(path=(), message=message)
        elif found[0] in _MATCHES and "weight" not in given:
            yield Fault(path=("weight",), message=f"required with {found[0]}")
        elif found[0] in _READS and "weight" in given:
            message = f"not allowed with {found[0]}: the Pod says it"
            message += got(given["weight"])
            yield Fault(path=("weight",), message=message, at_key=True)


class WeightGroup(Model):
    """A share of the whole for all Pods with these labels together."""

    match_labels: Labels
    """Pods with all of these labels, unless a group before it has them; no two groups
    name the same."""
    share: float = Field(ge=0, le=LARGEST_WEIGHT)
    """Of the traffic, in proportion to the other shares; `0`: no new requests."""


class Weights(Model):
    """How much each endpoint weighs by itself, or what groups of them have together."""

    told_apart = frozenset({"rules", "others"})
    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds="!has(self.others) || has(self.groups) && size(self.groups) > 0",
            message=_NO_GROUPS,
            at="others",
            reason=FORBIDDEN,
        ),
        Rule(
            holds="!has(self.groups) || self.groups.all(one, self.groups.exists_one("
            "other, one.matchLabels == other.matchLabels))",
            message="named twice",
            at="groups",
        ),
    )

    rules: tuple[WeightRule, ...] = Field(
        default=(WeightRule(from_annotation=WEIGHT_ANNOTATION),), max_length=32
    )
    """The first that matches an endpoint gives its weight; with `groups` the weight
    inside its group, where left out means that all are equal there."""
    default: int = Field(default=1, ge=0, le=LARGEST_WEIGHT)
    """The weight of all others."""
    groups: tuple[WeightGroup, ...] = Field(default=(), max_length=32)
    """Each group has its share of the traffic, whatever the number of its endpoints."""
    others: float = Field(default=0, ge=0, le=LARGEST_WEIGHT)
    """The share of all endpoints that are in no group, together; `0`: no new requests.
    """

    @classmethod
    def filled(cls, given: dict[str, object]) -> dict[str, object]:
        """Make the endpoints of a group equal where no rule says otherwise."""
        return {"rules": (), **given} if given.get("groups") else given

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Refuse a share of what is in no group where there are no groups."""
        if "others" in given and not given.get("groups"):
            message = _NO_GROUPS + got(given["others"])
            hint = "the weight of endpoints that no rule matches is `default`"
            yield Fault(path=("others",), message=message, hint=hint, at_key=True)

    def value_faults(self) -> Iterable[Fault]:
        """Refuse labels that are named twice: the second group would have no Pod."""
        yield from named_twice("groups", (each.match_labels for each in self.groups))
