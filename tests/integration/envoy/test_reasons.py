"""No rule is superstition: what `check` refuses would do harm.

Each bad policy of the tables of limits, which breaks one rule, is translated as if
there were no rules, and shown to a real Envoy. It refuses it, or ends, or its messages
cannot hold it; for all others `tests.fuzz.reasons` has a reason, and where that says
that something was measured, it is measured here.
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.api import corpus, sections as tables
from tests.fuzz.reasons import COOKIE, ESCAPES, FAILS, RANDOM, REASONS
from tests.fuzz.unchecked import WrongTypeError, unchecked
from tests.integration.envoy.world import LOOPBACK
from tests.translate.mesh_input import make_service, make_upstream
from tests.translate.static_bootstrap import refusal, static_bootstrap
from xds_server import translate
from xds_server.api.policy import LoadBalancer, PolicySpec
from xds_server.lab.backend import Address, Backend, serve_backends
from xds_server.lab.envoy import find_envoy, run_envoy
from xds_server.lab.scenario import free_port
from xds_server.lab.traffic import AnswerError, Request, Target, hold, send
from xds_server.mesh.model import Audience, Endpoint, Protocol, Sections, Upstream
from xds_server.translate.check import TranslateError

pytestmark = [pytest.mark.envoy, pytest.mark.thorough, pytest.mark.timeout(900)]

Spec = Mapping[str, object]
HOSTS = 3


def written_badly() -> Iterator[tuple[str, Spec]]:
    """Yield each policy that breaks one rule, after how it is written."""
    balancers = [
        *(
            row.format(f"{name}: {bad}")
            for row, name, _, all_bad, _ in corpus.LIMITS
            for bad in all_bad
        ),
        *(
            corpus.KEY.format(row.format(bad))
            for row, _, all_bad, _ in corpus.NAMES
            for bad in all_bad
        ),
    ]
    for written in balancers:
        yield f"loadBalancer {written}", {"loadBalancer": yaml.safe_load(written)}
    for section, written, _ in tables.BAD:
        yield f"{section} {written}", {section: yaml.safe_load(written)}


def translated(spec: Spec, endpoints: Sequence[Endpoint], name: str) -> Upstream:
    """Return the upstream of a policy that nobody has checked.

    Raises:
        WrongTypeError: it is none.
    """
    if not all(isinstance(section, dict | float) for section in spec.values()):
        raise WrongTypeError
    policy = unchecked(PolicySpec, {"targetRefs": [], **spec})
    is_http2 = "healthCheck" in spec or "http2" in str(spec)
    protocol = Protocol.HTTP2 if is_http2 else Protocol.HTTP1
    plain = make_upstream(*endpoints, service=name, protocol=protocol)
    sections = {each.name: getattr(policy, each.name) for each in fields(Sections)}
    balancer = policy.load_balancer or LoadBalancer()
    return replace(plain, load_balancer=balancer, sections=Sections(**sections))


@pytest.fixture(autouse=True)
def _without_rules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the last line of defence away, too, and keep nothing that was built so."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(translate.__path__, f"{translate.__name__}.")
    ]
    for module in modules:
        if hasattr(module, "require"):
            monkeypatch.setattr(module, "require", lambda *_: None)
    yield
    for module in modules:
        for each in vars(module).values():
            if hasattr(each, "cache_clear"):
                each.cache_clear()


def is_taken(upstream: Upstream, folder: Path) -> bool:
    """Return whether an Envoy takes an upstream without a word."""
    try:
        bootstrap = static_bootstrap(Audience(), [make_service(upstream)])
    except (ValueError, TranslateError, AssertionError):
        return False  # its messages cannot hold it, or lack what they must have
    return refusal(bootstrap, folder) is None


def test_there_is_a_reason_for_each_rule(tmp_path: Path) -> None:
    endpoints = [
        Endpoint(address=f"127.0.0.{host}", port=80, weight=host) for host in (1, 2, 3)
    ]
    used, without_reason = set[str](), list[str]()
    for written, spec in written_badly():
        try:
            upstream = translated(spec, endpoints, "web")
        except WrongTypeError:
            continue
        if not is_taken(upstream, tmp_path):
            continue
        found = [part for part in REASONS if part in written]
        used.update(found)
        if not found:
            without_reason.append(written)

    assert without_reason == [], "\n".join(without_reason)
    assert used == set(REASONS)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A Service under a bad policy, behind a real Envoy."""

    written: str
    target: Target
    backends: Sequence[Backend]


@asynccontextmanager
async def run_measured(
    folder: Path, specs: Mapping[str, Spec]
) -> AsyncIterator[Sequence[Subject]]:
    """Run one Envoy with a Service for each of *specs*, which it takes."""
    port, listener = free_port(), Address(LOOPBACK, free_port())
    admin = Address(LOOPBACK, free_port())
    backends = [
        Backend(address=Address(f"127.0.8.{1 + host}", port), protocol=Protocol.HTTP1)
        for host in range(HOSTS)
    ]
    endpoints = [
        Endpoint(address=each.address.ip, port=port, weight=1) for each in backends
    ]
    services = [
        make_service(translated(spec, endpoints, f"s{number}"))
        for number, spec in enumerate(specs.values())
    ]
    audience = Audience(listen_port=listener.port)
    bootstrap = static_bootstrap(audience, services)
    bootstrap.admin.address.socket_address.port_value = admin.port
    file = folder / "bootstrap.pb"
    file.write_bytes(bootstrap.SerializeToString())
    async with serve_backends(backends), run_envoy(find_envoy(), file, admin) as envoy:
        await envoy.wait_for_listeners(frozenset([listener]))
        yield [
            Subject(
                written=written,
                target=Target(
                    listener=listener,
                    authority=f"s{number}.shop",
                    protocol=Protocol.HTTP1,
                ),
                backends=backends,
            )
            for number, written in enumerate(specs)
        ]


def measured(what: str) -> Mapping[str, Spec]:
    """Return the policies of which it is said that *what* was measured."""
    return {
        written: spec
        for written, spec in written_badly()
        for part, reason in REASONS.items()
        if reason == what and part in written
    }


async def test_requests_that_are_not_answered(tmp_path: Path) -> None:
    async with run_measured(tmp_path, measured(FAILS)) as subjects:
        for subject in subjects:
            with pytest.raises(AnswerError):
                await send(subject.target, [Request()])


async def test_limits_that_do_not_hold(tmp_path: Path) -> None:
    """No connection is allowed, and there are three requests at once."""
    async with run_measured(tmp_path, measured(ESCAPES)) as subjects:
        for subject in subjects:
            async with hold(subject.target, [Request()] * HOSTS) as holders:
                assert len(holders) == HOSTS


async def test_busy_endpoints_that_get_as_much_as_idle_ones(tmp_path: Path) -> None:
    """Of 600 requests its share is 1/3: fewer than 100 by chance with p < 1e-18.

    With two choices it would be 1/9: more than 100 by chance with p < 1e-4.
    """
    async with run_measured(tmp_path, measured(RANDOM)) as subjects:
        for subject in subjects:
            async with hold(subject.target, [Request()] * 30) as holders:
                busiest = Counter(holders).most_common(1)[0][0]
                served = await send(subject.target, [Request()] * 600)

            assert served.count(busiest) > 100


async def test_cookies_that_are_not_what_is_written(tmp_path: Path) -> None:
    """Its name, path and age, read as a browser does (RFC 6265, section 5.2)."""
    specs = measured(COOKIE)
    async with (
        run_measured(tmp_path, specs) as subjects,
        aiohttp.ClientSession() as http,
    ):
        for subject, spec in zip(subjects, specs.values(), strict=True):
            headers = {"host": subject.target.authority}
            url = f"http://{subject.target.listener}/"
            async with http.get(url, headers=headers) as answer:
                got = answer.headers["set-cookie"]

            assert as_read(got) != as_meant(spec), subject.written


def as_read(header: str) -> tuple[str, str | None, str | None]:
    """Return the name, path and age of a cookie."""
    pair, *attributes = header.split(";")
    found = dict(part.strip().partition("=")[::2] for part in attributes)
    return pair.partition("=")[0].strip(), found.get("Path"), found.get("Max-Age")


def as_meant(spec: Spec) -> tuple[str, str | None, str | None]:
    """Return the same of the cookie that a policy asks for."""
    policy = unchecked(PolicySpec, {"targetRefs": [], **spec})
    assert policy.load_balancer is not None
    cookie = policy.load_balancer.hash_on[0].cookie
    assert cookie is not None
    age = cookie.ttl.total_seconds()
    return cookie.name or "a name", cookie.path, f"{age:g}" if age else None
