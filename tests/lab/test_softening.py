"""What the lab leaves out of policies, and what it does not."""

import json

import pytest

from tests.translate.mesh_input import Spec
from xds_server.api.manifest import Value
from xds_server.lab.softening import soften


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        ({"circuitBreaker": {"maxRequests": 1}}, {}),
        ({"rateLimit": {"requests": 1}, "admissionControl": {}}, {}),
        ({"adaptiveConcurrency": {}}, {}),
        ({"envoyPatch": {"cluster": {"a": 1}}}, {}),
        ({"overload": {"dropPercent": 5}, "tls": {"mode": "Disable"}}, {}),
        ({"locality": {"type": "Failover"}}, {}),
        (
            {"connection": {"protocol": "HTTP2", "http2": {}, "idleTimeout": "1s"}},
            {"connection": {"idleTimeout": "1s"}},
        ),
        ({"connection": {"proxyProtocol": "V1"}}, {"connection": {}}),
        (
            {"retry": {}, "outlierDetection": {}, "panicThreshold": 30},
            {"retry": {}, "outlierDetection": {}, "panicThreshold": 30},
        ),
        ({"healthCheck": {"type": "TCP"}}, {}),
        ({"connection": None}, {"connection": None}),
        (
            {"loadBalancer": {"performanceBased": {"source": "ORCA_OUT_OF_BAND"}}},
            {
                "loadBalancer": {
                    "performanceBased": {"source": "ORCA_OUT_OF_BAND", "reportPort": 9}
                }
            },
        ),
        (
            {"loadBalancer": {"performanceBased": {"source": "OrcaHeaders"}}},
            {"loadBalancer": {"performanceBased": {"source": "OrcaHeaders"}}},
        ),
        (
            {"loadBalancer": {"performanceBased": {"metrics": ["kubernetes.cpu"]}}},
            {"loadBalancer": {"performanceBased": {}}},
        ),
        (
            {"loadBalancer": {"performanceBased": {"metrics": ["cpu_utilization"]}}},
            {"loadBalancer": {"performanceBased": {"metrics": ["cpu_utilization"]}}},
        ),
    ],
)
def test_what_is_about_the_labs_own_traffic_is_left_out(spec: Spec, left: Spec) -> None:
    policy: Value = json.loads(json.dumps({"spec": spec}))
    soften(policy, report_port=9)

    assert policy == {"spec": left}
