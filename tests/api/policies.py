"""Policies around one `loadBalancer`, and what decoding says of them."""

from xds_server.api.decode import decode
from xds_server.api.policy import LoadBalancer, TrafficPolicy
from xds_server.api.problem import Severity

HEAD = """\
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: cart}
spec:
  targetRefs: [{kind: Service, name: cart}]
"""


def load_balancer(written: str) -> LoadBalancer:
    """Decode a policy with this `loadBalancer`, which must be valid."""
    decoded = decode(f"{HEAD}  loadBalancer: {written}\n".encode(), source="x.yaml")
    assert not [one for one in decoded.problems if one.severity is Severity.ERROR]
    (document,) = decoded.documents
    assert isinstance(document.body, TrafficPolicy)
    assert document.body.spec.load_balancer is not None
    return document.body.spec.load_balancer


def errors(written: str, section: str = "loadBalancer") -> list[str]:
    """Give what is wrong with this *section*: its paths below it and messages."""
    decoded = decode(f"{HEAD}  {section}: {written}\n".encode(), source="x.yaml")
    return [
        f"{one.path.removeprefix(f'spec.{section}').removeprefix('.')}: {one.message}"
        for one in decoded.problems
        if one.severity is Severity.ERROR
    ]
