"""What limits rates, failures and requests at once: what must not be sent of it.

Goldens have the rest.
"""

from datetime import timedelta

import pytest

from tests.translate.mesh_input import sections
from xds_server.api.policy import (
    AdaptiveConcurrency as Adaptive,
    AdmissionControl,
    RateLimit,
)
from xds_server.translate.adaptive_concurrency import build_adaptive_concurrency
from xds_server.translate.admission_control import build_admission_filters
from xds_server.translate.check import LimitError
from xds_server.translate.rate_limit import build_rate_limit


def limit(**fields: object) -> RateLimit:
    found = sections({"rateLimit": {"requests": 5}}).rate_limit
    assert found is not None
    return found.model_copy(update=fields)


def control(**fields: object) -> AdmissionControl:
    found = sections({"admissionControl": {}}).admission_control
    assert found is not None
    return found.model_copy(update=fields)


def test_a_bucket_holds_what_comes_in_its_time_unless_it_is_said() -> None:
    held = [
        build_rate_limit(each, "web").token_bucket for each in (limit(), limit(burst=1))
    ]

    assert [each and each.max_tokens for each in held] == [5, 1]


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (limit(requests=0), "a bucket that stays empty"),
        (limit(burst=0), "a bucket that stays empty"),
        (limit(per=timedelta(milliseconds=49)), "less than 50 ms"),
    ],
)
def test_a_bucket_that_envoy_refuses_or_that_refuses_all_is_not_sent(
    wrong: RateLimit, rule: str
) -> None:
    with pytest.raises(LimitError, match=rule):
        build_rate_limit(wrong, "web")


def adaptive(min_rtt: dict[str, object] | None = None, **fields: object) -> Adaptive:
    found = sections({"adaptiveConcurrency": {}}).adaptive_concurrency
    assert found is not None
    fields["min_rtt"] = found.min_rtt.model_copy(update=min_rtt or {})
    return found.model_copy(update=fields)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (adaptive(min_concurrency=0), "min_concurrency"),
        (adaptive(max_concurrency=2), "min_concurrency > max_concurrency_limit"),
        (adaptive(update_interval=timedelta(0)), "concurrency_update_interval"),
        (adaptive(sample_percentile=float("nan")), "a percentage"),
        (adaptive({"interval": timedelta(0)}), "a minRTT or its interval"),
        (adaptive({"fixed_value": timedelta(microseconds=1)}), "a minRTT"),
        (adaptive({"request_count": 0}), "a minRTT of no requests"),
        (adaptive({"jitter_percent": 101}), "a percentage"),
        (adaptive({"buffer_percent": float("inf")}), "a percentage"),
    ],
)
def test_a_limit_that_cannot_adapt_is_not_sent(wrong: Adaptive, rule: str) -> None:
    with pytest.raises(LimitError, match=rule):
        build_adaptive_concurrency(wrong)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (control(sampling_window=timedelta(0)), "a sampling window below 1 s"),
        (control(sampling_window=timedelta(seconds=1.5)), "not whole seconds"),
        (control(success_rate_threshold=0.5), "sr_threshold"),
        (control(success_rate_threshold=float("nan")), "sr_threshold"),
        (control(max_rejection_percent=0), "max_rejection_probability"),
        (control(max_rejection_percent=float("nan")), "max_rejection_probability"),
        (control(aggression=0), "aggression"),
        (control(success_statuses=()), "no status is a success"),
        (control(success_statuses=("300-200",)), "statuses that are none"),
    ],
)
def test_what_envoy_refuses_or_does_otherwise_is_not_sent(
    wrong: AdmissionControl, rule: str
) -> None:
    with pytest.raises(LimitError, match=rule):
        build_admission_filters(wrong)
