"""Can the places of endpoints do what a policy asks of them?

A `locality` section and where it is to be in force in; what has no effect there out.
Where endpoints run is in `site`, whom that makes them near to in `preference`.
"""

from collections.abc import Iterator
from typing import Final

from xds_server.api import locality as api
from xds_server.api.policy import Locality
from xds_server.mesh.locality_weight import is_left_out
from xds_server.mesh.misfit import Fit, Misfit, Situation, fit_whole
from xds_server.mesh.model import Protocol
from xds_server.mesh.preference import Preference, near

_PODS: Final = "what Pods say is read from their manifests: give these, too"
_REMEDIES: Final = {
    api.NODE: "an EndpointSlice says it by nodeName",
    api.ZONE: "an EndpointSlice says it by zone, or a Node by its label",
    api.REGION: "Nodes say it by their label topology.kubernetes.io/region",
}


def fit_locality(locality: Locality, situation: Situation) -> Fit:
    """Return what speaks against *locality*, and what of it has no effect."""
    port = situation.port
    if locality.load_aware is not None and port.protocol is Protocol.TCP:
        misfit = Misfit(
            path=("type",),
            message=f"port {port.name or port.number} is TCP and its endpoints report "
            "nothing: their places do not count",
            hint="use type: ZoneAware, or give the port an HTTP appProtocol",
        )
        return fit_whole(misfit, situation)
    warnings = (
        *_incomparable(locality, situation),
        *_deserted(locality, situation),
        *_unzoned(locality, situation),
    )
    return Fit(warnings=warnings)


def _incomparable(locality: Locality, situation: Situation) -> Iterator[Misfit]:
    """Report what clients are compared by, and no endpoint has."""
    if locality.failover is None or not situation.backends:
        return
    preference = Preference(order=locality.failover.order)
    found = [
        near(each.site, situation.labels_of(each), preference)
        for each in situation.backends
    ]
    for position, part in enumerate(preference.order):
        if not any(values[position] for values in found):
            named = part.lower() if part in _REMEDIES else part.replace(":", " ")
            yield Misfit(
                path=("failover", "order", position),
                message=f"has no effect: of no endpoint a {named} is known",
                hint=_REMEDIES.get(part, _PODS),
            )


def _deserted(locality: Locality, situation: Situation) -> Iterator[Misfit]:
    """Report shares of places where nobody is, and rules that are for nobody."""
    weighted = locality.weighted
    if weighted is None:
        return
    for position, rule in enumerate(weighted.rules):
        path = ("weighted", "rules", position)
        own = rule.from_
        earlier = (each.from_ for each in weighted.rules[:position])
        if any(one is None or (own and one.covers(own)) for one in earlier):
            message = "is for nobody: an earlier rule is for all these clients"
            yield Misfit(path=path, message=message, hint="write this one before it")
        if situation.backends:
            found = {each.site.locality for each in situation.backends}
            if all(is_left_out(weighted, rule, each) for each in found):
                message = "leaves no endpoint: these clients get no answer but 503"
                yield Misfit(path=path, message=message)
            for place, share in enumerate(rule.to):
                here = {each for each in found if share.holds(each.region, each.zone)}
                if share.weight and not here:
                    message = "no endpoint is there: the others have its share"
                    yield Misfit(path=(*path, "to", place), message=message)
                found -= here


def _unzoned(locality: Locality, situation: Situation) -> Iterator[Misfit]:
    """Report zones that Envoy does not look at."""
    block, number = locality.zone_aware, len(situation.backends)
    if not number or not (block or locality.load_aware):
        return
    zones = {each.site.locality.zone for each in situation.backends}
    if zones == {""}:
        yield Misfit(
            path=("type",),
            message="has no effect: of no endpoint a zone is known",
            hint=_REMEDIES[api.ZONE],
        )
    elif block is not None and number < block.minimum_cluster_size:
        yield Misfit(
            path=("zoneAware", "minimumClusterSize"),
            message=f"zones do not count: there are {number} endpoints "
            f"(got {block.minimum_cluster_size})",
            hint="lower minimumClusterSize",
        )
