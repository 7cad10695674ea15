"""Connections as parts of clusters: what must not be sent; goldens have the rest."""

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import Http2ProtocolOptions
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)

from tests.translate.mesh_input import Spec, sections
from xds_server.mesh.model import Protocol
from xds_server.translate.check import LimitError
from xds_server.translate.connection import add_connection, http_protocol_options
from xds_server.translate.limit import check_connection, check_http_options

KEEPALIVE: Spec = {"connection": {"tcpKeepalive": {"probes": 3, "time": "1s"}}}


def cluster(**fields: object) -> Cluster:
    """Return a cluster with a keepalive; fields of it are those of its name."""
    message = Cluster()
    add_connection(message, Protocol.TCP, sections(KEEPALIVE))
    options = message.upstream_connection_options
    assert options is not None
    for name, value in fields.items():
        place = options.tcp_keepalive if name.startswith("keepalive") else message
        setattr(place, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (cluster(connect_timeout=timedelta(0)), "connect_timeout"),
        (cluster(connect_timeout=None), "connect_timeout"),
        (cluster(per_connection_buffer_limit_bytes=0), "a buffer of 0"),
        (cluster(keepalive_probes=128), "keepalive_probes"),
        (cluster(keepalive_time=0), "keepalive not"),
        (cluster(keepalive_interval=32768), "keepalive not"),
    ],
)
def test_connections_that_cannot_be_made_are_not_sent(
    message: Cluster, rule: str
) -> None:
    with pytest.raises(LimitError, match=rule):
        check_connection(message)


def options(spec: Spec) -> HttpProtocolOptions:
    written = {"connection": {"protocol": "HTTP2", **spec}}
    (packed,) = http_protocol_options(Protocol.HTTP2, sections(written)).values()
    return HttpProtocolOptions.parse(packed.value)


LIMITS: Spec = {"maxRequestsPerConnection": 1, "maxConnectionDuration": "1s"}
STREAMS: Spec = {"http2": {"maxConcurrentStreams": 1}}
PINGS: Spec = {"http2": {"keepalive": {"interval": "1s", "timeout": "1s"}}}


def test_what_http_options_say_is_whole() -> None:
    for spec in ({}, LIMITS, STREAMS, PINGS):
        check_http_options(options(spec))


def test_options_that_do_not_say_what_is_spoken_are_not_sent() -> None:
    with pytest.raises(LimitError, match="not one choice"):
        check_http_options(HttpProtocolOptions())


@pytest.mark.parametrize(
    ("spec", "name", "value", "rule"),
    [
        (LIMITS, "max_requests_per_connection", 0, "0 requests a connection"),
        (LIMITS, "max_connection_duration", timedelta(0), "max_connection_duration"),
    ],
)
def test_limits_of_0_are_not_sent(
    spec: Spec, name: str, value: object, rule: str
) -> None:
    message = options(spec)
    setattr(message.common_http_protocol_options, name, value)

    with pytest.raises(LimitError, match=rule):
        check_http_options(message)


def test_what_envoy_refuses_of_http2_is_not_sent() -> None:
    streams, pings = options(STREAMS), options(PINGS)
    http2 = Http2ProtocolOptions(max_concurrent_streams=0)
    streams.explicit_http_config = HttpProtocolOptionsExplicitHttpConfig(
        http2_protocol_options=http2
    )
    assert pings.explicit_http_config is not None
    assert pings.explicit_http_config.http2_protocol_options is not None
    keepalive = pings.explicit_http_config.http2_protocol_options.connection_keepalive
    assert keepalive is not None
    keepalive.timeout = timedelta(0)

    with pytest.raises(LimitError, match="0 concurrent streams"):
        check_http_options(streams)
    with pytest.raises(LimitError, match="a keepalive below 1 ms"):
        check_http_options(pings)
