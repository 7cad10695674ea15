"""What becomes of each field of a BackendTrafficPolicy's spec.

Of gateway.envoyproxy.io/v1alpha1. What Envoy Gateway makes of a field in Envoy is what
counts. What holds there where a field is left out is in `gateway_defaults`.
"""

from typing import Final

from xds_server.importer.gateway_value import (
    cookie_differs,
    read_cookie,
    read_header,
    read_limit,
    read_parameter,
    read_payload,
    read_penalty,
    read_percent,
    read_statuses,
    read_trigger,
    read_zones,
)
from xds_server.importer.table import Table, carried, left, seen_to
from xds_server.importer.value import (
    NOTHING,
    NotCarriedError,
    choice,
    count,
    count_unless_zero,
    duration,
    size,
    switch,
)

_HASH: Final = "loadBalancer.consistentHash"
_LOAD: Final = "loadBalancer.backendUtilization"
_PERFORMANCE: Final = "loadBalancer.performanceBased"
_LOCAL: Final = "loadBalancer.zoneAware.preferLocal"
_CHECK: Final = "healthCheck.active"
_PASSIVE: Final = "healthCheck.passive"
_ROUTE: Final = "it is of requests on a route, and policies are of endpoints"


_LOAD_BALANCER: Final = (
    carried(
        "loadBalancer.type",
        "loadBalancer.type",
        choice(
            {
                "RoundRobin": "RoundRobin",
                "LeastRequest": "LeastRequest",
                "Random": "Random",
                "ConsistentHash": "Maglev",
                "BackendUtilization": "PerformanceBased",
                "DynamicModule": NotCarriedError("Envoy gets no modules here"),
            }
        ),
    ),
    carried(
        f"{_HASH}.type",
        "loadBalancer.hashOn[]",
        choice(
            {
                "SourceIP": {"sourceIP": {}},
                "Header": NOTHING,
                "Headers": NOTHING,
                "Cookie": NOTHING,
                "QueryParams": NOTHING,
            }
        ),
    ),
    carried(f"{_HASH}.header", "loadBalancer.hashOn[]", read_header),
    carried(f"{_HASH}.headers[]", "loadBalancer.hashOn[]", read_header),
    carried(f"{_HASH}.queryParams[]", "loadBalancer.hashOn[]", read_parameter),
    carried(
        f"{_HASH}.cookie", "loadBalancer.hashOn[]", read_cookie, differs=cookie_differs
    ),
    carried(f"{_HASH}.tableSize", "loadBalancer.maglev.tableSize", count),
    carried("loadBalancer.slowStart.window", "loadBalancer.slowStart.window", duration),
    carried(f"{_LOAD}.blackoutPeriod", f"{_PERFORMANCE}.blackoutPeriod", duration),
    carried(f"{_LOAD}.weightExpirationPeriod", f"{_PERFORMANCE}.expiration", duration),
    carried(f"{_LOAD}.weightUpdatePeriod", f"{_PERFORMANCE}.updatePeriod", duration),
    carried(
        f"{_LOAD}.errorUtilizationPenaltyPercent",
        f"{_PERFORMANCE}.errorPenalty",
        read_penalty,
    ),
    carried(
        f"{_LOAD}.metricNamesForComputingUtilization[]", f"{_PERFORMANCE}.metrics[]"
    ),
    carried(
        f"{_LOAD}.keepResponseHeaders",
        _PERFORMANCE,
        switch(on=NotCarriedError("endpoints' reports are not taken out of answers")),
    ),
    carried(
        f"{_LOCAL}.minEndpointsThreshold",
        "locality.zoneAware.minimumClusterSize",
        count,
    ),
    carried(f"{_LOCAL}.percentageEnabled", "locality.zoneAware.routingPercent", count),
    carried(
        f"{_LOCAL}.force.minEndpointsInZoneThreshold",
        "locality.zoneAware.forceLocalZone.minimumEndpoints",
        count,
    ),
    carried(
        "loadBalancer.zoneAware.weightedZones",
        "locality.weighted.rules",
        read_zones,
        differs="a zone that is not listed has as much weight as it has endpoints; in "
        "Envoy Gateway 1",
    ),
    carried(
        "loadBalancer.endpointOverride.extractFrom[].header",
        "overrideHost.header.name",
    ),
)

_HEALTH: Final = (
    carried("healthCheck.panicThreshold", "panicThreshold", count),
    carried(f"{_CHECK}.type", "healthCheck.type"),
    carried(f"{_CHECK}.timeout", "healthCheck.timeout", duration),
    carried(f"{_CHECK}.interval", "healthCheck.interval", duration),
    carried(f"{_CHECK}.unhealthyThreshold", "healthCheck.unhealthyThreshold", count),
    carried(f"{_CHECK}.healthyThreshold", "healthCheck.healthyThreshold", count),
    carried(f"{_CHECK}.overrides.port", "healthCheck.port", count),
    carried(f"{_CHECK}.http.path", "healthCheck.http.path"),
    carried(f"{_CHECK}.http.hostname", "healthCheck.http.host"),
    carried(f"{_CHECK}.http.method", "healthCheck.http.method"),
    carried(
        f"{_CHECK}.http.expectedStatuses",
        "healthCheck.http.expectedStatuses",
        read_statuses,
    ),
    carried(
        f"{_CHECK}.http.retriableStatuses",
        "healthCheck.http",
        lambda _: NOTHING,
    ),
    carried(f"{_CHECK}.grpc.service", "healthCheck.grpc.service"),
    carried(f"{_CHECK}.tcp.send", "healthCheck.tcp.send", read_payload),
    carried(f"{_CHECK}.tcp.receive", "healthCheck.tcp.receive[]", read_payload),
    left(
        f"{_CHECK}.initialJitter",
        "a new endpoint is checked at once",
        "jitterPercent spreads the checks that follow",
    ),
    left(f"{_CHECK}.http.expectedResponse", "the status of an answer decides"),
    left(f"{_CHECK}.http.requestBody", "a check has no body"),
)

_OUTLIERS: Final = (
    carried(
        f"{_PASSIVE}.consecutive5XxErrors", "outlierDetection.consecutive5xx", count
    ),
    carried(
        f"{_PASSIVE}.consecutiveGatewayErrors",
        "outlierDetection.consecutiveGatewayErrors",
        count_unless_zero,
    ),
    carried(
        f"{_PASSIVE}.consecutiveLocalOriginFailures",
        "outlierDetection.consecutiveLocalErrors",
        count_unless_zero,
    ),
    *seen_to(f"{_PASSIVE}.splitExternalLocalOriginErrors"),
    carried(
        f"{_PASSIVE}.failurePercentageThreshold",
        "outlierDetection.failurePercentage.threshold",
        count,
    ),
    carried(f"{_PASSIVE}.interval", "outlierDetection.interval", duration),
    carried(
        f"{_PASSIVE}.baseEjectionTime", "outlierDetection.baseEjectionTime", duration
    ),
    carried(
        f"{_PASSIVE}.maxEjectionPercent",
        "outlierDetection.maxEjectionPercent",
        count_unless_zero,
    ),
    carried(
        f"{_PASSIVE}.alwaysEjectOneEndpoint",
        "outlierDetection.alwaysEjectOne",
        switch(on=True, off=False),
    ),
)

_LIMITS: Final = (
    carried("circuitBreaker.maxConnections", "circuitBreaker.maxConnections", count),
    carried(
        "circuitBreaker.maxPendingRequests", "circuitBreaker.maxPendingRequests", count
    ),
    carried("circuitBreaker.maxParallelRequests", "circuitBreaker.maxRequests", count),
    carried("circuitBreaker.maxParallelRetries", "circuitBreaker.maxRetries", count),
    carried(
        "circuitBreaker.retryBudget.percent",
        "circuitBreaker.retryBudget.percent",
        read_percent,
    ),
    carried(
        "circuitBreaker.retryBudget.minRetryConcurrency",
        "circuitBreaker.retryBudget.minRetryConcurrency",
        count,
    ),
    carried(
        "circuitBreaker.perEndpoint.maxConnections",
        "circuitBreaker.perEndpoint.maxConnections",
        count,
    ),
    carried(
        "circuitBreaker.maxRequestsPerConnection",
        "connection.maxRequestsPerConnection",
        count_unless_zero,
    ),
)

_RETRY: Final = (
    carried("retry.numRetries", "retry.attempts", count),
    carried("retry.retryOn.triggers[]", "retry.retryOn[]", read_trigger),
    carried("retry.perRetry.backOff.baseInterval", "retry.backoff.base", duration),
    carried("retry.perRetry.backOff.maxInterval", "retry.backoff.max", duration),
    left(
        "retry.retryOn.httpStatusCodes",
        "statuses are not named one by one here",
        "gateway-error is 502 to 504, 5xx any of 500 to 599",
    ),
    left(
        "retry.perRetry.timeout",
        "Envoy knows a time limit of each try on routes alone",
        "limit the time where the request is made",
    ),
    left(
        "retry.numAttemptsPerPriority", "each try goes to the first priority that can"
    ),
)

_CONNECTION: Final = (
    carried("timeout.tcp.connectTimeout", "connection.connectTimeout", duration),
    carried("timeout.http.connectionIdleTimeout", "connection.idleTimeout", duration),
    carried(
        "timeout.http.maxConnectionDuration",
        "connection.maxConnectionDuration",
        duration,
    ),
    *(
        left(
            f"timeout.http.{name}",
            "it is of a route",
            "limit the time where the request is made",
        )
        for name in ("requestTimeout", "maxStreamDuration", "streamIdleTimeout")
    ),
    carried("tcpKeepalive.probes", "connection.tcpKeepalive.probes", count),
    carried("tcpKeepalive.idleTime", "connection.tcpKeepalive.time", duration),
    carried("tcpKeepalive.interval", "connection.tcpKeepalive.interval", duration),
    carried("connection.bufferLimit", "connection.bufferLimitBytes", size),
    carried(
        "proxyProtocol.version",
        "connection.proxyProtocol",
        choice({"V1": "V1", "V2": "V2"}),
    ),
    left("connection.socketBufferLimit", "the kernel's is used"),
    left("connection.preconnect", "connections are made when they are needed"),
    carried("useClientProtocol", "connection.protocol", switch(on="Same")),
    carried(
        "http2.maxConcurrentStreams", "connection.http2.maxConcurrentStreams", count
    ),
    carried(
        "http2.connectionKeepalive.interval",
        "connection.http2.keepalive.interval",
        duration,
    ),
    carried(
        "http2.connectionKeepalive.timeout",
        "connection.http2.keepalive.timeout",
        duration,
    ),
    *(
        left(f"http2.{name}", "Envoy's own is used")
        for name in (
            "initialStreamWindowSize",
            "initialConnectionWindowSize",
            "onInvalidMessage",
            "connectionKeepalive.intervalJitter",
            "connectionKeepalive.idleInterval",
        )
    ),
)

_REFUSALS: Final = (
    carried(
        "rateLimit.type", "rateLimit", choice({"Local": NOTHING, "Global": NOTHING})
    ),
    carried(
        "rateLimit.local.rules[]",
        "rateLimit",
        read_limit,
        differs="of all requests to the Service, not to a route; what is let through "
        "again comes evenly, there all at once when the time is over",
    ),
    left("rateLimit.global", "each Envoy counts by itself, and none for all"),
    carried(
        "admissionControl.samplingWindow", "admissionControl.samplingWindow", duration
    ),
    carried(
        "admissionControl.minSuccessRate",
        "admissionControl.successRateThreshold",
        count,
    ),
    carried(
        "admissionControl.rejectionAggression", "admissionControl.aggression", count
    ),
    carried("admissionControl.minRequestRate", "admissionControl.rpsThreshold", count),
    carried(
        "admissionControl.maxRejectionPercent",
        "admissionControl.maxRejectionPercent",
        count,
    ),
    carried(
        "admissionControl.successCriteria.http.statusCodes",
        "admissionControl.successStatuses",
        read_statuses,
    ),
    left("admissionControl.successCriteria.grpc", "Envoy's own is used"),
)

_ROUTES: Final = (
    *seen_to("targetRef", "targetRefs", "targetSelectors"),
    left(
        "mergeType",
        "of a policy nearer to the Service each section counts whole, never merged",
        "repeat what is to hold of the broader one",
    ),
    carried(
        "routingType",
        "connection",
        choice(
            {
                "Endpoint": NOTHING,
                "Service": NotCarriedError("requests go to endpoints, to balance them"),
            }
        ),
    ),
    left(
        "dns",
        "names are resolved again every 5 s",
    ),
    left(
        "faultInjection",
        _ROUTE,
        "overload.dropPercent answers a part of the requests with 503",
    ),
    *(
        left(name, _ROUTE)
        for name in (
            "bandwidthLimit",
            "compression",
            "compressor",
            "responseOverride",
            "httpUpgrade",
            "requestBuffer",
            "telemetry",
        )
    ),
)

SPEC: Final = Table(
    (
        *_LOAD_BALANCER,
        *_HEALTH,
        *_OUTLIERS,
        *_LIMITS,
        *_RETRY,
        *_CONNECTION,
        *_REFUSALS,
        *_ROUTES,
    )
)
