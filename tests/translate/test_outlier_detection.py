"""Outlier detection as a part of clusters: what ejects, and what must not be sent."""

from datetime import timedelta

import pytest
from envoy.config.cluster.v3 import cluster_pb2, outlier_detection_pb2
from envoy_data_plane.envoy.config.cluster.v3 import (
    OutlierDetection as EnvoyOutlierDetection,
)

from tests.translate.mesh_input import Spec, make_upstream, sections
from xds_server.translate.check import LimitError
from xds_server.translate.cluster import build_cluster
from xds_server.translate.limit import check_outlier_detection
from xds_server.translate.outlier_detection import build_outlier_detection


def detection(spec: Spec) -> outlier_detection_pb2.OutlierDetection:
    upstream = make_upstream(spec={"outlierDetection": spec})
    body = build_cluster(upstream).body
    return cluster_pb2.Cluster.FromString(body).outlier_detection


DETECTORS = {
    "enforcing_consecutive_5xx",
    "enforcing_consecutive_gateway_failure",
    "enforcing_consecutive_local_origin_failure",
    "enforcing_success_rate",
    "enforcing_local_origin_success_rate",
    "enforcing_failure_percentage",
    "enforcing_failure_percentage_local_origin",
}


@pytest.mark.parametrize(
    ("spec", "on"),
    [
        ({}, {"consecutive_5xx"}),
        (
            {"consecutiveGatewayErrors": 2},
            {"consecutive_5xx", "consecutive_gateway_failure"},
        ),
        (
            {"consecutive5xx": 0, "consecutiveLocalErrors": 2, "successRate": {}},
            {
                "consecutive_local_origin_failure",
                "success_rate",
                "local_origin_success_rate",
            },
        ),
        ({"consecutive5xx": 0, "failurePercentage": {}}, {"failure_percentage"}),
    ],
)
def test_what_is_written_ejects_and_nothing_else(spec: Spec, on: set[str]) -> None:
    """Envoy has a detector on by itself, so all are said."""
    found = detection(spec)

    assert {name: getattr(found, name).value for name in DETECTORS} == {
        name: 100 * (name.removeprefix("enforcing_") in on) for name in DETECTORS
    }
    assert all(found.HasField(name) for name in DETECTORS)


def test_without_the_section_nothing_is_detected() -> None:
    cluster = cluster_pb2.Cluster.FromString(build_cluster(make_upstream()).body)

    assert not cluster.HasField("outlier_detection")


def built(**fields: object) -> EnvoyOutlierDetection:
    message = build_outlier_detection(
        sections({"outlierDetection": {}}).outlier_detection
    )
    assert message is not None
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (built(interval=timedelta(0)), "interval"),
        (built(base_ejection_time=None), "base"),
        (built(max_ejection_time=timedelta(seconds=29)), "base > max"),
        (built(max_ejection_percent=101), "max_ejection_percent"),
        (built(max_ejection_percent=0, always_eject_one_host=False), "ejected"),
        (built(enforcing_success_rate=None), "left to Envoy"),
        (built(enforcing_consecutive_5xx=0), "no outlier detector"),
        (built(enforcing_success_rate=100, success_rate_stdev_factor=0), "threshold"),
        (built(consecutive_5xx=0), "threshold"),
    ],
)
def test_what_envoy_would_take_and_not_mean_is_not_sent(
    message: EnvoyOutlierDetection, rule: str
) -> None:
    with pytest.raises(LimitError, match=rule):
        check_outlier_detection(message)
