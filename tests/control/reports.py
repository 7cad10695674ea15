"""Load reports for tests, as sidecars make them."""

from xds_server.load import UPSTREAM_TIME, ClusterLoad, EndpointLoad, MetricSum

A, B, C = (f"10.0.0.{number}:8080" for number in (1, 2, 3))


def seen(
    address: str,
    answers: int = 0,
    *,
    mean: float = 0.05,
    failed: int = 0,
    in_progress: int = 0,
    metric: str = UPSTREAM_TIME,
) -> EndpointLoad:
    """Return what a client saw of an endpoint; the *mean* is in seconds an answer."""
    return EndpointLoad(
        address=address,
        issued=answers,
        succeeded=answers - failed,
        failed=failed,
        in_progress=in_progress,
        metrics={metric: MetricSum(answers, answers * mean * 1e6)},
    )


def report(*endpoints: EndpointLoad, seconds: float = 2.0) -> ClusterLoad:
    """Return a report on one cluster."""
    return ClusterLoad(cluster="shop/web/80", seconds=seconds, endpoints=endpoints)
