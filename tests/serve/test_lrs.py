"""Load reports over gRPC: what clients are asked for, when, and what becomes of it."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest, LoadStatsResponse
from google.protobuf.message import DecodeError
from hypothesis import given, strategies as st

from tests.serve.setting import Setting
from tests.serve.wire import LRS
from xds_server.load import ClusterLoad, EndpointLoad, LoadReport, MetricSum
from xds_server.serve.ending import RequestError
from xds_server.serve.load_decoding import decode_report
from xds_server.serve.lrs import (
    MOST_PER_SECOND,
    NOTHING_MATTERS,
    REPORT_WEIGHT,
    SELDOM,
    SENDS_ALL_CLUSTERS,
    IgnoredReports,
    LoadDemand,
    LoadStream,
)
from xds_server.serve.node import Node

SHORT = timedelta(seconds=2)


def stats_of(
    name: str, endpoints: Collection[tuple[str, int]] = (("10.0.0.1", 8080),)
) -> ClusterStats:
    """Return the stats of a cluster whose endpoints have had an answer each."""
    stats = ClusterStats(cluster_name=name)
    stats.load_report_interval.FromMilliseconds(1500)
    locality = stats.upstream_locality_stats.add()
    for address, port in endpoints:
        endpoint = locality.upstream_endpoint_stats.add(
            total_issued_requests=4,
            total_successful_requests=1,
            total_error_requests=2,
            total_requests_in_progress=3,
        )
        endpoint.address.socket_address.address = address
        endpoint.address.socket_address.port_value = port
        endpoint.load_metric_stats.add(
            metric_name="named_metrics.a",
            num_requests_finished_with_metric=1,
            total_metric_value=12.5,
        )
    return stats


LOAD = EndpointLoad(
    address="10.0.0.1:8080",
    issued=4,
    succeeded=1,
    failed=2,
    in_progress=3,
    metrics={"named_metrics.a": MetricSum(1, 12.5)},
)


class Peer:
    """A client that reports load, as an Envoy does: with its node in every report."""

    def __init__(self, setting: Setting, features: Sequence[str] = ()) -> None:
        self._node = NodeMessage(id="sidecar-1", client_features=features)
        self._call = setting.channel.stream_stream(LRS)()
        self._received = setting.reports.received

    async def report(self, *stats: ClusterStats) -> None:
        request = LoadStatsRequest(node=self._node, cluster_stats=stats)
        await self._call.write(request.SerializeToString())

    async def asked(self) -> LoadStatsResponse:
        return LoadStatsResponse.FromString(await self._call.read())

    async def heard(self) -> LoadReport:
        return await self._received.get()

    def leave(self) -> None:
        self._call.cancel()


@asynccontextmanager
async def connected(
    setting: Setting, features: Sequence[str] = ()
) -> AsyncIterator[tuple[Peer, LoadStatsResponse]]:
    """Connect a client; yield it and what it is asked for first."""
    peer = Peer(setting, features)
    await peer.report()
    yield peer, await peer.asked()
    peer.leave()


@pytest.mark.parametrize("can_send_all", [True, False])
async def test_all_clusters_are_asked_of_who_knows_them(
    setting: Setting, *, can_send_all: bool
) -> None:
    """Rule 42: send_all_clusters only for clients that know it."""
    features = [SENDS_ALL_CLUSTERS] * can_send_all
    async with connected(setting, features) as (peer, asked):
        await peer.report(stats_of("a"))
        heard = await peer.heard()

    assert asked.send_all_clusters is can_send_all
    assert list(asked.clusters) == []
    assert asked.report_endpoint_granularity
    assert asked.load_reporting_interval.ToTimedelta() == SHORT
    assert heard == LoadReport(
        node_id="sidecar-1",
        clusters=(ClusterLoad(cluster="a", seconds=1.5, endpoints=(LOAD,)),),
    )


async def test_clusters_that_matter_are_asked_for_by_name(setting: Setting) -> None:
    """Also of clients that could send all: they would."""
    setting.server.ask_for_load(["b", "a"])
    async with connected(setting, [SENDS_ALL_CLUSTERS]) as (peer, asked):
        await peer.report(stats_of("b"), stats_of("other"))
        heard = await peer.heard()

    assert list(asked.clusters) == ["a", "b"]
    assert not asked.send_all_clusters
    assert [each.cluster for each in heard.clusters] == ["b"]


async def test_where_nothing_matters_nothing_is_reported_for_long(
    setting: Setting,
) -> None:
    setting.server.ask_for_load([])
    async with connected(setting, [SENDS_ALL_CLUSTERS]) as (peer, asked):
        assert not asked.send_all_clusters
        assert asked.load_reporting_interval.ToTimedelta() == NOTHING_MATTERS

        setting.server.ask_for_load(["a"])
        again = await peer.asked()  # at once: no period is lost

        assert list(again.clusters) == ["a"]
        assert again.load_reporting_interval.ToTimedelta() == SHORT


async def test_a_change_is_told_to_who_is_connected(setting: Setting) -> None:
    setting.server.ask_for_load(["a"])
    async with connected(setting) as (peer, _):
        setting.server.ask_for_load(["a", "b"])
        setting.server.ask_for_load(["a", "c"])
        await peer.report(stats_of("a"))

        assert list((await peer.asked()).clusters) == ["a", "c"]


class Silent:
    """A stream of a client, by hand: it says nothing until it is made to."""

    def __init__(self, interval: timedelta) -> None:
        self.demand = LoadDemand(["a"], interval)
        self.said = asyncio.Queue[bytes | None]()
        self._written = asyncio.Queue[bytes]()
        self.stream = LoadStream(
            Node(id="a"), self.demand, IgnoredReports(), self._written.put
        )

    async def messages(self) -> AsyncIterator[bytes]:
        while (message := await self.said.get()) is not None:
            yield message

    async def asked(self) -> list[str]:
        return list(LoadStatsResponse.FromString(await self._written.get()).clusters)

    async def was_asked_nothing(self) -> bool:
        """Whether no more is asked, after all that can go on has."""
        for _ in range(10):
            await asyncio.sleep(0)
        return self._written.empty()


async def test_a_change_is_told_when_a_period_has_ended() -> None:
    """A response begins a period anew: in the midst of one, it would be lost."""
    client = Silent(timedelta(hours=1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.stream.run(tasks, client.messages()))
        first = await client.asked()
        client.demand.ask_for(["b"])
        is_patient = await client.was_asked_nothing()
        client.said.put_nowait(b"")
        second = await client.asked()
        client.said.put_nowait(None)

    assert (first, is_patient, second) == (["a"], True, ["b"])


async def test_who_reports_nothing_is_told_all_the_same() -> None:
    """Some clients are silent where they have had no traffic."""
    client = Silent(timedelta(milliseconds=1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.stream.run(tasks, client.messages()))
        await client.asked()
        client.demand.ask_for(["b"])
        second = await client.asked()
        client.said.put_nowait(None)

    assert second == ["b"]


def stream_of(demand: LoadDemand) -> LoadStream:
    async def drop(_: bytes) -> None:
        """Send nothing."""

    return LoadStream(Node(id="a"), demand, IgnoredReports(), drop)


def test_reports_come_less_often_where_they_would_be_too_much() -> None:
    """The rate stays below the bound, whatever is reported; and comes back."""
    demand = LoadDemand(None, SHORT)
    streams = [stream_of(demand) for _ in range(1000)]
    for stream in streams:
        demand.count(stream, 10)
    few = demand.request.interval
    for stream in streams:
        demand.count(stream, 1000)
    many, total = demand.request.interval, 1000 * (1000 + REPORT_WEIGHT)
    for stream in streams[10:]:
        demand.forget(stream)

    assert few == SHORT
    assert total / many.total_seconds() <= MOST_PER_SECOND
    assert total / (many / 2).total_seconds() > MOST_PER_SECOND
    assert demand.request.interval == SHORT


def test_the_interval_does_not_flap() -> None:
    """Around a bound, it changes once."""
    demand = LoadDemand(None, SHORT)
    stream = stream_of(demand)
    bound = 2 * MOST_PER_SECOND - REPORT_WEIGHT
    seen = []
    for change in (1, -1, 1, -1, 1):
        demand.count(stream, bound + change)
        seen.append(demand.request.interval)

    assert seen == [2 * SHORT] * 5


@given(
    names=st.lists(st.text(min_size=1, max_size=5), max_size=4),
    wanted=st.none() | st.frozensets(st.text(min_size=1, max_size=2)),
    padding=st.binary(max_size=300),
)
def test_a_report_says_what_protobuf_says(
    names: list[str], wanted: frozenset[str] | None, padding: bytes
) -> None:
    """Whatever else is in it, and in what order."""
    request = LoadStatsRequest(cluster_stats=[stats_of(name) for name in names])
    request.node.user_agent_name = padding.hex()
    report = decode_report(request.SerializeToString(), "a", wanted)

    assert report.node_id == "a"
    assert [each.cluster for each in report.clusters] == [
        name for name in names if wanted is None or name in wanted
    ]
    assert all(each.endpoints == (LOAD,) for each in report.clusters)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_report_are_refused_or_say_nothing(data: bytes) -> None:
    """Nothing else happens; what protobuf takes, too, is understood alike."""
    with suppress(RequestError, DecodeError):
        report = decode_report(data, "a", None)
        expected = LoadStatsRequest.FromString(data).cluster_stats

        assert [each.cluster for each in report.clusters] == [
            each.cluster_name for each in expected
        ]


def test_a_report_that_is_cut_off_is_refused() -> None:
    whole = LoadStatsRequest(cluster_stats=[stats_of("a")]).SerializeToString()

    for length in range(1, len(whole)):
        with pytest.raises(RequestError):
            decode_report(whole[:length], "a", None)


def test_six_is_written_in_brackets_and_numbers_are_as_they_came() -> None:
    """What is absurd is for whoever sums up to say: here nothing is lost of it."""
    stats = stats_of("a", [("fd00::1", 80)])
    (endpoint,) = stats.upstream_locality_stats[0].upstream_endpoint_stats
    endpoint.load_metric_stats[0].total_metric_value = float("-inf")
    endpoint.total_issued_requests = 2**64 - 1
    request = LoadStatsRequest(cluster_stats=[stats])
    ((cluster,),) = [decode_report(request.SerializeToString(), "a", None).clusters]
    (found,) = cluster.endpoints

    assert found.address == "[fd00::1]:80"
    assert found.issued == 2**64 - 1
    assert found.metrics["named_metrics.a"].total == float("-inf")


def test_however_much_is_reported_it_is_wanted_every_few_minutes() -> None:
    demand = LoadDemand(["a"], SHORT)
    demand.count(Silent(SHORT).stream, 10_000 * MOST_PER_SECOND)
    asked = demand.request.interval
    demand.ask_for(["a"], SHORT / 4)

    assert SELDOM <= asked < 2 * SELDOM
    assert SELDOM <= demand.request.interval < 2 * SELDOM


@pytest.mark.parametrize("seconds", [0, -1])
def test_reports_without_end_are_refused(seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    with pytest.raises(ValueError, match="must be more than 0"):
        LoadDemand(None, interval)
    with pytest.raises(ValueError, match="must be more than 0"):
        LoadDemand(None, SHORT).ask_for(None, interval)


def test_reports_are_wanted_more_often_for_a_while() -> None:
    """As often as who asks wants them, unless that is too much."""
    demand, client = LoadDemand(["a"], SHORT), Silent(SHORT).stream
    often = timedelta(milliseconds=500)
    demand.ask_for(["a"], often)
    intervals = [demand.request.interval]
    demand.ask_for(["b"])
    intervals.append(demand.request.interval)
    demand.count(client, MOST_PER_SECOND - REPORT_WEIGHT)
    demand.ask_for(["b"], SHORT)
    demand.ask_for(["b"], often)
    intervals.append(demand.request.interval)
    demand.forget(client)
    intervals.append(demand.request.interval)

    assert intervals == [often, often, 2 * often, often]
