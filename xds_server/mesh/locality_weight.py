"""What share of the traffic each locality gets, by where the client is.

The rules of a policy, a client's place and the endpoints that there are in; a weight
for each locality out. A locality without a weight gets nothing, whatever the reason.
"""

from collections.abc import Collection, Mapping

from xds_server.api.policy import LocalityRule, Unlisted, WeightedLocality
from xds_server.mesh.model import Endpoint, Health, Locality
from xds_server.mesh.share import divide
from xds_server.xds import NOWHERE, Place


def rule_at(weighted: WeightedLocality, place: Place) -> LocalityRule | None:
    """Return the rule that counts for clients at *place*, None if none does."""
    for rule in weighted.rules:
        if rule.from_ is None or rule.from_.holds(place.region, place.zone):
            return rule
    return None


def nearest(weighted: WeightedLocality, place: Place) -> Place:
    """Return what of *place* the rule asks for that counts there."""
    rule = rule_at(weighted, place)
    if rule is None or rule.from_ is None:
        return NOWHERE
    return Place(region=rule.from_.region or "", zone=rule.from_.zone or "")


def is_left_out(
    weighted: WeightedLocality, rule: LocalityRule, locality: Locality
) -> bool:
    """Whether *rule* gives *locality* nothing."""
    group = _group(rule, locality)
    if group is None:
        return weighted.default is Unlisted.NONE
    return not rule.to[group].weight


def weigh_localities(
    weighted: WeightedLocality, place: Place, endpoints: Collection[Endpoint]
) -> Mapping[Locality, int]:
    """Return the weights of the localities of *endpoints*, for a client at *place*.

    Those that are left out have none. What a rule gives to a place, all localities
    there share by the number of their endpoints; where nobody is at it, the others have
    its share. Without a rule all endpoints are as if there were no localities. Whoever
    only drains keeps the least weight, which an Envoy counts as none.
    """
    rule = rule_at(weighted, place)
    if rule is None:
        return {each: weight or 1 for each, weight in _weights(endpoints).items()}
    members: dict[Locality, tuple[int, int]] = {}
    shares: list[float] = [float(each.weight) for each in rule.to]
    for locality, count in _counts(endpoints).items():
        if is_left_out(weighted, rule, locality):
            continue
        group = _group(rule, locality)
        if group is None:
            group = len(shares)
            shares.append(float(count))
        members[locality] = group, count
    found = divide(list(members.values()), shares)
    return dict(zip(members, (weight or 1 for weight in found), strict=True))


def _group(rule: LocalityRule, locality: Locality) -> int | None:
    """Return the position of the first place of *rule* that *locality* is at."""
    return next(
        (
            position
            for position, each in enumerate(rule.to)
            if each.holds(locality.region, locality.zone)
        ),
        None,
    )


def _counts(endpoints: Collection[Endpoint]) -> Mapping[Locality, int]:
    """Return how many endpoints of each locality take new requests."""
    found = dict.fromkeys(sorted({each.locality for each in endpoints}), 0)
    for each in endpoints:
        found[each.locality] += each.health is Health.HEALTHY
    return found


def _weights(endpoints: Collection[Endpoint]) -> Mapping[Locality, int]:
    """Return the sums of the weights of those, which are 1 where there are none."""
    found = dict.fromkeys(sorted({each.locality for each in endpoints}), 0)
    for each in endpoints:
        if each.health is Health.HEALTHY:
            found[each.locality] += 1 if each.weight is None else each.weight
    return found
