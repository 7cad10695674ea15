"""How consistent hashes are put to the test: RingHash, Maglev, IPHash.

An upstream on the rig in; affinity, placement, shares and stability out. Each key is a
client that differs from all others in everything that the policy hashes. 1,200 keys
find shares that are 22 % off (root mean square) in 999 of 1,000 runs; weights of 1:2:3
in place of equal ones are 41 % off. Placement finds any single key.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from xds_server.api.policy import HashHeader, HashKey, Maglev, RingHash
from xds_server.lab import theory, verdict
from xds_server.lab.hash_function import combine
from xds_server.lab.subject import Measurement, Subject, UnmeasurableError
from xds_server.lab.traffic import DEFAULT_SOURCE, Request, hold
from xds_server.lab.verdict import Check

KEYS: Final = 1_200
_CONCURRENCY: Final = 8
"""Where a key goes is not up to what else is in flight, unless load is bounded."""
_HOT: Final = 16
"""Requests of one key in flight, to meet a bound."""
_BLOCK: Final = 250
_SOURCES: Final = _BLOCK * _BLOCK
_FIXED_HEADERS: Final = frozenset(
    {"connection", "content-length", "host", "transfer-encoding"}
)
_ENVOYS_OWN: Final = ("x-envoy-", "x-forwarded-", "x-request-id")


class _Client(NamedTuple):
    """A client: the request that it sends each time, and the hash of its keys."""

    request: Request
    hash: int


async def measure_hash(subject: Subject) -> Measurement:
    """Many keys, twice, and once more without one endpoint."""
    consistent = theory.consistent_hash(subject.load_balancer)
    clients = _clients(subject)
    requests = [client.request for client in clients]
    concurrency = 1 if consistent.bounded_load_percent else _CONCURRENCY
    first = await subject.send(requests, concurrency)
    again = await subject.send(requests, concurrency)
    table = theory.build_table(consistent, _by_address(subject, subject.eligible))
    shares = theory.shares_of(subject.weights)
    checks = [verdict.check_affinity(first, again)]
    if table is not None:
        owned = table.shares()
        shares = tuple(owned.get(str(b.address), 0.0) for b in subject.stand.backends)
        owners = subject.positions(table.owner(client.hash) for client in clients)
        checks.append(verdict.check_placement(first, owners))
    counts = verdict.count(first, len(subject.weights))
    checks.append(verdict.check_chi_square(counts, shares))
    if len(subject.eligible) > 1:
        checks.append(await _without_one(subject, consistent, requests, first))
    if consistent.bounded_load_percent:
        checks.append(await _hot_key(subject, consistent, requests[0]))
    return Measurement(
        promise="same key, same endpoint; shares of the "
        + ("ring" if isinstance(consistent, RingHash) else "Maglev table"),
        expected=shares,
        counts=counts,
        checks=tuple(checks),
    )


async def _without_one(
    subject: Subject,
    consistent: RingHash | Maglev,
    requests: Sequence[Request],
    first: Sequence[int],
) -> Check:
    """Remove the last endpoint, send all keys again, and put it back."""
    *stay, removed = subject.eligible
    before = theory.build_table(consistent, _by_address(subject, (*stay, removed)))
    after = theory.build_table(consistent, _by_address(subject, stay))
    expected = 1 / len(subject.eligible)
    if before is not None and after is not None:
        expected = before.moved(after)
    await subject.keep(set(range(len(subject.weights))) - {removed})
    concurrency = 1 if consistent.bounded_load_percent else _CONCURRENCY
    moved = await subject.send(requests, concurrency)
    await subject.keep(None)
    return verdict.check_stability(first, moved, removed, expected)


async def _hot_key(
    subject: Subject, consistent: RingHash | Maglev, request: Request
) -> Check:
    """Keep requests of one key in flight: each endpoint takes its bound, not more.

    Envoy passes over an endpoint that has more in flight than its part of all times the
    factor (thread_aware_lb_impl.cc), so the last one taken may be one more.
    """
    async with hold(subject.stand.target, [request] * _HOT) as holders:
        counts = verdict.count(subject.positions(holders), len(subject.weights))
    percent = consistent.bounded_load_percent or 0
    slots = math.ceil(_HOT * percent / 100)
    bounds = [math.ceil(slots * s) + 1 for s in theory.shares_of(subject.weights)]
    return verdict.check_bounds(counts, bounds)


def _by_address(subject: Subject, endpoints: Iterable[int]) -> dict[str, int]:
    return {
        str(subject.stand.backends[i].address): subject.weights[i] for i in endpoints
    }


def _clients(subject: Subject) -> list[_Client]:
    """Return many clients that differ in everything that the policy hashes."""
    keys = theory.hash_keys(subject.load_balancer)
    number = subject.requests or KEYS
    names = subject.randomness.sample(range(10**9), number)
    sources = subject.randomness.sample(range(_SOURCES), min(number, _SOURCES))
    return [
        _client(keys, f"key-{name}", sources[position % len(sources)])
        for position, name in enumerate(names)
    ]


def _client(keys: Sequence[HashKey], name: str, source: int) -> _Client:
    """Return the client *name*, which has the *source*-th loopback address."""
    headers: list[tuple[str, str]] = []
    queries: list[str] = []
    values: list[str] = []
    address = DEFAULT_SOURCE
    for key in keys:
        value = name
        if key.header is not None:
            value = _header_value(key.header, name, source)
            headers.append((key.header.name, value))
        elif key.cookie is not None:
            headers.append(("cookie", f"{key.cookie.name}={name}"))
        elif key.query_parameter is not None:
            queries.append(f"{key.query_parameter.name}={name}")
        else:
            value = address = _source_address(source)
        values.append(value)
    path = f"/?{'&'.join(queries)}" if queries else "/"
    request = Request(path=path, headers=tuple(headers), source=address)
    return _Client(request, combine(values))


def _source_address(source: int) -> str:
    block, number = divmod(source, _BLOCK)
    return f"127.0.{1 + block}.{1 + number}"


def _header_value(header: HashHeader, name: str, source: int) -> str:
    """Return what the client *name* sends as *header*."""
    if header == theory.FIRST_FORWARDED:
        return _source_address(source)
    fixed = header.name in _FIXED_HEADERS or header.name.startswith((":", *_ENVOYS_OWN))
    if fixed or header.regex is not None:
        message = f"the lab cannot make up values of the hashed header {header.name}"
        raise UnmeasurableError(message)
    return name
