"""A real Prometheus on this machine, that scrapes as the one of the Compose demos does.

Where xds-server and Envoys are in; answers of Prometheus's API out.
"""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import yaml

from tests.integration.envoy.world import LOOPBACK, PATIENCE
from xds_server.lab.backend import Address
from xds_server.lab.process import run_child
from xds_server.lab.scenario import free_port

REPOSITORY: Final = Path(__file__).parents[3]
CONFIG: Final = REPOSITORY / "deploy" / "prometheus" / "prometheus.yaml"
RULES: Final = CONFIG.with_name("rules.yaml")


class Sample(msgspec.Struct, frozen=True):
    """A series and its value, as text, at one time."""

    metric: dict[str, str]
    value: tuple[float, str]


class Result(msgspec.Struct, frozen=True):
    """What an expression is."""

    result: list[Sample]


class Target(msgspec.Struct, frozen=True, rename="camel"):
    """Something that is scraped."""

    health: str
    labels: dict[str, str]
    last_error: str


class Targets(msgspec.Struct, frozen=True, rename="camel"):
    """Everything that is scraped."""

    active_targets: list[Target]


class Rule(msgspec.Struct, frozen=True):
    """An alert; `state` is inactive, pending or firing."""

    name: str
    health: str
    state: str


class Group(msgspec.Struct, frozen=True):
    """Rules that are evaluated together."""

    rules: list[Rule]


class Groups(msgspec.Struct, frozen=True):
    """All rules."""

    groups: list[Group]


class Answer(msgspec.Struct, frozen=True):
    """An answer of the API, whatever its data are."""

    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""


def scrape_config(targets: dict[str, Address]) -> str:
    """Return the configuration of the demos, but for where each job's target is.

    Twice a second, since a rate takes two scrapes.
    """
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] |= {
        "scrape_interval": "500ms",
        "scrape_timeout": "400ms",
        "evaluation_interval": "500ms",
    }
    config["rule_files"] = [str(RULES)]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [str(targets.pop(job["job_name"]))]}]
    assert not targets, "a job of this name is not in the configuration"
    return yaml.safe_dump(config)


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """A running Prometheus."""

    address: Address
    session: aiohttp.ClientSession

    async def query(self, expression: str) -> list[Sample]:
        """Return what an expression is now."""
        data = await self._ask("query", {"query": expression})
        return msgspec.json.decode(data, type=Result).result

    async def label_values(self, label: str, selector: str) -> list[str]:
        """Return the values of a label of the series that *selector* names."""
        data = await self._ask(f"label/{label}/values", {"match[]": selector})
        return msgspec.json.decode(data, type=list[str])

    async def targets(self) -> list[Target]:
        """Return what is scraped, and how that goes."""
        data = await self._ask("targets", {})
        return msgspec.json.decode(data, type=Targets).active_targets

    async def rules(self) -> dict[str, Rule]:
        """Return the alerts by name."""
        groups = msgspec.json.decode(await self._ask("rules", {}), type=Groups).groups
        return {rule.name: rule for group in groups for rule in group.rules}

    async def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            url = f"http://{self.address}/-/ready"
            async with self.session.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def _ask(self, path: str, parameters: Mapping[str, str]) -> msgspec.Raw:
        url = f"http://{self.address}/api/v1/{path}"
        async with self.session.get(url, params=parameters) as got:
            answer = msgspec.json.decode(await got.read(), type=Answer)
        assert answer.status == "success", f"{parameters}: {answer.error}"
        return answer.data


@asynccontextmanager
async def run_prometheus(
    home: Path, targets: Mapping[str, Address]
) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes *targets*, by job; yield when it is ready."""
    binary = shutil.which("prometheus")
    assert binary is not None
    home.mkdir()
    (home / "prometheus.yaml").write_text(scrape_config(dict(targets)))
    address = Address(LOOPBACK, free_port())
    command = [
        *(binary, "--config.file", str(home / "prometheus.yaml")),
        *("--storage.tsdb.path", str(home / "data")),
        *("--web.listen-address", str(address)),
    ]
    async with (
        aiohttp.ClientSession() as session,
        run_child("prometheus", command, home / "prometheus.log") as child,
    ):
        prometheus = Prometheus(address=address, session=session)
        await child.wait_for(prometheus.is_ready, "readiness", PATIENCE)
        yield prometheus
