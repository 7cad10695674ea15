"""Build `ClusterLoadAssignment.Policy`: what an Envoy does with an assignment.

Sections in; a part of an assignment, and how often it must be sent again, out.
"""

from datetime import timedelta
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.type.v3 import percent_pb2

from xds_server.api.policy import Overload, StaleEndpoints
from xds_server.mesh.model import Discovery, Upstream
from xds_server.translate.check import TranslateError
from xds_server.translate.name import cluster_name

_CATEGORY: Final = "policy"
_MARK: Final = "traffic.xds-server.dev"
_MILLIONTHS: Final = 10_000
"""Of the whole, in one percent."""
_SENDS: Final = 3
"""So many in the time after which endpoints are stale: two may be lost."""


def add_policy(
    assignment: endpoint_pb2.ClusterLoadAssignment, upstream: Upstream
) -> None:
    """Add to the *assignment* of *upstream* what its policies say of it as a whole.

    Raises:
        TranslateError: Envoy would take it and not mean it, or lose all endpoints.
    """
    overload = upstream.sections.overload
    stale_endpoints = upstream.sections.stale_endpoints
    is_said = overload is not None or stale_endpoints is not None
    if is_said and upstream.discovery is Discovery.DNS:
        reason = "a policy of an assignment, where DNS finds the endpoints"
        raise TranslateError(cluster_name(upstream), reason)
    locality = upstream.sections.locality
    if locality is not None and locality.failover is not None:
        factor = assignment.policy.overprovisioning_factor
        factor.value = locality.failover.overprovisioning_percent
    if overload is not None:
        add_drops(assignment, overload)
    if stale_endpoints is not None:
        after = assignment.policy.endpoint_stale_after
        after.FromTimedelta(stale_endpoints.after)


def add_drops(
    assignment: endpoint_pb2.ClusterLoadAssignment, overload: Overload
) -> None:
    """Add how many requests are turned away: as fine as Envoy draws, and never none."""
    assignment.policy.drop_overloads.add(
        category=_CATEGORY,
        drop_percentage=percent_pb2.FractionalPercent(
            numerator=max(1, round(overload.drop_percent * _MILLIONTHS)),
            denominator=percent_pb2.FractionalPercent.MILLION,
        ),
    )


def mark_of(overload: Overload | None) -> base_pb2.Metadata:
    """Return the metadata of endpoints by which Envoy notices a changed *overload*.

    Envoy 1.40 accepts an assignment in which nothing but drops has changed, and goes on
    as before until an endpoint changes (measured); a change of metadata is one.
    """
    mark = base_pb2.Metadata()
    if overload is not None:
        mark.filter_metadata[_MARK].update({"dropPercent": overload.drop_percent})
    return mark


def refresh_of(stale_endpoints: StaleEndpoints | None) -> timedelta | None:
    """Return how often an assignment must be sent again; None if it need not."""
    return stale_endpoints.after / _SENDS if stale_endpoints else None
