"""The servers, clients and measures of the demos do as they are told."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import HTTPServer

import pytest
from backend import WINDOW, Backend, Control, Meter, Server, Settings, Traffic
from client import Question, ask
from hypothesis import given, strategies as st
from measure import Answer, Answers, Judge, chance
from scipy.stats import binom  # type: ignore[import-untyped] # it has no types


@contextmanager
def listening(server: HTTPServer) -> Iterator[str]:
    """Let *server* answer; yield its address."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def backend() -> Backend:
    return Backend("one", Settings())


@pytest.fixture
def traffic(backend: Backend) -> Iterator[str]:
    with listening(Server(("127.0.0.1", 0), Traffic, backend)) as address:
        yield address


@pytest.fixture
def control(backend: Backend) -> Iterator[str]:
    with listening(Server(("127.0.0.1", 0), Control, backend)) as address:
        yield address


def call(
    address: str, path: str = "/", method: str = "GET", body: str | None = None
) -> tuple[int, str, Mapping[str, str]]:
    connection = HTTPConnection(address, timeout=5)
    connection.request(method, path, body)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode().strip(), dict(answer.getheaders())
    finally:
        connection.close()


def test_a_backend_answers_with_its_name(traffic: str) -> None:
    status, body, headers = call(traffic)

    assert (status, body) == (200, "one")
    assert "endpoint-load-metrics" not in headers
    assert call(traffic, "/healthz")[0] == 200


def test_it_behaves_otherwise_when_told_so(
    backend: Backend, traffic: str, control: str
) -> None:
    status, told, _ = call(control, "/settings", "PUT", '{"error_rate": 1}')

    assert status == 200
    assert json.loads(told)["error_rate"] == 1
    assert call(traffic)[:2] == (500, "one")
    backend.set({"down": True})
    assert call(traffic)[:2] == (503, "one is down")
    assert call(traffic, "/healthz")[0] == 503


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x", "Expecting value: line 1 column 1 (char 0)"),
        ("[]", "must be a mapping (got [])"),
        ('{"latency": 1}', "no setting: latency (has latency_ms,"),
        ('{"latency_ms": -1}', "latency_ms must be 0 to 60000 (got -1.0)"),
        ('{"latency_ms": NaN}', "latency_ms must be 0 to 60000 (got nan)"),
        ('{"error_rate": "x"}', "error_rate must be a number (got 'x')"),
        ('{"error_rate": true}', "error_rate must be a number (got True)"),
        ('{"workers": 1.5}', "workers must be a whole number (got 1.5)"),
        ('{"workers": Infinity}', "workers must be a whole number (got inf)"),
        ('{"down": 1}', "down must be true or false (got 1)"),
        ('{"utilization": -1}', "utilization must be 0 or more (got -1.0)"),
        ('{"rate": NaN}', "rate must be 0 or more (got nan)"),
    ],
)
def test_a_wrong_setting_changes_nothing(
    backend: Backend, control: str, body: str, message: str
) -> None:
    status, said, _ = call(control, "/settings", "PUT", body)

    assert status == 400
    assert said.startswith(message)
    assert backend.settings == Settings()


def test_settings_of_the_environment_are_texts() -> None:
    told = {"latency_ms": "5", "workers": "2", "reports": "true", "utilization": ""}

    assert Settings().changed(told) == Settings(latency_ms=5, workers=2, reports=True)


def test_reports_say_what_is_set(backend: Backend, traffic: str) -> None:
    backend.set({"reports": True, "rate": 100, "utilization": 0.25})

    report = call(traffic)[2]["endpoint-load-metrics"]

    assert report.startswith("JSON ")
    assert json.loads(report[len("JSON ") :]) == {
        "rps_fractional": 100,
        "cpu_utilization": 0.25,
    }


def test_load_is_measured_over_a_window() -> None:
    now = 100.0
    meter = Meter(lambda: now)
    now += WINDOW
    for _ in range(20):
        meter.note(0.05)

    assert meter.read(workers=1) == pytest.approx((20 / WINDOW, 1 / WINDOW))
    assert meter.read(workers=2) == pytest.approx((20 / WINDOW, 0.5 / WINDOW))
    now += 1.5 * WINDOW
    assert meter.read(workers=1) == (0, 0)


def test_a_request_waits_for_a_worker(backend: Backend, traffic: str) -> None:
    backend.set({"workers": 1})
    answered = threading.Event()

    def ask_once() -> None:
        call(traffic)
        answered.set()

    with backend.worker():
        thread = threading.Thread(target=ask_once)
        thread.start()
        assert not answered.wait(0.05)
    assert answered.wait(5)
    thread.join()


def test_answers_are_in_the_order_of_the_requests(
    monkeypatch: pytest.MonkeyPatch, backend: Backend, traffic: str
) -> None:
    monkeypatch.setattr("client.PROXY", traffic)
    answers = ask(Question(host="x", requests=20, concurrency=4, rate=1000))
    backend.set({"down": True})
    failed = ask(Question(host="x", requests=2, fresh=True))

    assert [each["who"] for each in answers] == ["one"] * 20
    assert [each["status"] for each in failed] == [503, 503]


def test_a_request_without_an_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.PROXY", "127.0.0.1:1")

    (answer,) = ask(Question(host="x", requests=1))

    assert answer["status"] == 0
    assert "ConnectionRefusedError" in str(answer["who"])


def test_headers_take_turns() -> None:
    question = Question(host="x", each=[{"Cookie": "a"}, {"Cookie": "b"}])

    assert [question.headers_of(number)["Cookie"] for number in range(3)] == [*"aba"]
    assert question.headers_of(0)["Host"] == "x"


@given(
    requests=st.integers(1, 3000), part=st.floats(0, 1), share=st.floats(0.001, 0.999)
)
def test_the_bound_is_above_the_tail(requests: int, part: float, share: float) -> None:
    """Chernoff: no tail of the binomial distribution is heavier than half of it."""
    count = round(part * requests)
    below = binom.cdf(count, requests, share) if count <= requests * share else 0.0
    above = binom.sf(count - 1, requests, share) if count >= requests * share else 0.0

    bound = chance(count, requests, share)
    assert bound == 1 or max(below, above) <= bound / 2 * (1 + 1e-9)


def answers_of(**counts: int) -> Answers:
    return Answers(
        [
            Answer(status=200, who=who, cookie=None, ms=1.0)
            for who, count in counts.items()
            for _ in range(count)
        ]
    )


@pytest.mark.parametrize(
    ("counts", "code"),
    [({"a": 500, "b": 500}, 0), ({"a": 700, "b": 300}, 1), ({"a": 999, "c": 1}, 1)],
)
def test_a_judge_exits_with_what_it_found(
    capsys: pytest.CaptureFixture[str], counts: Mapping[str, int], code: int
) -> None:
    judge = Judge()
    judge.shares(answers_of(**counts), {"a": 1, "b": 1})

    with pytest.raises(SystemExit) as ended:
        judge.close()

    assert ended.value.code == code
    assert ("FAIL" in capsys.readouterr().out) == bool(code)


def test_a_failed_request_is_no_server_and_a_failure() -> None:
    failed = Answer(status=503, who="no healthy upstream", cookie=None, ms=9.0)
    answers = Answers([*answers_of(a=99).all, failed])

    assert answers.count == {"a": 99}
    assert answers.failures == {"503: no healthy upstream": 1}
    assert answers.percentile(50) == 1
    assert answers.percentile(99) == 9
