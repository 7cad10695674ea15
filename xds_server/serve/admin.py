"""The admin HTTP endpoint: health, readiness, metrics and status for people and tools.

In: what the composition root can tell (ready or not, a status value, metrics). Out:
`/healthz`, `/readyz`, `/metrics` (Prometheus) and `/status` (JSON). It changes nothing.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from xds_server.serve.address import split_address

Status = Mapping[str, object]


class AdminEndpoint:
    """Answers admin requests from what its callables return at that moment."""

    def __init__(
        self,
        *,
        is_ready: Callable[[], bool],
        status: Callable[[], Status],
        metrics: CollectorRegistry,
    ) -> None:
        self._is_ready = is_ready
        self._status = status
        self._metrics = metrics

    @asynccontextmanager
    async def listening(self, address: str) -> AsyncIterator[str]:
        """Serve on *address* (`host:port`) inside the block; yield the bound address.

        Raises:
            OSError: the address cannot be bound.
        """
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._expose_metrics),
                web.get("/status", self._expose_status),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            host, port = split_address(address)
            await web.TCPSite(runner, host, port).start()
            bound_port = runner.addresses[0][1]
            yield f"[{host}]:{bound_port}" if ":" in host else f"{host}:{bound_port}"
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._is_ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="waiting for the sources to list\n")

    async def _expose_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(self._metrics), headers={"Content-Type": content_type}
        )

    async def _expose_status(self, _: web.Request) -> web.Response:
        return web.json_response(self._status(), dumps=_dump)


def _dump(value: object) -> str:
    return json.dumps(value, indent=2)
