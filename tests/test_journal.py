"""What is logged of new weights."""

from structlog.testing import capture_logs

from tests.control.mesh import World, address, mesh
from xds_server.control.standing import Cause
from xds_server.journal import Journal


def test_new_weights_are_a_line_with_what_changed_and_why() -> None:
    world = World(*mesh(1, 2, 3))
    world.learn()
    with capture_logs() as logs:
        Journal().on_push(world.pushes[-1])
    (line,) = logs
    before, after = world.pushes[-1].before, world.pushes[-1].weights

    assert line["service"] == "shop/web:80"
    assert line["cause"] == Cause.REPORTS
    assert line["endpoints"] == 3
    fast = f"{before[address(3)]} -> {after[address(3)]} (faster)"
    assert line["weights"][address(3)] == fast
    assert line["changed"] == len(line["weights"])


def test_a_line_names_a_few_endpoints_and_counts_the_others() -> None:
    world = World(*mesh(*range(1, 41)))
    for _ in range(3):
        world.period({last: 0.02 if last % 2 else 0.08 for last in range(1, 41)})
    with capture_logs() as logs:
        Journal().on_push(world.pushes[-1])

    assert logs[0]["changed"] == 40
    assert len(logs[0]["weights"]) == 10
