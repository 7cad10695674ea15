"""Answers to responses, and what can be said of a rejection."""

from dataclasses import replace

import pytest

from xds_server.serve.exchange import Exchange, Verdict
from xds_server.serve.response import Head
from xds_server.snapshot.table import Table
from xds_server.translate.selection import select
from xds_server.xds import CLUSTER, NOWHERE, Labels, Place, Resource


@pytest.fixture
def table() -> Table:
    """Clusters c4, c5, c6 and shop/web:80."""
    table = Table(CLUSTER)
    names = ("c4", "c5", "c6", "shop/web:80")
    table.update(applied=[Resource(type_url=CLUSTER, name=n, body=b"") for n in names])
    return table


def send(exchange: Exchange, *names: str) -> str:
    """Send a response with *names*; return its nonce."""
    nonce = exchange.next_nonce
    head = Head(type_url=CLUSTER, version="1", nonce=nonce, names=names)
    exchange.send(head, about=names)
    return nonce


@pytest.mark.parametrize(
    ("message", "names", "suspects"),
    [
        ("Error adding/updating cluster(s) c4: bad ring", ("c4", "c5"), ("c4",)),
        ("cluster 'shop/web:80' is bad", ("c5",), ("shop/web:80",)),
        ("Error adding cluster(s) c4: no c5, c5: no ring.", ("c4", "c5"), ("c4", "c5")),
        ("Error adding cluster(s) c4: EDS cluster without c5", ("c4", "c5"), ("c4",)),
        ("an earlier error of c4.", ("c5",), ("c4",)),
        ("no name at all", ("c5",), ("c5",)),
        ("no name at all", ("c5", "c6"), ()),
        ("c44 and xc4 are others", ("c5", "c6"), ()),
    ],
)
def test_suspects_are_named_by_the_message(
    table: Table, message: str, names: tuple[str, ...], suspects: tuple[str, ...]
) -> None:
    """Of this response or an earlier one; else it is the only resource there was."""
    exchange = Exchange(table)
    exchange.hear(send(exchange, *names), message)

    (rejection,) = exchange.rejections
    assert rejection.suspects == suspects


def test_a_late_answer_counts(table: Table) -> None:
    """Giving up is a rejection until the client accepts after all."""
    exchange = Exchange(table)
    nonce = send(exchange, "c4")
    rejection = exchange.give_up("no answer in 30 s")
    was_told = exchange.rejections
    verdict = exchange.hear(nonce, None)

    assert rejection
    assert rejection.message == "no answer in 30 s"
    assert was_told == (rejection,)
    assert verdict is Verdict.ACK
    assert exchange.rejections == ()
    assert exchange.accepted_version == "1"


def test_nobody_gives_up_on_what_was_answered(table: Table) -> None:
    exchange = Exchange(table)
    exchange.hear(send(exchange, "c4"), None)

    assert exchange.give_up("no answer in 30 s") is None
    assert exchange.rejections == ()


def test_a_second_request_with_the_same_nonce_is_not_a_second_answer(
    table: Table,
) -> None:
    """After a NACK it must not pass for an ACK."""
    exchange = Exchange(table)
    nonce = send(exchange, "c4")
    exchange.hear(nonce, "bad")

    assert exchange.hear(nonce, None) is Verdict.SILENT
    assert exchange.hear(nonce, "worse") is Verdict.SILENT
    assert [each.message for each in exchange.rejections] == ["bad"]
    assert exchange.accepted_version is None


def test_a_rejection_names_whose_word_it_was_where_the_client_stands() -> None:
    """A policy for some clients is to blame for what they are sent, and no other."""
    batch: Labels = frozenset({("tier", "batch")})
    table = Table(CLUSTER)
    web = Resource(type_url=CLUSTER, name="web", body=b"a", owners=("a",))
    other = replace(web, body=b"b", owners=("b",))
    table.update(applied=[select(web, {batch: other})])
    blamed = []
    for place in (NOWHERE, Place(labels=batch)):
        exchange = Exchange(table, place)
        exchange.hear(send(exchange, "web"), "bad")
        (rejection,) = exchange.rejections
        blamed.append(rejection.owners)

    assert blamed == [("a",), ("b",)]
