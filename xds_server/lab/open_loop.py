"""Requests at a steady rate, whatever becomes of them: an open loop.

A rate in; how long each request took, from when it was due, and who answered, out. A
client that waits for an answer before it asks again (a closed loop) asks a slow server
less, and so hides how slow it is (Schroeder et al., Open Versus Closed: A Cautionary
Tale, NSDI 2006). All traffic stays on loopback.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from xds_server.lab.backend import IDENTITY_HEADER
from xds_server.lab.error import LabError
from xds_server.lab.traffic import Request, Target, connect

_GIVE_UP: Final = 30.0
"""Seconds after which a request counts as failed."""
_OK: Final = 200
_NO_ANSWER: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one request.

    `due` is when it was to be sent, by the event loop's clock; `seconds` passed from
    then to its answer. `status` is 0 where none came, `server` empty where none says
    that it served. `headers` are the names of those of the answer, in lower case.
    """

    due: float
    seconds: float
    status: int
    server: str = ""
    headers: frozenset[str] = frozenset()

    @property
    def is_ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status == _OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a stretch of time was like. Latencies are in seconds."""

    requests: int
    error_share: float
    median: float
    p99: float
    shares: Mapping[str, float]


def figures_of(answers: Iterable[Answer]) -> Figures:
    """Return the figures of *answers*, of which there must be some.

    A quantile is the least latency that so many of the answers do not exceed; requests
    that failed count as well. Shares are of what any server answered.
    """
    found = tuple(answers)
    latencies = sorted(answer.seconds for answer in found)
    served = Counter(answer.server for answer in found if answer.server)
    total = served.total()
    return Figures(
        requests=len(found),
        error_share=sum(not answer.is_ok for answer in found) / len(found),
        median=quantile(latencies, 0.5),
        p99=quantile(latencies, 0.99),
        shares={server: count / total for server, count in served.items()},
    )


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return the least of *ordered* numbers that so large a *part* does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def send_steadily(
    target: Target,
    rate: float,
    seconds: float,
    randomness: random.Random,
    make_request: Callable[[], Request] = Request,
) -> list[Answer]:
    """Send requests at *rate* a second for so many *seconds*, at random times.

    Returns when each has its answer. Raises `LabError` where Envoy does not listen.
    """
    loop = asyncio.get_running_loop()
    pool, answers = _Pool(target), list[Answer]()

    async def ask(due: float) -> None:
        answers.append(await pool.ask(make_request(), due))

    due = loop.time()
    end = due + seconds
    try:
        async with asyncio.TaskGroup() as tasks:
            while (due := due + randomness.expovariate(rate)) < end:
                await asyncio.sleep(due - loop.time())
                tasks.create_task(ask(due), name="ask")
    except* LabError as group:
        raise group.exceptions[0] from None
    finally:
        pool.close()
    return answers


class _Pool:
    """The connections of one client: idle ones are used again, the last one first."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()

    async def ask(self, request: Request, due: float) -> Answer:
        """Return what becomes of *request*, which was *due* then."""
        loop = asyncio.get_running_loop()
        connection = self._idle.pop() if self._idle else await self._open()
        try:
            async with asyncio.timeout(_GIVE_UP):
                status, headers = await connection.ask(
                    request.encode(self._target.authority)
                )
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self._all.discard(connection)
            connection.close()
            return Answer(due=due, seconds=loop.time() - due, status=_NO_ANSWER)
        self._idle.append(connection)
        return Answer(
            due=due,
            seconds=loop.time() - due,
            status=status,
            server=headers.get(IDENTITY_HEADER, ""),
            headers=frozenset(headers),
        )

    async def _open(self) -> "_Connection":
        connection = _Connection(*await connect(self._target))
        self._all.add(connection)
        return connection

    def close(self) -> None:
        """Close all connections at once."""
        for connection in self._all:
            connection.close()


class _Connection:
    """One connection, which has one request at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> tuple[int, Mapping[str, str]]:
        """Return the status and the headers of the answer to *request*."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        await self._reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ", 2)[1]), headers

    def close(self) -> None:
        """Close at once."""
        self._writer.close()
