"""Log lines for people, in the order in which they are read."""

import subprocess
import sys

import pytest

CODE = """
from xds_server.api.problem import Place, Problem
from xds_server.app import _log_problem
from xds_server.log import configure_logging
from xds_server.settings import LogFormat, LogLevel

configure_logging(LogFormat.CONSOLE, LogLevel.INFO)
place = Place("web.yaml", 9, 5)
_log_problem(Problem(place=place, path="spec", message="not good", hint="mend it"))
_log_problem(Problem(place=place, message="no good"))
"""


@pytest.mark.thorough
def test_a_problem_is_told_by_place_message_and_hint() -> None:
    """What is not known is left out."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    first, second = (
        line.partition("] problem [")[2] for line in done.stderr.split("\n")[:2]
    )

    assert first == (
        "xds_server.app] place=web.yaml:9:5 path=spec message='not good' hint='mend it'"
    )
    assert second == "xds_server.app] place=web.yaml:9:5 message='no good'"
