"""What Envoy Gateway holds without being told, where policies hold something else.

Some of it is its own default, some Envoy's, to which it leaves what is not written.
"""

from collections.abc import Mapping
from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.problem import FieldPath
from xds_server.importer.draft import Draft
from xds_server.importer.gateway_value import unknown_attributes
from xds_server.importer.outlier import hold_outliers
from xds_server.importer.source import mapping

_PERFORMANCE: Final = "loadBalancer.performanceBased"
_SPLIT: Final = "splitExternalLocalOriginErrors"
_TRIGGERS: Final = ("connect-failure", "refused-stream", "unavailable", "cancelled")
"""Of Envoy Gateway, where none is written; and 503, which cannot be."""


def hold_defaults(
    draft: Draft, spec: Mapping[str, Value], base: FieldPath, *, speaks_http: bool
) -> None:
    """Write out what Envoy Gateway holds where *spec*, at *base*, says nothing.

    *speaks_http* is whether there are requests, which may be sent again.
    """
    balancer, check = spec.get("loadBalancer"), mapping(spec.get("healthCheck"))
    _tell_attributes(draft, mapping(balancer), (*base, "loadBalancer"))
    if draft.value("loadBalancer.type") == "PerformanceBased":
        draft.hold(f"{_PERFORMANCE}.source", "OrcaHeaders")
    _hold_places(draft, mapping(mapping(balancer).get("zoneAware")))
    active, passive = check.get("active"), check.get("passive")
    if isinstance(active, dict):
        _hold_check(draft, active, (*base, "healthCheck", "active"))
    if isinstance(passive, dict):
        draft.hold("outlierDetection.interval", "3s", stands=True)
        draft.hold("outlierDetection.successRate", {}, stands=True)
        split = (*base, "healthCheck", "passive", _SPLIT)
        hold_outliers(draft, is_split=passive.get(_SPLIT), split=split)
    if isinstance(spec.get("admissionControl"), dict):
        draft.hold("admissionControl.rpsThreshold", 0, stands=True)
    if draft.has("connection"):
        draft.hold("connection.connectTimeout", "10s")
    if draft.has("circuitBreaker.retryBudget"):
        draft.drop("circuitBreaker.maxRetries", "has no effect beside retryBudget")
    elif draft.has("circuitBreaker") and speaks_http:
        draft.hold("circuitBreaker.maxRetries", 1024)
    retry = spec.get("retry")
    if isinstance(retry, dict):
        _hold_retry(draft, retry, (*base, "retry"))
    if balancer is None and draft.sections:
        draft.hold("loadBalancer.type", "LeastRequest", stands=True)


def _tell_attributes(
    draft: Draft, balancer: Mapping[str, Value], base: FieldPath
) -> None:
    """Say which attributes of a cookie to hash by are left out of it."""
    if not draft.has("loadBalancer.hashOn"):
        return
    cookie = mapping(balancer.get("consistentHash")).get("cookie")
    for name in unknown_attributes(cookie):
        path = (*base, "consistentHash", "cookie", "attributes", name)
        draft.account.lose(path, f"a cookie has no attribute {name} here")


def _hold_retry(draft: Draft, retry: Mapping[str, Value], base: FieldPath) -> None:
    """Write out what Envoy Gateway sends again by default, never what we do."""
    if retry.get("retryOn") is None:
        for trigger in _TRIGGERS:
            draft.hold("retry.retryOn[]", trigger, stands=True)
        draft.differ(
            "retry",
            base,
            "without retryOn Envoy Gateway sends again what was answered with 503, too",
            "retryOn: gateway-error is 502 to 504, whatever was done before",
        )
    elif not draft.has("retry.retryOn"):
        draft.drop("retry", "nothing is left that would be sent again", is_lost=True)


def _hold_check(draft: Draft, active: Mapping[str, Value], base: FieldPath) -> None:
    """Write out how Envoy Gateway checks, and say how it counts."""
    draft.hold("healthCheck.interval", "3s")
    draft.hold("healthCheck.healthyThreshold", 1)
    draft.hold("healthCheck.jitterPercent", 0)
    draft.hold("healthCheck.noTrafficInterval", "1m")
    if active.get("type") != "HTTP":
        return
    draft.differ(
        "healthCheck",
        base,
        "a status that is not expected counts to unhealthyThreshold; in Envoy Gateway "
        "one is enough, unless it is retriable",
        "unhealthyThreshold: 1 takes an endpoint out at the first failure of any kind",
    )
    if mapping(active.get("http")).get("hostname") is None:
        draft.differ(
            "healthCheck",
            base,
            "requests have the Host SERVICE.NAMESPACE, in Envoy Gateway the route's",
            "write it in healthCheck.http.host",
        )


def _hold_places(draft: Draft, zones: Mapping[str, Value]) -> None:
    local = zones.get("preferLocal")
    if draft.has("locality.weighted"):
        draft.hold("locality.type", "Weighted")
    elif isinstance(local, dict):
        draft.hold("locality.type", "ZoneAware", stands=True)
        if isinstance(local.get("force"), dict):
            draft.hold("locality.zoneAware.forceLocalZone.minimumEndpoints", 1)
