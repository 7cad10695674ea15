"""A program that calls through `xds:///` channels, and says who answered.

It is a process of its own, since gRPC reads its bootstrap from the environment once.
One JSON order a line comes in on stdin, one JSON answer a line goes out on stdout; each
is described by the test's side, `world.Caller`.
"""

import asyncio
import json
import sys
from dataclasses import dataclass

import grpc  # type: ignore[import-untyped]  # ships no types
import grpc.aio  # type: ignore[import-untyped]  # ships no types

METHOD = "/lab.Lab/Who"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to call: one call for each entry of `metadata`, one after the other.

    `timeout` is that of each call, in seconds. `is_fresh` takes a new channel.
    """

    target: str
    metadata: list[list[list[str]]]
    timeout: float
    is_fresh: bool


class Channels:
    """One channel a target, like an application has."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def carry_out(self, order: Order) -> list[str]:
        """Return the answer of each call; of one that fails, `CODE: details`."""
        if order.is_fresh:
            async with self._open(order.target) as channel:
                return await _call(channel, order)
        if order.target not in self._channels:
            self._channels[order.target] = self._open(order.target)
        return await _call(self._channels[order.target], order)

    def _open(self, target: str) -> grpc.aio.Channel:
        # Channels of one target share connections, and so a fresh one would be none.
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.insecure_channel(target, options=options)


async def _call(channel: grpc.aio.Channel, order: Order) -> list[str]:
    who = channel.unary_unary(METHOD)
    answers = []
    for entry in order.metadata:
        metadata = tuple((key, value) for key, value in entry)
        try:
            answer = await who(b"", metadata=metadata, timeout=order.timeout)
        except grpc.aio.AioRpcError as error:
            answers.append(f"{error.code().name}: {error.details()}")
        else:
            answers.append(answer.decode())
    return answers


async def main() -> None:
    """Carry out orders until there are no more."""
    channels = Channels()
    while line := await asyncio.to_thread(sys.stdin.readline):
        answers = await channels.carry_out(Order(**json.loads(line)))
        sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
