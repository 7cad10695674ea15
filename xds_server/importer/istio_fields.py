"""What becomes of each field of a DestinationRule's `trafficPolicy`.

Of networking.istio.io, v1, v1beta1 and v1alpha3, which have the same fields. What Istio
makes of a field in Envoy is what counts, not its name: a 0 is often none there. What it
does where a field is left out is in `istio_defaults`.
"""

from typing import Final

from xds_server.importer.istio_value import (
    cookie_differs,
    read_cookie,
    read_distribution,
    read_priorities,
    read_proxy_protocol,
)
from xds_server.importer.table import Table, carried, left, seen_to
from xds_server.importer.value import (
    NOTHING,
    NotCarriedError,
    choice,
    count,
    count_unless_zero,
    duration,
    switch,
)

_POOL: Final = "connectionPool"
_HASH: Final = "loadBalancer.consistentHash"
_HTTP_ALONE: Final = (
    "of ports that speak HTTP alone here; where the Service has none, `check` refuses "
    "the policy"
)
_PLACES: Final = "loadBalancer.localityLbSetting"

_PASSTHROUGH: Final = NotCarriedError(
    "requests go to the endpoints of a Service here, never around them",
    "leave the Service out of the mesh: no policy is needed for that",
)


_LOAD_BALANCER: Final = (
    carried(
        "loadBalancer.simple",
        "loadBalancer.type",
        choice(
            {
                "ROUND_ROBIN": "RoundRobin",
                "LEAST_REQUEST": "LeastRequest",
                "LEAST_CONN": "LeastRequest",
                "RANDOM": "Random",
                "UNSPECIFIED": "LeastRequest",
                "PASSTHROUGH": _PASSTHROUGH,
            }
        ),
    ),
    carried(
        f"{_HASH}.httpHeaderName",
        "loadBalancer.hashOn[]",
        lambda name: {"header": {"name": name}},
    ),
    carried(
        f"{_HASH}.httpCookie",
        "loadBalancer.hashOn[]",
        read_cookie,
        differs=cookie_differs,
    ),
    carried(
        f"{_HASH}.httpQueryParameterName",
        "loadBalancer.hashOn[]",
        lambda name: {"queryParameter": {"name": name}},
    ),
    carried(
        f"{_HASH}.useSourceIp",
        "loadBalancer.hashOn[]",
        switch(on={"sourceIP": {}}, off=NotCarriedError("it hashes by nothing")),
    ),
    carried(
        f"{_HASH}.maglev.tableSize", "loadBalancer.maglev.tableSize", count_unless_zero
    ),
    carried(
        f"{_HASH}.ringHash.minimumRingSize",
        "loadBalancer.ringHash.minimumRingSize",
        count_unless_zero,
    ),
    carried(
        f"{_HASH}.minimumRingSize",
        "loadBalancer.ringHash.minimumRingSize",
        count_unless_zero,
    ),
    carried("loadBalancer.warmup.duration", "loadBalancer.slowStart.window", duration),
    carried(
        "loadBalancer.warmupDurationSecs", "loadBalancer.slowStart.window", duration
    ),
    carried(
        "loadBalancer.warmup.minimumPercent", "loadBalancer.slowStart.minWeightPercent"
    ),
    carried("loadBalancer.warmup.aggression", "loadBalancer.slowStart.aggression"),
    carried(f"{_PLACES}.enabled", "locality.type", switch(on=NOTHING, off="None")),
    carried(f"{_PLACES}.distribute[]", "locality.weighted.rules[]", read_distribution),
    carried(f"{_PLACES}.failoverPriority", "locality.failover.order", read_priorities),
    left(
        f"{_PLACES}.failover",
        "which region is the next cannot be said",
        "locality.failover.order: [Zone, Region] is for whatever is nearer",
    ),
)

_CONNECTION_POOL: Final = (
    carried(
        f"{_POOL}.tcp.maxConnections",
        "circuitBreaker.maxConnections",
        count_unless_zero,
    ),
    carried(f"{_POOL}.tcp.connectTimeout", "connection.connectTimeout", duration),
    carried(
        f"{_POOL}.tcp.tcpKeepalive.probes",
        "connection.tcpKeepalive.probes",
        count_unless_zero,
    ),
    carried(f"{_POOL}.tcp.tcpKeepalive.time", "connection.tcpKeepalive.time", duration),
    carried(
        f"{_POOL}.tcp.tcpKeepalive.interval",
        "connection.tcpKeepalive.interval",
        duration,
    ),
    carried(
        f"{_POOL}.tcp.maxConnectionDuration",
        "connection.maxConnectionDuration",
        duration,
        differs=_HTTP_ALONE,
    ),
    carried(
        f"{_POOL}.http.http1MaxPendingRequests",
        "circuitBreaker.maxPendingRequests",
        count_unless_zero,
    ),
    carried(
        f"{_POOL}.http.http2MaxRequests",
        "circuitBreaker.maxRequests",
        count_unless_zero,
    ),
    carried(f"{_POOL}.http.maxRetries", "circuitBreaker.maxRetries", count_unless_zero),
    carried(
        f"{_POOL}.http.maxRequestsPerConnection",
        "connection.maxRequestsPerConnection",
        count_unless_zero,
    ),
    carried(f"{_POOL}.http.idleTimeout", "connection.idleTimeout", duration),
    carried(
        f"{_POOL}.tcp.idleTimeout",
        "connection.idleTimeout",
        duration,
        differs=_HTTP_ALONE,
    ),
    carried(
        f"{_POOL}.http.useClientProtocol", "connection.protocol", switch(on="Same")
    ),
    carried(
        f"{_POOL}.http.h2UpgradePolicy",
        "connection.protocol",
        choice({"UPGRADE": "HTTP2", "DO_NOT_UPGRADE": NOTHING, "DEFAULT": NOTHING}),
    ),
    carried(
        f"{_POOL}.http.maxConcurrentStreams",
        "connection.http2.maxConcurrentStreams",
        count_unless_zero,
    ),
)

_OUTLIERS: Final = (
    carried(
        "outlierDetection.consecutive5xxErrors",
        "outlierDetection.consecutive5xx",
        count,
    ),
    carried(
        "outlierDetection.consecutiveGatewayErrors",
        "outlierDetection.consecutiveGatewayErrors",
        count_unless_zero,
    ),
    carried(
        "outlierDetection.consecutiveLocalOriginFailures",
        "outlierDetection.consecutiveLocalErrors",
        count_unless_zero,
    ),
    *seen_to("outlierDetection.splitExternalLocalOriginErrors"),
    carried("outlierDetection.interval", "outlierDetection.interval", duration),
    carried(
        "outlierDetection.baseEjectionTime",
        "outlierDetection.baseEjectionTime",
        duration,
    ),
    carried(
        "outlierDetection.maxEjectionPercent",
        "outlierDetection.maxEjectionPercent",
        count_unless_zero,
    ),
    carried("outlierDetection.minHealthPercent", "panicThreshold", count),
    left(
        "outlierDetection.consecutiveErrors",
        "Istio does not read it any more",
        "outlierDetection.consecutiveGatewayErrors counts 502, 503 and 504",
    ),
)

_TLS: Final = (
    carried(
        "tls.mode",
        "tls.mode",
        choice(
            {
                "DISABLE": "Disable",
                "SIMPLE": "Simple",
                "MUTUAL": "Mutual",
                "ISTIO_MUTUAL": NotCarriedError(
                    "there are no certificates of the mesh here: requests are not "
                    "encrypted",
                    "mount certificates beside the Envoys, and name them in tls",
                ),
            }
        ),
    ),
    carried("tls.clientCertificate", "tls.clientCertificate.certFile"),
    carried("tls.privateKey", "tls.clientCertificate.keyFile"),
    carried("tls.caCertificates", "tls.ca.file"),
    carried("tls.subjectAltNames[]", "tls.subjectAltNames[]"),
    carried("tls.sni", "tls.sni"),
    carried("tls.insecureSkipVerify", "tls.insecureSkipVerify", switch(on=True)),
    left(
        "tls.credentialName",
        "certificates are files beside the Envoy here",
        "mount the Secret, and name its files",
    ),
    left("tls.caCrl", "lists of revoked certificates are not read"),
)

_COMMON: Final = (
    *_LOAD_BALANCER,
    *_CONNECTION_POOL,
    *_OUTLIERS,
    *_TLS,
)

PORT: Final = Table((*_COMMON, *seen_to("port.number")))
"""Of an item of `portLevelSettings`."""

TRAFFIC_POLICY: Final = Table(
    (
        *_COMMON,
        *seen_to("portLevelSettings"),
        left(
            "tunnel",
            "connections go straight to the endpoints",
            "a Service whose endpoints are the proxy's",
        ),
        carried("proxyProtocol", "connection.proxyProtocol", read_proxy_protocol),
    )
)

RULE: Final = Table(
    seen_to("host", "trafficPolicy", "exportTo", "workloadSelector", "subsets")
)
"""Of a DestinationRule's spec: code sees to each of its fields."""
