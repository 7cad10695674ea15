"""What the lab leaves out of its copies of policies, or makes quicker.

A policy as written in, changed in place: what would not let the lab ask, because it is
about the lab's own backends and traffic, and not about who is chosen.
"""

from xds_server.api.manifest import Value
from xds_server.api.performance import POD_CPU, PerformanceSource
from xds_server.lab import health

_OF_BACKENDS = ("protocol", "http2", "proxyProtocol")
_NOT_MEASURED = (
    *("adaptiveConcurrency", "admissionControl", "circuitBreaker", "envoyPatch"),
    *("locality", "overload", "rateLimit", "tls"),
)


def soften(policy: Value, report_port: int) -> None:
    """Make *policy* fit the lab.

    Its client is nowhere, so that places of endpoints would mean something else than
    they are written for. Its backends speak HTTP/1.1 at once and in the clear, and
    report at *report_port* where they are asked out of band; they are no Pods that
    somebody meters, so Envoys measure instead. It keeps requests in
    flight to see who gets the others, and asks as fast as it can: that may be more than
    a limit lets, and none is to be turned away.
    """
    spec = policy.get("spec") if isinstance(policy, dict) else None
    if not isinstance(spec, dict):
        return
    for name in _NOT_MEASURED:
        spec.pop(name, None)
    connection = spec.get("connection")
    if isinstance(connection, dict):
        for name in _OF_BACKENDS:
            connection.pop(name, None)
    health.soften(policy)
    balancer = spec.get("loadBalancer")
    block = balancer.get("performanceBased") if isinstance(balancer, dict) else None
    if isinstance(block, dict):
        if block.get("metrics") == [POD_CPU]:
            del block["metrics"]
        source = PerformanceSource.parse_or_none(block.get("source"))
        if source is PerformanceSource.ORCA_OUT_OF_BAND:
            block["reportPort"] = report_port
