"""What replicas say arrives as it was said; what is no word of theirs says nothing."""

import base64
import math
import zlib
from random import Random

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from tests.control.observations import (
    History,
    absurd_histories,
    histories,
    randoms,
    run,
    sums,
)
from xds_server.control.controller import Controller
from xds_server.control.loop import MOST_SHARED
from xds_server.control.observation import EndpointSums, Observation
from xds_server.control.state import EndpointState, State, Window, rounded
from xds_server.control.word import Learned, Part, Turn, Word, decode, encode
from xds_server.replicas.member import LONGEST

WEB = ("shop", "web", 80)


@given(histories())
def test_what_is_remembered_arrives_whole(history: History) -> None:
    controller = Controller()
    run(controller, history)
    state = replace(rounded(controller.save()), now=None)
    word = Word(
        said_at=1.5,
        epoch=7,
        speaks=True,
        learned={WEB: Learned(Turn(7, 3), 9.25, state)},
        last=("shop", "web", 80),
    )

    assert decode(encode(word)) == word


@given(randoms())
def test_what_was_seen_arrives_whole(random: Random) -> None:
    seen = Observation(
        now=0.0,
        seconds=9.5,
        bases={},
        endpoints={f"10.0.0.{each}:80": sums(random) for each in range(5)},
        clients=3,
    )
    part = Part(Turn(7, 3), seen, ("named_metrics.work",), is_kept=True)
    word = Word(epoch=7, parts={WEB: part})

    assert decode(encode(word)) == word


HUGE = "1" + 400 * "0"


def written(*parts: str, epoch: str = "1", learned: str = "") -> str:
    """Return a text of these parts, as whoever may write a Lease may write one."""
    body = (
        f'{{"version": 1, "said_at": 0, "epoch": {epoch}, "speaks": true, "last": null,'
        f' "learned": [{learned}], "parts": [{", ".join(parts)}]}}'
    )
    return base64.b64encode(zlib.compress(body.encode())).decode()


def part(
    port: int = 80,
    *,
    number: str = "3",
    seconds: str = "10",
    clients: str = "3",
    endpoint: str = "100, 100, 0, 100, 5.5, null, 3, 0.5, true",
    rest: str = '["cpu"], true',
) -> str:
    return (
        f'[["shop", "web", {port}], [1, {number}], {seconds}, {clients},'
        f' {{"10.0.0.1:80": [{endpoint}]}}, {rest}]'
    )


@pytest.mark.parametrize(
    "absurd",
    [
        part(number=HUGE),
        part(seconds="-1"),
        part(seconds=HUGE),
        part(clients="50000000"),
        part(clients="-3"),
        part(endpoint=f"{HUGE}, 1, 0, 40, 1.0, null, 3, 0.5, false"),
        part(endpoint="1, -1, 0, 40, 1.0, null, 3, 0.5, false"),
        part(endpoint="1, 1, 0, 40, 1.7e308, null, 3, 0.5, false"),
        part(endpoint="1, 1, 0, 40, 1.0, -1, 3, 0.5, false"),
        part(endpoint="1, 1, 0, 40, 1.0, null, -3, 0.5, false"),
        part(endpoint="1, 1, 0, 40, 1.0, null, 3, 1.5, false"),
        "[]",
        "null",
    ],
)
def test_what_nobody_can_have_seen_is_left_out(absurd: str) -> None:
    """Of one port; what the same replica saw of others is as good."""
    word = decode(written(part(79), absurd, part(81)))

    assert [key[2] for key in word.parts] == [79, 81]


def test_what_clients_made_up_ends_nobody_who_says_it() -> None:
    """Twenty thousand liars are more than is believed, and are told all the same."""
    lie = EndpointSums(issued=2 * 10**12, load=1e16, clients=20_000)
    seen = Observation(now=0.0, seconds=9.0, bases={}, endpoints={"10.0.0.1:80": lie})

    assert decode(encode(Word(parts={WEB: Part(Turn(1, 1), seen)}))).parts == {}


def test_a_word_whose_numbers_cannot_be_said_on_is_none() -> None:
    state = '[["shop", "web", 80], [{}, 1], {}, null]'

    assert decode(written(epoch=HUGE)) == Word()
    assert decode(written(learned=state.format(HUGE, 1))) == Word()
    assert decode(written(part(number="1" + 30 * "0"))).parts == {}


def test_who_is_told_of_a_step_that_never_is_looks_again() -> None:
    for due in "1e300", "-1e300":
        state = f'[["shop", "web", 80], [1, 1], {due}, null]'
        (learned,) = decode(written(learned=state)).learned.values()

        assert 0 <= learned.due <= 3600


@given(absurd_histories())
def test_rounded_numbers_are_those_of_a_controller(history: History) -> None:
    """And nearly the same; what was rounded stays as it is."""
    controller = Controller()
    run(controller, history)
    before = controller.save()
    after = rounded(before)

    Controller().restore(after)  # which refuses what is not sound
    assert rounded(after) == after
    for name, endpoint in before.endpoints.items():
        found = after.endpoints[name]
        assert found.log_weight == pytest.approx(endpoint.log_weight, abs=1e-4)
        assert found.long.load == pytest.approx(endpoint.long.load, rel=0.006)


@given(st.text() | st.binary().map(lambda each: base64.b64encode(each).decode()))
def test_what_is_no_word_says_nothing(text: str) -> None:
    assert decode(text) == Word()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b'{"version": 99, "news": []}', b"[" * 100_000, b"0" * 2 * 10**7),
        b'{"news": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_words_of_other_releases_say_nothing(body: bytes) -> None:
    assert decode(base64.b64encode(zlib.compress(body)).decode()) == Word()


def test_as_many_endpoints_as_are_shared_fit_in_a_lease() -> None:
    """Though hardly two of their numbers are the same."""
    random = Random(1)  # noqa: S311
    endpoints = {
        f"10.{each % 4}.{random.randrange(256)}.{each % 250}:8080": _endpoint(random)
        for each in range(MOST_SHARED)
    }
    state = State(
        bases=dict.fromkeys(endpoints, 1),
        endpoints=endpoints,
        pushed={each: random.randint(100, 3000) for each in endpoints},
    )
    word = Word(learned={WEB: Learned(Turn(1, 1), 9.0, rounded(state))})

    assert len(endpoints) > 0.9 * MOST_SHARED
    assert len(encode(word)) < LONGEST


def _endpoint(random: Random) -> EndpointState:
    rate = random.uniform(1, 1000)
    return EndpointState(
        log_weight=random.gauss(0, 0.7),
        gain=0.3 / 2 ** random.randrange(4) * 1.2 ** random.randrange(4) / 1.8,
        sign=random.choice((-1, 1)),
        health=random.choice((1.0, random.random())),
        short=_window(random, rate, 11.6),
        middle=_window(random, rate, 25.4),
        long=_window(random, rate, 65.1),
    )


def _window(random: Random, rate: float, seconds: float) -> Window:
    answers = math.floor(rate * seconds * random.uniform(0.9, 1.1))
    failed = random.choice((0, answers // 50))
    return Window(
        seconds=seconds,
        load=answers * random.uniform(0.01, 0.1),
        answers=answers,
        succeeded=answers - failed,
        failed=failed,
    )
