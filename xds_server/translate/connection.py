"""Build what a cluster says of connections to its endpoints: timeouts, and HTTP.

Sections and what a port speaks in; parts of a cluster out. Envoy refuses
HttpProtocolOptions that do not say what is spoken, so this is where they are made, with
the retry policy and the filters that belong into them too.
"""

from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, UpstreamConnectionOptions
from envoy_data_plane.envoy.config.core.v3 import (
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions as CommonHttpProtocolOptions,
    KeepaliveSettings,
    TcpKeepalive as EnvoyTcpKeepalive,
)
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import (
    UpstreamCodec,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: E501 - Envoy's name
    HttpFilter,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsAutoHttpConfig,
    HttpProtocolOptionsExplicitHttpConfig,
    HttpProtocolOptionsUseDownstreamHttpConfig,
)
from envoy_data_plane.google.protobuf import Any

from xds_server.api.policy import (
    AdmissionControl,
    Connection,
    Http2Connection,
    LoadBalancer,
    SpokenProtocol,
    TcpKeepalive,
)
from xds_server.mesh.model import Protocol, Sections
from xds_server.translate.admission_control import build_admission_filters
from xds_server.translate.check import require
from xds_server.translate.limit import check_connection, check_http_options
from xds_server.translate.load_report import build_measuring_filters
from xds_server.translate.retry import build_retry_policy

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
"""Of clusters that no policy is for."""

HTTP1_IDLE_TIMEOUT: Final = timedelta(seconds=4)
"""How long an idle HTTP/1 connection to an endpoint is kept for the next request.

Servers close idle connections too (Node.js, Apache and uvicorn after 5 s); a request
that is sent while they do is lost and answered with 503. Whoever closes first is safe.
HTTP/2 says goodbye properly (GOAWAY) and keeps Envoy's default of 1 h.
"""

HTTP_PROTOCOL_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
"""The key of HttpProtocolOptions in `typed_extension_protocol_options`."""

_CODEC: Final = HttpFilter(
    name="envoy.filters.http.upstream_codec", typed_config=Any.pack(UpstreamCodec())
)
_DEFAULT: Final = Connection()
_EITHER: Final = (SpokenProtocol.SAME, SpokenProtocol.AUTO)


def add_connection(
    cluster: Cluster,
    protocol: Protocol,
    sections: Sections,
    measured: LoadBalancer | None = None,
) -> None:
    """Add to *cluster* how it is connected with its endpoints, who speak *protocol*.

    *measured* is its load balancer where that goes by what Envoys measure.

    Raises:
        ValueError: it must not be sent to an Envoy.
    """
    connection = sections.connection or _DEFAULT
    cluster.connect_timeout = connection.connect_timeout
    cluster.per_connection_buffer_limit_bytes = connection.buffer_limit_bytes
    if connection.tcp_keepalive is not None:
        cluster.upstream_connection_options = UpstreamConnectionOptions(
            tcp_keepalive=_tcp_keepalive(connection.tcp_keepalive)
        )
    check_connection(cluster)
    cluster.typed_extension_protocol_options = http_protocol_options(
        protocol, sections, measured
    )


def http_protocol_options(
    protocol: Protocol, sections: Sections, measured: LoadBalancer | None = None
) -> dict[str, Any]:
    """Return `typed_extension_protocol_options`: what is spoken, and sent again.

    What is spoken is the port's own protocol, whatever the client speaks, unless a
    policy says otherwise. None for TCP: Envoy would hold HTTP options for a cluster
    that no HTTP route leads to.
    """
    if protocol is Protocol.TCP:
        return {}
    connection = sections.connection or _DEFAULT
    options = HttpProtocolOptions(
        common_http_protocol_options=_common(connection, protocol),
        retry_policy=build_retry_policy(sections.retry),
        http_filters=_upstream_filters(sections.admission_control, measured),
    )
    http2 = _http2(connection.http2)
    if connection.protocol is SpokenProtocol.AUTO:
        is_encrypted = sections.tls is not None and sections.tls.is_on
        require(is_encrypted, "auto_config without TLS, which Envoy refuses")
        options.auto_config = HttpProtocolOptionsAutoHttpConfig(
            http_protocol_options=Http1ProtocolOptions(),
            http2_protocol_options=http2,
        )
    elif connection.protocol is SpokenProtocol.SAME:
        options.use_downstream_protocol_config = (
            HttpProtocolOptionsUseDownstreamHttpConfig(
                http_protocol_options=Http1ProtocolOptions(),
                http2_protocol_options=http2,
            )
        )
    elif protocol is Protocol.HTTP2:
        options.explicit_http_config = HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=http2
        )
    else:
        options.explicit_http_config = HttpProtocolOptionsExplicitHttpConfig(
            http_protocol_options=Http1ProtocolOptions()
        )
    check_http_options(options)
    return {HTTP_PROTOCOL_OPTIONS: Any.pack(options)}


def _upstream_filters(
    admission_control: AdmissionControl | None, measured: LoadBalancer | None
) -> list[HttpFilter]:
    """Return the filters of a cluster: none, or some that end in Envoy's codec.

    Answers pass them backwards: what is refused here has no time that an endpoint took.
    """
    found = build_admission_filters(admission_control)
    if measured is not None:
        found += build_measuring_filters(measured)
    return [*found, _CODEC] if found else []


def _common(
    connection: Connection, protocol: Protocol
) -> CommonHttpProtocolOptions | None:
    """Return what holds for every version of HTTP; None where that is Envoy's own.

    A connection of HTTP/1 may be one also where the client's protocol is spoken, or
    the best that an endpoint offers.
    """
    idle_timeout = connection.idle_timeout
    may_be_http1 = protocol is Protocol.HTTP1 or connection.protocol in _EITHER
    if idle_timeout is None and may_be_http1:
        idle_timeout = HTTP1_IDLE_TIMEOUT
    limits = (
        idle_timeout,
        connection.max_connection_duration,
        connection.max_requests_per_connection,
    )
    if limits == (None,) * len(limits):
        return None
    return CommonHttpProtocolOptions(
        idle_timeout=idle_timeout,
        max_connection_duration=connection.max_connection_duration,
        max_requests_per_connection=connection.max_requests_per_connection,
    )


def _http2(block: Http2Connection | None) -> Http2ProtocolOptions:
    if block is None:
        return Http2ProtocolOptions()
    keepalive = None
    if block.keepalive is not None:
        keepalive = KeepaliveSettings(
            interval=block.keepalive.interval, timeout=block.keepalive.timeout
        )
    return Http2ProtocolOptions(
        max_concurrent_streams=block.max_concurrent_streams,
        connection_keepalive=keepalive,
    )


def _tcp_keepalive(block: TcpKeepalive) -> EnvoyTcpKeepalive:
    return EnvoyTcpKeepalive(
        keepalive_probes=block.probes,
        keepalive_time=_seconds(block.time),
        keepalive_interval=_seconds(block.interval),
    )


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else int(duration.total_seconds())
