"""Each way to get a document wrong has one clear error, with its place and a hint.

Every `*.in.yaml` in testdata is such a document, and its `*.problems.txt` the whole
text that a user reads.
"""

from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from tests.conftest import GoldenCheck
from xds_server.api.decode import decode
from xds_server.api.problem import Severity, report

TESTDATA = Path(__file__).parent / "testdata"
CASES = sorted(TESTDATA.glob("*.in.yaml"))
GOOD = """\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {ports: [{name: http, port: 80}]}
"""


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name.split(".")[0])
def test_the_error_says_where_what_and_how_to_mend_it(
    case: Path, golden: GoldenCheck
) -> None:
    decoded = decode(case.read_bytes(), source="x.yaml")

    golden(
        case.with_name(case.name.replace(".in.yaml", ".problems.txt")),
        report(decoded.problems) + "\n",
    )


def test_no_golden_is_stale() -> None:
    expected = {case.name.replace(".in.yaml", ".problems.txt") for case in CASES}

    assert {path.name for path in TESTDATA.glob("*.problems.txt")} == expected


def test_a_document_that_is_refused_leaves_its_neighbours_alone() -> None:
    """One invalid document of a file is rejected by name; the others are decoded."""
    bad = GOOD.replace("name: web", "name: bad").replace("80", "0")
    other = GOOD.replace("name: web", "name: other")
    decoded = decode(f"{GOOD}---\n{bad}---\n{other}".encode(), source="x.yaml")

    assert [document.key.name for document in decoded.documents] == ["web", "other"]
    assert [key.name for key in decoded.rejected] == ["bad"]
    assert decoded.is_complete


def test_bytes_that_are_no_yaml_void_the_whole_file() -> None:
    decoded = decode(f"{GOOD}---\nkind: [\n".encode(), source="x.yaml")

    assert not decoded.is_complete
    assert decoded.documents == ()


def test_a_file_of_50_megabytes_is_refused_before_it_is_parsed() -> None:
    decoded = decode(b" " * 50_000_000, source="x.yaml")

    assert report(decoded.problems) == (
        "x.yaml: must be at most 33554432 bytes (got 50000000)\n"
        "  hint: split it into several files\n"
        "1 error in 1 file"
    )


def test_a_place_can_be_asked_for_any_field() -> None:
    """Kubernetes objects know the places of their fields too, when somebody asks."""
    (document,) = decode(GOOD.encode(), source="x.yaml").documents

    assert str(document.locate(("spec", "ports", 0, "port"))) == "x.yaml:4:35"


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbfkind: Service")
def test_no_bytes_make_the_decoder_fail(data: bytes) -> None:
    """Whatever the bytes, there are documents or there is an error that says why."""
    decoded = decode(data, source="x.yaml")

    assert decoded.documents or any(
        problem.severity is not Severity.WARNING for problem in decoded.problems
    )


@given(
    position=st.integers(0, 700),
    text=st.text(alphabet=" \n\t:-[]{}&*!|>'\"#%@,?ab0.", max_size=6),
    case=st.sampled_from(CASES),
)
def test_no_edit_of_a_document_makes_the_decoder_fail(
    position: int, text: str, case: Path
) -> None:
    """A keystroke anywhere in a real document gives problems, never an exception."""
    data = case.read_bytes()
    decoded = decode(data[:position] + text.encode() + data[position:], source="x.yaml")

    assert decoded.documents or decoded.problems
