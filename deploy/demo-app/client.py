"""An application that asks others, through the Envoy beside it.

Port 8080: GET /count?host=NAME&requests=N sends requests and counts who answered; POST
/ask does as a `Question` says, and tells each answer; GET /clusters tells which version
of each cluster the Envoy works with. PROXY is where Envoy listens, ADMIN where its own
administration does, ADDRESS where this does.
"""

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

ADDRESS = os.environ.get("ADDRESS", "127.0.0.1")
PORT = 8080
PROXY = os.environ.get("PROXY", "127.0.0.1:15001")
ADMIN = os.environ.get("ADMIN", "127.0.0.1:19000")
TIMEOUT = 30.0
MOST_REQUESTS = 100_000
MOST_THREADS = 500
THERE_ARE = "there are /count?host=NAME&requests=N, /ask and /clusters"

Answer = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, how often, and how.

    `rate` is requests a second, whatever the answers' pace, and latencies count from
    when a request was due; without it each of `concurrency` threads asks as soon as it
    has its answer. `each` are further headers of one request each, in turn. With
    `fresh`, each request has a connection of its own, as another user's would.
    """

    host: str
    path: str = "/"
    requests: int = 100
    concurrency: int = 1
    rate: float | None = None
    each: Sequence[Mapping[str, str]] = ({},)
    fresh: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.requests <= MOST_REQUESTS:
            message = f"requests must be 1 to {MOST_REQUESTS} (got {self.requests})"
            raise ValueError(message)
        if not 0 < self.concurrency <= MOST_THREADS:
            message = (
                f"concurrency must be 1 to {MOST_THREADS} (got {self.concurrency})"
            )
            raise ValueError(message)
        if self.rate is not None and not self.rate > 0:
            message = f"rate must be above 0 (got {self.rate})"
            raise ValueError(message)
        if not self.each or not all(isinstance(one, dict) for one in self.each):
            message = f"each must be a list of mappings (got {self.each!r})"
            raise ValueError(message)

    def headers_of(self, number: int) -> Mapping[str, str]:
        """Return the headers of a request."""
        return {"Host": self.host, **self.each[number % len(self.each)]}


def ask(question: Question) -> Sequence[Answer]:
    """Send all requests; return the answers in the order of the requests."""
    numbers = itertools.count()
    answers: list[Answer] = [{}] * question.requests
    began = time.monotonic()

    def work() -> None:
        connection = HTTPConnection(PROXY, timeout=TIMEOUT)
        for number in numbers:  # threads share the count: `next` is atomic
            if number >= question.requests:
                break
            due = began + number / question.rate if question.rate else time.monotonic()
            time.sleep(max(0.0, due - time.monotonic()))
            headers = question.headers_of(number)
            answer = _send(connection, question.path, headers)
            waited = (time.monotonic() - due) * 1000
            if question.fresh:
                connection.close()
            answers[number] = {**answer, "ms": round(waited, 2)}
        connection.close()

    with ThreadPoolExecutor(question.concurrency) as pool:
        for done in [pool.submit(work) for _ in range(question.concurrency)]:
            done.result()
    return answers


def _send(connection: HTTPConnection, path: str, headers: Mapping[str, str]) -> Answer:
    """Return status, body and new cookie of an answer; status 0 is no answer."""
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        who = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        connection.close()
        return {"status": 0, "who": repr(error), "cookie": None}
    cookie = answer.headers.get("Set-Cookie")
    return {"status": answer.status, "who": who, "cookie": cookie}


def versions() -> Mapping[str, str]:
    """Return the version of each cluster that the Envoy works with.

    Raises:
        OSError: it cannot be asked.
    """
    connection = HTTPConnection(ADMIN, timeout=5)
    connection.request("GET", "/config_dump?resource=dynamic_active_clusters")
    dump = json.load(connection.getresponse())
    return {
        config["cluster"]["name"]: config["version_info"]
        for config in dump.get("configs", ())
    }


def _told(answer: Answer) -> str:
    """Return who answered, or in a line why nobody did."""
    who = str(answer["who"])
    if answer["status"] == HTTPStatus.OK:
        return who
    return f"{answer['status'] or 'no answer'}: {who.partition(chr(10))[0]}"


class Handler(BaseHTTPRequestHandler):
    """Does what the demo tells it to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self._answer(HTTPStatus.OK, "ok")
        elif self.path.startswith("/count?"):
            self._count(dict(parse_qsl(self.path.partition("?")[2])))
        elif self.path == "/clusters":
            try:
                self._answer(HTTPStatus.OK, versions())
            except (OSError, HTTPException, ValueError) as error:
                self._answer(HTTPStatus.BAD_GATEWAY, repr(error))
        else:
            self._answer(HTTPStatus.NOT_FOUND, THERE_ARE)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path != "/ask":
            self._answer(HTTPStatus.NOT_FOUND, THERE_ARE)
            return
        if self.headers.get_content_type() != "application/json":
            # A page in somebody's browser cannot say that unasked.
            self._answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "must be application/json")
            return
        try:
            question = Question(**json.loads(body))
        except (TypeError, ValueError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._answer(HTTPStatus.OK, ask(question))

    def _count(self, parameters: Mapping[str, str]) -> None:
        try:
            requests = int(parameters.get("requests", "100"))
            question = Question(host=parameters["host"], requests=requests)
        except (KeyError, ValueError):
            self._answer(HTTPStatus.BAD_REQUEST, THERE_ARE)
            return
        answers = Counter(_told(answer) for answer in ask(question))
        lines = [f"{times:6} {who}" for who, times in sorted(answers.items())]
        self._answer(HTTPStatus.OK, "\n".join(lines))

    def _answer(self, status: int, body: object) -> None:
        """Send text, or a value as JSON."""
        text = body if isinstance(body, str) else json.dumps(body)
        payload = text.encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Say nothing: there are thousands of requests."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = ThreadingHTTPServer((ADDRESS, PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
