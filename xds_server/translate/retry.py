"""Build `envoy.config.route.v3.RetryPolicy`: which requests an Envoy sends again.

A section in, the policy of a cluster out: it is in the cluster's HttpProtocolOptions,
so that one change is one resource, whichever routes lead there. Of the fields there,
Envoy 1.40 passes over `per_try_timeout`: it asks the route alone for it.
"""

from typing import Final

from envoy_data_plane.envoy.config.route.v3 import (
    RetryPolicy,
    RetryPolicyRetryBackOff,
    RetryPolicyRetryHostPredicate,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import (
    PreviousHostsPredicate,
)
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import Retry
from xds_server.translate.limit import check_retry_policy

_SELECTIONS: Final = 3
"""So often another endpoint is looked for, before one that was tried is good enough."""


def build_retry_policy(section: Retry | None) -> RetryPolicy | None:
    """Return what *section* says; None where there is none.

    Raises:
        ValueError: it must not be sent to an Envoy.
    """
    if section is None:
        return None
    message = RetryPolicy(
        retry_on=",".join(section.retry_on),
        num_retries=section.attempts,
        retry_back_off=RetryPolicyRetryBackOff(
            base_interval=section.backoff.base, max_interval=section.backoff.max
        ),
    )
    if section.avoid_tried_endpoints:
        predicate = RetryPolicyRetryHostPredicate(
            name="envoy.retry_host_predicates.previous_hosts",
            typed_config=Any.pack(PreviousHostsPredicate()),
        )
        message.retry_host_predicate = [predicate]
        message.host_selection_retry_max_attempts = _SELECTIONS
    check_retry_policy(message)
    return message
