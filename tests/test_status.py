"""What `/status` says of policies whose configuration a node rejected."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from xds_server.mesh.index import Index
from xds_server.serve.client import ClientStatus, Connection, TypeStatus
from xds_server.serve.node import Node
from xds_server.serve.quarantine import Rejection
from xds_server.serve.response import Head, Mode
from xds_server.serve.subscription import Subscription
from xds_server.snapshot.table import Table
from xds_server.sources.files import load
from xds_server.status import status_of
from xds_server.status_table import Condition, Status
from xds_server.translate.service import build_service
from xds_server.xds import CLUSTER, ROUTE

DUPLICATE = (
    "Only unique values for domains are permitted. Duplicate entry of domain "
    "web.shop:80 in route outbound/http/shop"
)
"""What Envoy 1.40 says of routes that have a domain twice."""

MESH = """
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: spread}
spec:
  targetRefs: [{kind: Service, name: web}]
  loadBalancer: {type: Random}
"""


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """One Service and its policy."""
    (tmp_path / "mesh.yaml").write_text(MESH)
    index = Index()
    index.apply(load([tmp_path]))
    return index


def client(*rejections: Rejection) -> ClientStatus:
    """Return a client that rejected something of its clusters."""
    connection = Connection(
        node=Node(id="sidecar-1"),
        mode=Mode.DELTA,
        peer="here",
        connected_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    clusters = TypeStatus(
        type_url=CLUSTER,
        subscription=Subscription(is_wildcard=True),
        sent=None,
        is_waiting=False,
        accepted_version="1",
        rejections=rejections,
    )
    return ClientStatus(connection=connection, types=(clusters,))


def told(status: Mapping[str, object]) -> Status:
    """Return *status* as the command line reads it."""
    return msgspec.convert(status, Status)


def test_a_rejected_resource_is_traced_to_the_policy_that_made_it(
    index: Index,
) -> None:
    (service,) = index.services.values()
    table = Table(CLUSTER)
    table.update(applied=[r for r in build_service(service) if r.type_url == CLUSTER])
    (cluster,) = table
    head = Head(type_url=CLUSTER, version="2", nonce="1", names=(cluster.name,))
    rejection = Rejection(
        head=head, message="bad ring", suspects=head.names, owners=cluster.owners
    )
    status = told(
        status_of(
            index,
            [client(rejection)],
            untranslated=(),
            version="0",
            is_ready=True,
        )
    )

    (rejected,) = status.nodes[0].types["cluster"].rejected
    assert rejected.owners == ["Service shop/web", "TrafficPolicy shop/spread"]
    assert status.nodes[0].types["cluster"].state == "Rejected"
    assert status.policies[0].targets[0].conditions[-1] == Condition(
        type="Programmed",
        status="False",
        reason="Rejected",
        message="sidecar-1 rejects cluster shop/web/80: bad ring",
    )


@pytest.mark.parametrize(
    ("message", "owners"),
    [
        (
            DUPLICATE,
            ["Service shop/web"],
        ),
        (
            "outbound/http/shop: virtual host 'shop/web/80' is bad",
            ["Service shop/web"],
        ),
        ("outbound/http/shop: web is bad, as cart.shop is", []),
    ],
)
def test_rejected_routes_are_traced_by_the_words_of_the_client(
    index: Index, message: str, owners: list[str]
) -> None:
    """They are made of all Services. A lone word may be any word."""
    head = Head(type_url=ROUTE, version="2", nonce="1", names=("outbound/http/shop",))
    rejection = Rejection(head=head, message=message, suspects=head.names)
    status = told(
        status_of(
            index, [client(rejection)], untranslated=(), version="0", is_ready=True
        )
    )

    (rejected,) = status.nodes[0].types["cluster"].rejected
    assert rejected.owners == owners


def test_a_policy_that_nobody_rejects_has_no_such_condition(index: Index) -> None:
    status = told(
        status_of(index, [client()], untranslated=(), version="0", is_ready=True)
    )

    assert [each.type for each in status.policies[0].targets[0].conditions] == [
        "Accepted",
        "ResolvedRefs",
        "Warnings",
    ]
