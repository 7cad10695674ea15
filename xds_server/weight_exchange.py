"""Replicas tell each other of load and weights, so that all serve the same weights.

In: what the control loop has to say, and the Leases of the other replicas. Out: a Lease
of this one's own, and events of the weights that another has computed. Who computes,
and what of it counts, is the loop's business (`control.team`).

It is a source that has listed when the others were heard: a replica that comes serves
the weights that there are, from its first answer on. Weights are not worth waiting for
long, though, where routes are there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from msgspec.structs import replace

from xds_server.control.loop import MOST_SHARED, ControlLoop
from xds_server.control.memory import YOUNG
from xds_server.control.team import FORMER
from xds_server.control.word import Word, decode, encode, without_absent
from xds_server.mesh.event import Event, Listed
from xds_server.replicas.lease import LeaseName, Term
from xds_server.replicas.member import LONGEST, Member
from xds_server.replicas.roll import Roll
from xds_server.sources.kube_api import KubeApi, KubeConfigError, KubeError

TERM: Final = Term(duration=timedelta(seconds=45))
"""Renewed every 15 s, unless there is something to say, which is every 10 s."""
_LOOK: Final = 0.25
"""Seconds after which it is looked whether there is something to say."""
_SETTLE: Final = 0.25
"""Seconds in which other ports take their steps, too."""
_PAUSE: Final = 2.0
"""The least seconds between two words."""
_REFRESHED: Final = 60.0
"""Seconds after which a word is said again, so that it is young."""
_PATIENCE: Final = 15.0
"""Seconds in which the others are to be heard, before all is served without them."""

logger = structlog.get_logger(__name__)

Report = Callable[[KubeError | KubeConfigError | None], None]


class WeightExchange:
    """The replica *replica* of those that elect by *lease*.

    *said* and *heard* are told why one of the two does not work, and None once it does;
    *clock* says the time of day, which others compare roughly.
    """

    name: Final = "replicas"

    def __init__(
        self,
        api: KubeApi,
        lease: LeaseName,
        replica: str,
        loop: ControlLoop,
        *,
        said: Report,
        heard: Report,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._loop = loop
        self._clock = clock
        name = lease.about("weights")
        self._member = Member(api, name, replica, report=said, term=TERM, stays=True)
        self._news = asyncio.Event()
        self._roll = Roll(
            api, name, replica, changed=self._news.set, report=heard, term=TERM
        )
        self._begun = asyncio.Event()
        self._texts: dict[str, tuple[str, Word]] = {}
        self._is_cut = False

    async def run(self) -> None:
        """Tell and hear for ever.

        Raises:
            KubeConfigError: the configuration cannot be read.
        """
        async with self._api.connected(), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._roll.run(), name="hear of weights")
            # What it said before it was started again is to be read first. It stays
            # said until there is more to say: nobody else may have these weights.
            await self._begun.wait()
            self._member.say(self._roll.own or encode(Word()))
            tasks.create_task(self._member.run(), name="tell of weights")
            await self._speak()

    async def batches(self) -> AsyncIterator[tuple[Event, ...]]:
        """Yield the weights that another computes, as they change; never ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while not self._roll.is_heard:
                    await self._next()
        yield (*await self._hear(), Listed(source=self.name))
        while True:
            await self._next()
            if events := await self._hear():
                yield events

    async def _next(self) -> None:
        await self._news.wait()
        self._news.clear()

    async def _hear(self) -> tuple[Event, ...]:
        """Take in what others say, or that they cannot be heard."""
        words = await self._words() if self._roll.is_heard else None
        events = self._loop.hear(words, asyncio.get_running_loop().time())
        if words is not None:
            self._begun.set()
        return events

    async def _words(self) -> Mapping[str, Word]:
        """Return what each of the others says, and first what this one has said."""
        reports = dict(self._roll.reports)
        if not self._begun.is_set():
            reports[FORMER] = self._roll.own
        for name in self._texts.keys() - reports.keys():
            del self._texts[name]
        for name, text in reports.items():
            if self._texts.get(name, ("",))[0] != text:
                self._texts[name] = text, await self._read(text)
        return {name: word for name, (_, word) in self._texts.items()}

    async def _read(self, text: str) -> Word:
        """Return what *text* says; weights that are old are none."""
        word = await asyncio.to_thread(decode, text)
        is_old = self._clock().timestamp() - word.said_at > YOUNG.total_seconds()
        return replace(word, speaks=False) if is_old else word

    async def _speak(self) -> None:
        """Say what there is to say whenever it is something else, once all is known."""
        loop, said, said_at = asyncio.get_running_loop(), -1, float("-inf")
        while True:
            self._loop.look(loop.time())
            is_old = said_at + _REFRESHED <= loop.time()
            is_same = self._loop.changes == said and not is_old
            if is_same or not self._loop.is_ready:
                await asyncio.sleep(_LOOK)
                continue
            await asyncio.sleep(_SETTLE)
            said, said_at = self._loop.changes, loop.time()
            self._member.say(await self._text())
            await asyncio.sleep(_PAUSE)

    async def _text(self) -> str:
        """Return what there is to say: of so many ports as have room.

        Rather of all ports than of endpoints that went.
        """
        now, most = asyncio.get_running_loop().time(), MOST_SHARED
        word, text = await self._told(now, most)
        while len(text) > LONGEST:
            most = most * 3 // 4
            word, text = await self._told(now, most)
        if word.last is not None and not self._is_cut:
            logger.warning(
                "too many endpoints: each replica weighs the last ports by itself",
                shared=most,
                last="{}/{}:{}".format(*word.last),
            )
        self._is_cut = word.last is not None
        return text

    async def _told(self, now: float, most: int) -> tuple[Word, str]:
        """Return what to say of so many endpoints at most, and as a text."""
        word = self._loop.word(now, most)
        word = replace(word, said_at=self._clock().timestamp())
        text = await asyncio.to_thread(encode, word)
        if len(text) > LONGEST:
            word = without_absent(word)
            text = await asyncio.to_thread(encode, word)
        return word, text
