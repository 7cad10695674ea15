"""What sessions become, and what must not be sent; goldens have the rest."""

from dataclasses import replace
from datetime import timedelta

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3.health_check_pb2 import HealthStatus

from tests.translate.mesh_input import Spec, make_upstream, sections
from xds_server.api.policy import Session, SessionCookie, SessionHeader, SessionType
from xds_server.mesh.model import Sections
from xds_server.translate.check import LimitError, TranslateError
from xds_server.translate.cluster import build_cluster
from xds_server.translate.session import build_session

COOKIE: Spec = {"type": "Cookie", "cookie": {"name": "sid"}}
SID = SessionCookie(name="sid")


def session(**spec: object) -> Session:
    found = sections({"session": {**COOKIE, **spec}}).session
    assert found is not None
    return found


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_draining_endpoints_keep_sessions_where_that_is_asked_for(
    *, strict: bool, keep: bool
) -> None:
    spec = {"session": {**COOKIE, "keepDraining": keep, "strict": strict}}
    body = build_cluster(make_upstream(spec=spec)).body
    found = cluster_pb2.Cluster.FromString(body).common_lb_config.override_host_status

    names = [HealthStatus.Name(each) for each in found.statuses]
    kept = ["UNKNOWN", "HEALTHY", "DEGRADED", "DRAINING"]
    assert names == (kept if keep else [])


def cookie(**fields: object) -> Session:
    wrong = SID.model_copy(update=fields)
    return session().model_copy(update={"cookie": wrong})


BAD = [
    (cookie(name=""), "a cookie without a name"),
    (cookie(ttl=timedelta(seconds=-1)), "a ttl below 0"),
    (cookie(ttl=timedelta(milliseconds=500)), "not whole seconds"),
    (cookie(path="shop"), "a cookie's path"),
    (cookie(path="/;a"), "a cookie's path"),
    (Session.model_construct(type=SessionType.COOKIE), "without a cookie or a header"),
    (
        Session.model_construct(
            type=SessionType.HEADER, header=SessionHeader.model_construct(name="")
        ),
        "or its name",
    ),
]


@pytest.mark.parametrize(("wrong", "rule"), BAD)
def test_what_envoy_refuses_or_no_client_sends_back_is_not_sent(
    wrong: Session, rule: str
) -> None:
    with pytest.raises(LimitError, match=rule):
        build_session(wrong)


def test_a_service_is_judged_by_its_cluster() -> None:
    """One that is wrong in the routes would be wrong for all Services."""
    wrong, rule = BAD[0]
    upstream = replace(make_upstream(), sections=Sections(session=wrong))

    with pytest.raises(TranslateError, match=rule):
        build_cluster(upstream)
