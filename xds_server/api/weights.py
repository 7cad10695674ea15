"""What share of the traffic each endpoint asks for (`weights`)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from xds_server.api.field import Address, LabelKey, Labels, complain
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.quantity import FORM, LONGEST, parse_quantity
from xds_server.api.schema import FORBIDDEN, REQUIRED, Rule, form, has_one_of
from xds_server.api.wording import got

WEIGHT_ANNOTATION: Final = "traffic.xds-server.dev/weight"
LARGEST_WEIGHT: Final = 1_000_000

_MATCHES: Final = ("matchLabels", "addresses")
_READS: Final = ("fromAnnotation", "fromLabel", "fromResourceRequest")
_QUANTITY: Final = "must be a Kubernetes quantity above 0, such as 100m or 1Gi"


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
    share: float = Field(gt=0, le=LARGEST_WEIGHT)


class Weights(Model):
    """Rules in order, the first that matches wins; `default` is for all others."""

    later = frozenset({"groups", "others"})

    rules: tuple[WeightRule, ...] = Field(
        default=(WeightRule(from_annotation=WEIGHT_ANNOTATION),), max_length=32
    )
    """The first that matches an endpoint gives its weight."""
    default: int = Field(default=1, ge=0, le=LARGEST_WEIGHT)
    """The weight of all others."""
    groups: tuple[WeightGroup, ...] = ()
    others: float = Field(default=0, ge=0, le=LARGEST_WEIGHT)
