"""The xDS client inside grpcio against `xds-server serve`: every algorithm, live.

Statistical tests judge at a false-alarm rate of 1e-7 each; affinity, turns and where a
key lands are exact.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.envoy.world import Json, until
from tests.integration.grpc.world import World, run_backend, run_world
from tests.translate.policy_input import ACCEPTED
from xds_server.api.policy import RingHash
from xds_server.lab.backend import Address, Backend
from xds_server.lab.distribution import chi_square, normal
from xds_server.lab.hash_function import combine
from xds_server.lab.hash_table import build_ring
from xds_server.lab.scenario import free_port
from xds_server.mesh.model import Protocol
from xds_server.mesh.proxyless import RING_CAP

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("grpc"),
]

FALSE_ALARM = 1e-7
ROUND_ROBIN: Json = {"type": "RoundRobin"}
USERS = [f"user-{number}" for number in range(300)]
AS_USERS = [(("x-user", user),) for user in USERS]
BY_USER: Json = {"hashOn": [{"header": {"name": "x-user"}}]}


def weights(*each: int) -> Json:
    """Return the `weights` of the three endpoints."""
    rules = [
        {"addresses": [f"127.0.9.{number}"], "weight": weight}
        for number, weight in enumerate(each, start=1)
    ]
    return {"rules": rules}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Run one world for all tests that leave it as it was."""
    async with run_world(tmp_path_factory.mktemp("world"), ROUND_ROBIN) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: World) -> World:
    """Return the world with a policy of round robin in force."""
    await running.serve(ROUND_ROBIN, show_turns)
    return running


def shares_hold(served: Sequence[str], parts: Mapping[str, float]) -> bool:
    """Whether the counts fit the shares, by a chi-square test."""
    counts, total = Counter(served), sum(parts.values())
    assert set(counts) <= set(parts)
    found = [counts[name] for name in parts]
    expected = [len(served) * part / total for part in parts.values()]
    _, p_value = chi_square(found, expected)
    return p_value > FALSE_ALARM


def are_draws(served: Sequence[str], parts: Iterable[float]) -> bool:
    """Whether the calls are independent: neighbours are equal as often as by chance.

    Of independent draws with shares p, a pair is equal with probability s = sum(p^2);
    the number of equal ones has a variance of s - s^2 + 2 (sum(p^3) - s^2) a pair.
    """
    parts = tuple(parts)
    square, cube = (
        sum((part / sum(parts)) ** power for part in parts) for power in (2, 3)
    )
    pairs = len(served) - 1
    variance = pairs * (square - square**2 + 2 * (cube - square**2))
    equal = sum(a == b for a, b in pairwise(served))
    return normal((equal - pairs * square) / math.sqrt(variance)) > FALSE_ALARM


def show_turns(served: Sequence[str]) -> bool:
    """Whether any three calls in a row went to three endpoints."""
    return all(
        len(set(served[start : start + 3])) == 3 for start in range(len(served) - 2)
    )


def show_draws(served: Sequence[str]) -> bool:
    """Whether an endpoint came twice in a row, as in turns it never does."""
    return any(a == b for a, b in pairwise(served)) and len(set(served)) == 3


async def test_round_robin_takes_turns(world: World) -> None:
    """Of 300 calls each of three endpoints has exactly 100, in one order for ever."""
    served = await world.caller.times(300)

    assert Counter(served) == dict.fromkeys(world.mesh.names, 100)
    assert served == served[:3] * 100


@pytest.mark.parametrize("selection", ["RoundRobin", "Random"])
async def test_weights_are_shares(world: World, selection: str) -> None:
    """1:2:5 gives an eighth, a quarter and the rest, by independent draws.

    gRPC's own round robin, which ignores weights, would give thirds: chi-square above
    1,000 for 4,000 calls, where the limit is 32.
    """
    policy: Json = {"type": "Weighted", "weighted": {"selection": selection}}
    await world.serve({**policy, "weights": weights(1, 2, 5)}, show_draws)
    served = await world.caller.times(4000)

    assert shares_hold(served, dict(zip(world.mesh.names, (1, 2, 5), strict=True)))
    assert are_draws(served, (1, 2, 5))


async def test_endpoints_of_one_weight_share_its_part(world: World) -> None:
    """1:1:2 gives a quarter, a quarter and a half; the two quarters take turns."""
    await world.serve({"type": "Weighted", "weights": weights(1, 1, 2)}, show_draws)
    served = await world.caller.times(2000)
    first, second, third = world.mesh.names
    light = [name for name in served if name != third]

    assert shares_hold(served, {first: 1, second: 1, third: 2})
    assert all(one != other for one, other in pairwise(light))


async def test_a_weight_of_zero_gets_nothing(world: World) -> None:
    world.mesh.write_policy({"type": "Weighted", "weights": weights(1, 0, 1)})

    async def is_drained() -> bool:
        return world.mesh.names[1] not in await world.caller.times(60)

    await until(is_drained)
    served = await world.caller.times(500)

    assert world.mesh.names[1] not in served


async def test_random_is_answered_with_turns(world: World) -> None:
    before = await world.accepted("endpoint")
    world.mesh.write_policy({"type": "Random"})

    async def is_told() -> bool:
        return "instead of drawing at random" in str(await world.warnings())

    await until(is_told)
    served = await world.caller.times(300)

    assert served == served[:3] * 100
    assert await world.accepted("endpoint") == before


async def test_draws_go_around_an_endpoint_that_is_gone(tmp_path: Path) -> None:
    """The others keep their proportion, and no call fails once the loss is known."""
    policy: Json = {"type": "Weighted", "weights": weights(1, 2, 5)}
    async with run_world(tmp_path, policy) as world:
        await world.settle()
        await world.stop_backend(world.mesh.names[2])

        async def is_known() -> bool:
            served = await world.caller.times(20)
            return set(served) <= set(world.mesh.names[:2])

        await until(is_known)
        served = await world.caller.times(1500)

    assert shares_hold(served, dict(zip(world.mesh.names[:2], (1, 2), strict=True)))


@pytest.mark.parametrize(
    ("load_balancer", "size"),
    [
        ({"type": "RingHash", "ringHash": {"minimumRingSize": 512}, **BY_USER}, 512),
        ({"type": "Maglev", **BY_USER}, 4096),
    ],
)
async def test_a_header_decides_on_an_endpoint(
    world: World, load_balancer: Json, size: int
) -> None:
    """Each key goes where Envoy's ring of that size has it, and does so again.

    Envoy would make a ring of 4,096 two entries longer, so that the three endpoints
    have as many each; gRPC's cap cuts these off.
    """
    world.mesh.write_policy(load_balancer)
    capped = RingHash(minimum_ring_size=size, maximum_ring_size=RING_CAP)
    ring = build_ring(dict.fromkeys(world.mesh.names, 1), capped)
    expected = [ring.owner(combine([key])) for key in USERS]

    async def is_hashed() -> bool:
        return await world.caller.call(AS_USERS) == expected

    await until(is_hashed)

    assert await world.caller.call(AS_USERS) == expected


async def test_a_ring_has_the_weights(world: World) -> None:
    world.mesh.write_policy(
        {"type": "RingHash", "weights": weights(1, 2, 5), **BY_USER}
    )
    ring = build_ring(dict(zip(world.mesh.names, (1, 2, 5), strict=True)), RingHash())
    expected = [ring.owner(combine([key])) for key in USERS]

    async def is_hashed() -> bool:
        return await world.caller.call(AS_USERS) == expected

    await until(is_hashed)


async def test_an_address_hash_is_one_endpoint_a_channel(world: World) -> None:
    """gRPC does not know its client's address: each channel keeps to one endpoint.

    That 60 channels all choose alike has a chance below 1e-10: the largest of the
    three parts of the ring is less than two thirds.
    """
    await world.serve({"type": "IPHash"}, lambda served: len(set(served)) == 1)
    served = await world.caller.times(50)
    channels = [await world.caller.call([()] * 3, is_fresh=True) for _ in range(60)]

    assert len(set(served)) == 1
    assert all(len(set(each)) == 1 for each in channels)
    assert len({each[0] for each in channels}) > 1


async def test_grpcio_has_no_least_request_and_takes_turns(world: World) -> None:
    """The second policy of the list, round robin, is in force; `/status` says so."""
    before = await world.accepted("cluster")
    world.mesh.write_policy({"type": "LeastRequest"})

    async def is_accepted() -> bool:
        return await world.accepted("cluster") != before

    await until(is_accepted)
    await world.settle()
    served = await world.caller.times(300)

    assert Counter(served) == dict.fromkeys(world.mesh.names, 100)
    (warning,) = await world.warnings()
    assert warning.startswith("gRPC clients: those without least_request (C++, Python")


async def test_reports_of_load_become_shares(tmp_path: Path) -> None:
    """Utilisations of 0.1, 0.5 and 0.9 at one rate: shares as 1/u, within 2 %."""
    loads = [
        {"rps_fractional": 100.0, "cpu_utilization": utilisation}
        for utilisation in (0.1, 0.5, 0.9)
    ]
    policy: Json = {
        "type": "PerformanceBased",
        "performanceBased": {
            "source": "OrcaHeaders",
            "blackoutPeriod": "1ms",
            "updatePeriod": "100ms",
        },
    }
    async with run_world(tmp_path, policy, loads=loads) as world:
        await world.settle()
        expected = [part / (10 + 2 + 1 / 0.9) for part in (10, 2, 1 / 0.9)]

        async def are_shares() -> bool:
            served = Counter(await world.caller.times(1000))
            found = [served[name] / 1000 for name in world.mesh.names]
            return all(
                abs(one - other) <= 0.02
                for one, other in zip(found, expected, strict=True)
            )

        await until(are_shares)

        assert await world.warnings() == []


async def test_a_policy_that_changes_is_followed_without_a_failed_call(
    world: World,
) -> None:
    """Calls go on while all of a cluster, its endpoints and its routes change."""
    answers: list[str] = []
    changed = asyncio.Event()

    async def keep_calling() -> None:
        while not changed.is_set():
            answers.extend(await world.caller.times(50))

    policies: list[Json] = [
        {"type": "Weighted", "weights": weights(1, 2, 5)},
        {"type": "RingHash", **BY_USER},
        {"type": "LeastRequest"},
        ROUND_ROBIN,
    ]
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(keep_calling())
        for policy in policies:
            before = await world.accepted("cluster")
            world.mesh.write_policy(policy)

            async def is_accepted(before: str | None = before) -> bool:
                return await world.accepted("cluster") != before

            await until(is_accepted)
        changed.set()
        await calling
    served = await world.caller.times(300)

    assert set(answers) <= set(world.mesh.names)
    assert Counter(served) == dict.fromkeys(world.mesh.names, 100)


async def test_endpoints_go_and_come_back(world: World) -> None:
    """Without endpoints calls fail at once, with a word why."""
    world.mesh.write_service(endpoints=0)

    async def is_unavailable() -> bool:
        (answer,) = await world.caller.times(1)
        return answer.startswith("UNAVAILABLE: ") and "no localities" in answer

    await until(is_unavailable)
    world.mesh.write_service(endpoints=1)

    async def is_served() -> bool:
        return await world.caller.times(1) == world.mesh.names[:1]

    await until(is_served)
    world.mesh.write_service()
    await world.settle()


async def test_an_unknown_service_is_told_at_once_and_found_when_it_comes(
    world: World,
) -> None:
    """A client that is told nothing would wait 15 s; ours is told before a second."""
    later = "xds:///later.shop:80"
    (answer,) = await world.caller.call(
        [()], target=later, timeout=timedelta(seconds=1)
    )

    assert answer.startswith("UNAVAILABLE: ")
    assert "could not find VirtualHost for later.shop:80" in answer

    service = world.mesh.folder / "service.yaml"
    text = service.read_text().replace("web", "later")
    (world.mesh.folder / "later.yaml").write_text(text)

    async def is_found() -> bool:
        return set(await world.caller.times(1, target=later)) <= set(world.mesh.names)

    await until(is_found)
    (world.mesh.folder / "later.yaml").unlink()

    async def is_unknown() -> bool:
        (answer,) = await world.caller.times(1, target=later)
        return "could not find VirtualHost" in answer

    await until(is_unknown)


async def test_every_name_of_a_service_is_a_target(tmp_path: Path) -> None:
    """Those that an Envoy knows, the short ones of the client's namespace too."""
    async with run_world(tmp_path, ROUND_ROBIN, namespace="shop") as world:
        hosts = ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"]
        targets = [f"xds:///{host}{port}" for host in hosts for port in ("", ":80")]
        served = {
            target: await world.caller.times(1, target=target) for target in targets
        }

        strangers = {
            target: names
            for target, names in served.items()
            if names[0] not in world.mesh.names
        }

    assert strangers == {}


async def test_a_name_outside_the_mesh_is_found_by_dns(world: World) -> None:
    address = Address("127.0.0.1", free_port())
    (world.mesh.folder / "outside.yaml").write_text(
        "apiVersion: v1\n"
        "kind: Service\n"
        "metadata: {namespace: shop, name: outside}\n"
        "spec:\n"
        "  type: ExternalName\n"
        "  externalName: localhost\n"
        f"  ports: [{{name: grpc, port: {address.port}}}]\n"
    )
    outside = f"xds:///outside.shop:{address.port}"

    async def is_served() -> bool:
        return await world.caller.times(1, target=outside) == [str(address)]

    async with run_backend(Backend(address=address, protocol=Protocol.HTTP2)):
        await until(is_served)


async def test_substitutes_are_told_while_a_grpc_client_is_there(
    tmp_path: Path,
) -> None:
    """Before, there is nobody whom it concerns."""
    policy: Json = {"type": "Maglev", "maglev": {"boundedLoadPercent": 150}, **BY_USER}
    async with run_world(tmp_path, policy) as world:
        before = await world.warnings()
        await world.settle()

        (warning,) = await world.warnings()

    assert before == []
    assert warning == (
        "gRPC clients: they do not bound the load (boundedLoadPercent); they hash on a "
        "ring (RingHash)"
    )


async def test_a_part_of_the_calls_is_turned_away(world: World) -> None:
    """Each by a draw of its own, with the share that the policy says, and told so.

    2,000 draws are further off than 6.2 standard deviations with less than 1e-9.
    """
    calls, share = 2000, 0.3
    world.mesh.write_policy(ROUND_ROBIN, overload={"dropPercent": 100 * share})

    async def are_some_refused() -> bool:
        return bool(set(await world.caller.times(20)) - set(world.mesh.names))

    await until(are_some_refused)
    served = Counter(await world.caller.times(calls))
    refused = calls - sum(served[name] for name in world.mesh.names)
    tolerance = 6.2 * math.sqrt(share * (1 - share) / calls)

    assert abs(refused / calls - share) < tolerance
    assert len(set(served) - set(world.mesh.names)) == 1
    assert await world.warnings() == []


async def test_grpc_accepts_every_policy(world: World) -> None:
    """Whatever the API accepts, a client acknowledges all of it and is served."""
    folder = world.mesh.folder
    service = (folder / "service.yaml").read_text()
    for number, spec in enumerate(ACCEPTED.values()):
        world.mesh.write_policy(dict(spec))
        both = f"{service}---\n{(folder / 'policy.yaml').read_text()}"
        (folder / f"{number}.yaml").write_text(both.replace("web", f"web-{number}"))
    last = f"xds:///web-{len(ACCEPTED) - 1}.shop:80"

    async def is_served() -> bool:
        (answer,) = await world.caller.times(1, target=last)
        return answer in world.mesh.names

    await until(is_served)
    served = {
        name: await world.caller.times(1, target=f"xds:///web-{number}.shop:80")
        for number, name in enumerate(ACCEPTED)
    }
    nodes = (await world.server.status()).nodes

    assert {name for (name,) in served.values()} <= set(world.mesh.names), served
    assert [t for node in nodes for t in node.types.values() if t.rejected] == []
    assert len(nodes) > len(ACCEPTED)


async def test_calls_go_on_without_the_control_plane(tmp_path: Path) -> None:
    """What a client holds stays in force when the server is killed.

    It begins a new round where it notices that: one or two calls are out of turn.
    """
    async with run_world(tmp_path, ROUND_ROBIN) as world:
        await world.settle()
        world.server.child.process.kill()
        await world.server.child.process.wait()
        served = await world.caller.times(300)

    assert Counter(served) == {
        name: pytest.approx(100, abs=3) for name in world.mesh.names
    }


def localities(**weights: int) -> Json:
    """Return a `locality` with the weights of zones."""
    to = [{"zone": zone, "weight": weight} for zone, weight in weights.items()]
    return {"type": "Weighted", "weighted": {"rules": [{"to": to}]}}


@pytest.mark.parametrize(
    ("load_balancer", "parts"),
    [
        (ROUND_ROBIN, (30, 35, 35)),
        ({"type": "Weighted", "weights": weights(3, 1, 6)}, (30, 10, 60)),
        ({"type": "RingHash", "ringHash": {"minimumRingSize": 4096}}, (30, 35, 35)),
        ({"type": "RingHash", "weights": weights(9, 1, 6)}, (30, 10, 60)),
    ],
)
async def test_localities_have_the_weights_of_a_policy(
    tmp_path: Path, load_balancer: Json, parts: Sequence[int]
) -> None:
    """Zone a has 30 % and one endpoint, zone b 70 % and two."""
    is_ring = load_balancer["type"] == "RingHash"
    policy: Json = {**load_balancer, **(BY_USER if is_ring else {})}
    async with run_world(tmp_path, ROUND_ROBIN, zones=("a", "b", "b")) as world:
        await world.settle()
        world.mesh.write_policy(policy, locality=localities(a=0, b=70))

        async def is_left_out() -> bool:
            return world.mesh.names[0] not in await world.caller.call(AS_USERS)

        await until(is_left_out)
        world.mesh.write_policy(policy, locality=localities(a=30, b=70))

        async def is_there() -> bool:
            return world.mesh.names[0] in await world.caller.call(AS_USERS)

        await until(is_there)
        served = await world.caller.call(
            (("x-user", f"key-{number}"),) for number in range(4000)
        )

        if is_ring:  # whose entries are drawn once: 4,096 of them, or 1,024 at least
            counts = Counter(served)
            for name, part in zip(world.mesh.names, parts, strict=True):
                assert abs(counts[name] / 4000 - part / 100) < 0.08
        else:
            assert shares_hold(served, dict(zip(world.mesh.names, parts, strict=True)))


async def test_a_client_stays_in_its_zone_and_fails_over(tmp_path: Path) -> None:
    """Turns are exact inside of a priority; without it, gRPC goes on to the next."""
    async with run_world(
        tmp_path, ROUND_ROBIN, zones=("b", "a", "a"), zone="a"
    ) as world:
        far, *near = world.mesh.names

        async def served_by(*names: str) -> bool:
            return set(await world.caller.times(20)) == set(names)

        await until(partial(served_by, *near))
        world.mesh.write_service(only=[far])
        await until(partial(served_by, far))
        world.mesh.write_service()
        await until(partial(served_by, *near))
