"""A server to balance over: as slow, as faulty and as busy as it is told to be.

Port 8080 answers each GET with the server's name, and 503 while it is down. Port 8081
is for whoever runs the demo: GET /settings, and PUT /settings with some as JSON.
What a server begins with is in its environment: NAME, LATENCY_MS, ERROR_RATE, WORKERS,
REPORTS, RATE, UTILIZATION, DOWN; ADDRESS is where it listens.
"""

import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = os.environ.get("ADDRESS", "127.0.0.1")
PORT = 8080
CONTROL_PORT = 8081
WINDOW = 2.0
"""Over how many seconds rate and utilization are measured."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a server behaves.

    A request occupies one of `workers` for `latency_ms`, and waits until one is free;
    0 is as many as it takes. With `reports`, answers carry an ORCA load report:
    requests a second, and utilization, the share of time that workers were busy. Both
    are measured unless `rate` and `utilization` say otherwise.
    """

    latency_ms: float = 0.0
    error_rate: float = 0.0
    workers: int = 0
    reports: bool = False
    rate: float | None = None
    utilization: float | None = None
    down: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.latency_ms <= 60_000:
            message = f"latency_ms must be 0 to 60000 (got {self.latency_ms})"
            raise ValueError(message)
        if not 0 <= self.error_rate <= 1:
            message = f"error_rate must be 0 to 1 (got {self.error_rate})"
            raise ValueError(message)
        if self.workers < 0:
            message = f"workers must be 0 or more (got {self.workers})"
            raise ValueError(message)
        for name, told in (("rate", self.rate), ("utilization", self.utilization)):
            if told is not None and not told >= 0:
                message = f"{name} must be 0 or more (got {told})"
                raise ValueError(message)

    def changed(self, values: Mapping[str, object]) -> "Settings":
        """Return these with *values*, of JSON or, as texts, of the environment.

        Raises:
            ValueError: there is no such setting, or it cannot have that value.
        """
        known = {
            "latency_ms": _number,
            "error_rate": _number,
            "workers": _count,
            "reports": _flag,
            "rate": _number_or_none,
            "utilization": _number_or_none,
            "down": _flag,
        }
        unknown = values.keys() - known.keys()
        if unknown:
            message = (
                f"no setting: {', '.join(sorted(unknown))} (has {', '.join(known)})"
            )
            raise ValueError(message)
        read = {key: known[key](key, value) for key, value in values.items()}
        return replace(self, **read)  # type: ignore[arg-type] # read by the field


def _number(name: str, value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    message = f"{name} must be a number (got {value!r})"
    raise ValueError(message)


def _number_or_none(name: str, value: object) -> float | None:
    return None if value in (None, "") else _number(name, value)


def _count(name: str, value: object) -> int:
    number = _number(name, value)
    if not number.is_integer():
        message = f"{name} must be a whole number (got {value!r})"
        raise ValueError(message)
    return int(number)


def _flag(name: str, value: object) -> bool:
    spellings = {True: True, False: False, "true": True, "false": False}
    if isinstance(value, bool | str) and value in spellings:
        return spellings[value]
    message = f"{name} must be true or false (got {value!r})"
    raise ValueError(message)


@dataclass
class Meter:
    """How many requests ended in the last `WINDOW`, and how busy workers were."""

    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _done: deque[tuple[float, float]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def note(self, busy: float) -> None:
        """Count a request that occupied a worker for *busy* seconds until now."""
        with self._lock:
            self._done.append((self.clock(), busy))

    def read(self, workers: int) -> tuple[float, float]:
        """Return requests a second, and the share of time that workers were busy."""
        now = self.clock()
        with self._lock:
            while self._done and self._done[0][0] < now - WINDOW:
                self._done.popleft()
            count = len(self._done)
            busy = sum(each for _, each in self._done)
        seconds = min(WINDOW, max(now - self._began, 0.1))
        return count / seconds, busy / seconds / (workers or 1)


class Backend:
    """The server's state: its settings, its workers, and what it measures."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.meter = Meter()
        self._change = threading.Condition()
        self._busy = 0
        self.settings = settings

    def set(self, values: Mapping[str, object]) -> Settings:
        """Behave otherwise from now on.

        Raises:
            ValueError: as `Settings.changed`.
        """
        with self._change:
            self.settings = self.settings.changed(values)
            self._change.notify_all()
            return self.settings

    @contextmanager
    def worker(self) -> Iterator[Settings]:
        """Occupy a worker, when one is free."""
        with self._change:
            self._change.wait_for(self._is_free)
            self._busy += 1
            settings = self.settings
        began = time.monotonic()
        try:
            yield settings
        finally:
            with self._change:
                self._busy -= 1
                self._change.notify()
            self.meter.note(time.monotonic() - began)

    def _is_free(self) -> bool:
        return not self.settings.workers or self._busy < self.settings.workers

    def report(self) -> str:
        """Return an ORCA load report, as an HTTP header has it.

        See github.com/cncf/xds, proposal "Open Request Cost Aggregation".
        """
        settings = self.settings
        rate, utilization = self.meter.read(settings.workers)
        load = {
            "rps_fractional": rate if settings.rate is None else settings.rate,
            "cpu_utilization": (
                utilization if settings.utilization is None else settings.utilization
            ),
        }
        return f"JSON {json.dumps(load)}"


class Server(ThreadingHTTPServer):
    """Takes connections as fast as they come."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type["Handler"], backend: Backend
    ) -> None:
        self.backend = backend
        super().__init__(address, handler)


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1, keeps connections, and sends an answer in one packet."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    @property
    def backend(self) -> Backend:
        """What all handlers of a server have in common."""
        assert isinstance(self.server, Server)  # noqa: S101 - narrows the type
        return self.server.backend

    def answer(
        self, status: int, body: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send *body* as text."""
        payload = body.encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Say nothing: there are thousands of requests."""


class Traffic(Handler):
    """Answers what the mesh sends, and health checks."""

    def do_GET(self) -> None:
        backend = self.backend
        if backend.settings.down:
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{backend.name} is down\n")
        elif self.path == "/healthz":
            self.answer(HTTPStatus.OK, "ok\n")
        else:
            self._serve(backend)

    def _serve(self, backend: Backend) -> None:
        with backend.worker() as settings:
            time.sleep(settings.latency_ms / 1000)
            is_error = random.random() < settings.error_rate  # noqa: S311 - no secret
        headers = {"x-backend": backend.name}
        if settings.reports:
            headers["endpoint-load-metrics"] = backend.report()
        status = HTTPStatus.INTERNAL_SERVER_ERROR if is_error else HTTPStatus.OK
        self.answer(status, f"{backend.name}\n", headers)


class Control(Handler):
    """Shows and changes the settings."""

    def do_GET(self) -> None:
        if self.path == "/settings":
            self._show(self.backend.settings)
        else:
            self.answer(HTTPStatus.NOT_FOUND, "here are only /settings\n")

    def do_PUT(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path != "/settings":
            self.answer(HTTPStatus.NOT_FOUND, "here are only /settings\n")
            return
        try:
            values: object = json.loads(body)
            if not isinstance(values, dict):
                message = f"must be a mapping (got {values!r})"
                raise ValueError(message)  # noqa: TRY004, TRY301 - answered as the others
            settings = self.backend.set(values)
        except ValueError as error:
            self.answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
        else:
            self._show(settings)

    def _show(self, settings: Settings) -> None:
        self.answer(HTTPStatus.OK, json.dumps(asdict(settings)) + "\n")


def main() -> None:
    names = {each.name: each.name.upper() for each in fields(Settings)}
    told = {key: os.environ[name] for key, name in names.items() if name in os.environ}
    name = os.environ.get("NAME") or socket.gethostname()
    try:
        backend = Backend(name, Settings().changed(told))
    except ValueError as error:
        sys.exit(f"error: {error}")
    # The first process of a container ends at SIGTERM only if it says so.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    control = Server((ADDRESS, CONTROL_PORT), Control, backend)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    Server((ADDRESS, PORT), Traffic, backend).serve_forever()


if __name__ == "__main__":
    main()
