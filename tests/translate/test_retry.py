"""Retry policies as parts of clusters: what must not be sent; goldens have the rest."""

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.route.v3 import RetryPolicy, RetryPolicyRetryBackOff

from tests.translate.mesh_input import sections
from xds_server.translate.check import LimitError
from xds_server.translate.limit import check_retry_policy
from xds_server.translate.retry import build_retry_policy


def built(**fields: object) -> RetryPolicy:
    message = build_retry_policy(sections({"retry": {}}).retry)
    assert message is not None
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def backoff(base: int, most: int) -> RetryPolicyRetryBackOff:
    return RetryPolicyRetryBackOff(
        base_interval=timedelta(seconds=base), max_interval=timedelta(seconds=most)
    )


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (built(retry_on="5xx,nonsense"), "a condition that is none"),
        (built(retry_on=""), "a condition that is none"),
        (built(num_retries=11), "num_retries"),
        (built(retry_back_off=None), "base_interval"),
        (built(retry_back_off=backoff(2, 1)), "base_interval > max_interval"),
        (built(per_try_timeout=timedelta(1)), "has no effect"),
    ],
)
def test_what_envoy_would_take_and_not_mean_is_not_sent(
    message: RetryPolicy, rule: str
) -> None:
    with pytest.raises(LimitError, match=rule):
        check_retry_policy(message)
