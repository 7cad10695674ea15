"""How a collection is mirrored, against a server that follows a script."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import looptime
import msgspec
import pytest

from xds_server.sources.kube_api import (
    JSON,
    METADATA,
    METADATA_LIST,
    KubeApi,
    KubeError,
    Query,
)
from xds_server.sources.reflector import (
    Changed,
    Collection,
    News,
    Patience,
    Reflector,
    Replaced,
    Troubled,
)

PODS = Collection(kind="Pod", api_version="v1", path="/api/v1/pods")
REFUSED = KubeError("connection refused")


class EndedError(Exception):
    """The script has no more steps."""


class Script(KubeApi):
    """Answers each call with the next step.

    A watch lasts two seconds; one that is a tuple ends at once.
    """

    def __init__(self, *steps: bytes | Sequence[bytes | KubeError] | KubeError) -> None:
        super().__init__()
        self.queries: list[Query] = []
        self.accepted: list[str] = []
        self.times: list[float] = []
        self._steps = list(steps)

    def _next(self, query: Query) -> bytes | Sequence[bytes | KubeError]:
        self.queries.append(dict(query))
        self.times.append(asyncio.get_running_loop().time())
        if not self._steps:
            raise EndedError
        step = self._steps.pop(0)
        if isinstance(step, KubeError):
            raise step
        return step

    async def get(self, path: str, query: Query, *, accept: str = JSON) -> bytes:
        assert path == PODS.path
        self.accepted.append(accept)
        step = self._next(query)
        assert isinstance(step, bytes), "a watch was expected"
        return step

    async def watch(
        self, path: str, query: Query, *, silence: timedelta, accept: str = JSON
    ) -> AsyncGenerator[bytes, None]:
        assert path == PODS.path
        self.accepted.append(accept)
        assert silence
        lines = self._next(query)
        assert not isinstance(lines, bytes), "a list was expected"
        yield b""
        for line in lines:
            if isinstance(line, KubeError):
                raise line
            yield line
        if not isinstance(lines, tuple):
            await asyncio.sleep(2)


def item(name: str, version: str = "1") -> dict[str, object]:
    return {"metadata": {"name": name, "resourceVersion": version}}


def page(version: str, *names: str, more: str = "") -> bytes:
    metadata = {"resourceVersion": version, "continue": more}
    items = [item(name) for name in names] or None
    return msgspec.json.encode({"metadata": metadata, "items": items})


def event(type_: str, name: str, version: str) -> bytes:
    return msgspec.json.encode({"type": type_, "object": item(name, version)})


GONE = msgspec.json.encode(
    {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
)


def mirror(script: Script, collection: Collection = PODS) -> list[str]:
    """Run *script* to its end; return what was told, in short."""
    told: list[str] = []

    def name(body: msgspec.Raw) -> str:
        return str(msgspec.json.decode(body)["metadata"]["name"])

    def tell(news: News) -> None:
        match news:
            case Replaced(objects=objects):
                told.append(f"all: {' '.join(map(name, objects))}")
            case Changed(object=body, is_deleted=is_deleted):
                told.append(("gone: " if is_deleted else "now: ") + name(body))
            case Troubled(error=error):
                told.append(f"trouble: {error}" if error else "heard")

    with (
        asyncio.Runner(loop_factory=looptime.new_event_loop) as runner,
        pytest.raises(EndedError),
    ):
        runner.run(Reflector(script, collection, tell, Patience()).run())
    return told


def test_all_there_is_and_then_what_changes() -> None:
    """In pages, and watched from where the last page was."""
    script = Script(
        page("6", "a", more="next"),
        page("7", "b"),
        [event("ADDED", "c", "8"), event("DELETED", "a", "9")],
    )

    assert mirror(script) == ["all: a b", "heard", "now: c", "gone: a"]
    assert [query.get("continue") for query in script.queries] == [
        None,
        "next",
        None,
        None,
    ]
    assert script.queries[2]["resourceVersion"] == "7"
    assert script.queries[3]["resourceVersion"] == "9"


def test_a_bookmark_moves_the_place_from_which_to_go_on() -> None:
    script = Script(page("1"), [event("BOOKMARK", "", "5")], [])

    assert mirror(script) == ["all: ", "heard", "heard"]
    assert script.queries[2]["resourceVersion"] == "5"


def test_what_the_server_has_forgotten_is_listed_again() -> None:
    """A watch that is too old says so in its first line (HTTP status 200)."""
    script = Script(page("1", "a"), [], [GONE], page("9", "b"), [])

    assert mirror(script) == ["all: a", "heard", "heard", "all: b", "heard"]
    assert script.times[3] == script.times[2], "at once"


def test_what_is_forgotten_as_soon_as_it_is_listed_is_listed_after_a_pause() -> None:
    script = Script(page("1", "a"), [GONE], page("9", "b"), [])

    told = mirror(script)

    assert told == ["all: a", "heard", "trouble: too old", "all: b", "heard"]
    assert script.times[2] > script.times[1]


def test_a_list_that_breaks_off_begins_anew() -> None:
    """Half of it is told nobody."""
    script = Script(page("1", "a", more="next"), REFUSED, page("2", "a", "b"), [])

    assert mirror(script) == ["trouble: connection refused", "all: a b", "heard"]
    assert "continue" not in script.queries[2]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>Log in", "something else than JSON: '<html>Log in'"),
        (b"", "something else than JSON: ''"),
        (b"\xff", "something else than JSON: '\N{REPLACEMENT CHARACTER}'"),
        (b'{"metadata":{"resourceVersion":"\xff"}}', "something else than JSON: "),
        (b"{}", "something else than was asked for: Object missing required field"),
    ],
)
def test_what_no_api_server_answers_is_trouble(body: bytes, told: str) -> None:
    """Something between answers, such as the login page of a proxy."""
    first, *rest = mirror(Script(body, page("1", "a"), []))

    assert first.startswith(f"trouble: answered {told}")
    assert rest == ["all: a", "heard"]


@pytest.mark.parametrize(
    "line",
    [
        b"<html>Log in",
        b'{"type": "SURPRISE", "object": {}}',
        b'{"type": "ADDED", "object": 1}',
        b'{"type": "ERROR", "object": "no"}',
    ],
)
def test_a_line_that_no_api_server_says_is_trouble(line: bytes) -> None:
    script = Script(page("1"), [event("ADDED", "a", "2"), line], [])

    *before, trouble, after = mirror(script)

    assert before == ["all: ", "heard", "now: a"]
    assert trouble.startswith("trouble: ")
    assert after == "heard"
    assert script.queries[2]["resourceVersion"] == "2"


def test_a_watch_that_breaks_goes_on_where_it_was() -> None:
    script = Script(page("1"), [event("ADDED", "a", "2"), REFUSED], [])

    told = mirror(script)

    assert told == [
        *("all: ", "heard", "now: a", "trouble: connection refused", "heard")
    ]
    assert script.queries[2]["resourceVersion"] == "2"


def test_a_watch_that_ends_at_once_goes_on_at_once_if_it_told_something() -> None:
    """A server ends the watches of whoever is slow to hear a storm: no trouble."""
    script = Script(page("1"), (event("ADDED", "a", "2"),), [])

    assert mirror(script) == ["all: ", "heard", "now: a", "heard"]
    assert script.times[2] == script.times[1]


def test_a_watch_that_ends_at_once_without_a_word_is_trouble() -> None:
    script = Script(page("1"), (), [])

    assert mirror(script) == [
        *("all: ", "heard", "trouble: a watch ended at once", "heard")
    ]
    assert script.times[2] > script.times[1]


def test_an_outage_is_met_with_longer_and_longer_pauses() -> None:
    """Up to five seconds; with some chance in them, lest all come at once."""
    script = Script(page("1"), *[REFUSED] * 10, [])
    mirror(script)
    pauses = [after - before for before, after in pairwise(script.times)][1:-1]

    assert pauses[0] < 1.5
    assert pauses[0] < pauses[3] < pauses[7]
    assert pauses[7:] == pytest.approx([5, 5, 5])


@pytest.mark.parametrize(
    ("is_metadata", "expected"),
    [(False, [JSON, JSON]), (True, [METADATA_LIST, METADATA])],
)
def test_of_some_the_metadata_is_all_that_is_asked_for(
    *, is_metadata: bool, expected: list[str]
) -> None:
    """A list and a watch name it differently (API concepts, "metadata-only")."""
    script = Script(page("1", "a"), [event("ADDED", "b", "2")])
    told = mirror(script, replace(PODS, is_metadata=is_metadata))

    assert told == ["all: a", "heard", "now: b"]
    assert script.accepted[:2] == expected
