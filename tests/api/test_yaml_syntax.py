"""YAML as kubectl prints it, as people write it, and as neither should."""

import math

import pytest
import yaml
from hypothesis import given, strategies as st

from xds_server.api import block_syntax, scalar
from xds_server.api.decode import decode
from xds_server.api.manifest import Manifest, Tree, UnreadableError, Value
from xds_server.api.problem import report
from xds_server.api.yaml_builder import AliasCount
from xds_server.api.yaml_syntax import _trees, read

LIST = """\
apiVersion: v1
items:
- apiVersion: v1
  kind: Pod
  metadata:
    annotations:
      note: |
        first: line
          second
      other: |-
        last
    name: a
- apiVersion: v1
  kind: Pod
  metadata:
    name: b
    labels: {}
kind: List
metadata:
  resourceVersion: ""
"""


def by_libyaml(text: str) -> list[Tree]:
    return list(_trees(text, "x.yaml", 0, AliasCount()))


def plain(text: str) -> Value:
    (found,) = read(f"value: {text}\n", source="x.yaml")
    assert isinstance(found, Manifest)
    assert isinstance(found.value, dict)
    return found.value["value"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("~", None),
        ("Null", None),
        ('""', ""),
        ("'null'", "null"),
        ("yes", True),
        ("Off", False),
        ("y", "y"),
        ('"on"', "on"),
        ("0", 0),
        ("-17", -17),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("08", 8.0),
        ("0b101", 5),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.INF", -math.inf),
        ("1.2.3", "1.2.3"),
        ("10.0.0.1", "10.0.0.1"),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("0x", "0x"),
        ("+", "+"),
        ("9" * 200, "9" * 200),
        ("=", "="),
        ('"\\u00e9\\n"', "é\n"),
    ],
)
def test_scalars_mean_what_kubernetes_reads(text: str, expected: Value) -> None:
    found = plain(text)

    assert (type(found), found) == (type(expected), expected)


def test_nan_is_a_number() -> None:
    assert math.isnan(float(str(scalar.resolve(".NaN"))))


def test_keys_are_text_whatever_they_look_like() -> None:
    """As in Kubernetes, whose objects have no other keys."""
    (found,) = read("{on: 1, 5: 2, null: 3}", source="x.yaml")

    assert isinstance(found, Manifest)
    assert found.value == {"on": 1, "5": 2, "null": 3}


def test_aliases_share_what_was_said_before() -> None:
    (found,) = read("a: &x [1, 2]\nb: *x\nc: &y z\nd: *y\n", source="x.yaml")

    assert isinstance(found, Manifest)
    assert found.value == {"a": [1, 2], "b": [1, 2], "c": "z", "d": "z"}


def said(text: str) -> str:
    problems = [
        problem
        for found in read(text, source="x.yaml")
        if isinstance(found, Manifest)
        for problem in found.problems
    ]
    return report(problems).partition("\n")[0]


ODD = {
    "a: 1\nb: {c: 2, c: 3}\n": "x.yaml:2:11: b.c: given twice",
    "a:\n  b: 1\n  b: 2\n": "x.yaml:3:3: a.b: given twice",
    "a: !foo 1\n": "x.yaml:1:4: a: YAML tags are not supported (got !foo)",
    "a: !!python/object:os.system [x]\n": (
        "x.yaml:1:4: a: YAML tags are not supported "
        "(got tag:yaml.org,2002:python/object:os.system)"
    ),
    "a: [*x]\n": "x.yaml:1:5: a[0]: no anchor of this name before it (got *x)",
    "a: &x [*x]\n": "x.yaml:1:8: a[0]: no anchor of this name before it (got *x)",
    "a: &x {b: 1}\nc:\n  <<: *x\n": (
        "x.yaml:3:3: c[<<]: YAML merge keys are not supported"
    ),
    "? [a, b]\n: c\n": "x.yaml:1:3: keys must be plain text",
}


@pytest.mark.parametrize(("text", "expected"), ODD.items())
def test_what_yaml_allows_and_documents_do_not(text: str, expected: str) -> None:
    assert said(text) == expected


def test_anchors_belong_to_one_document() -> None:
    assert said("a: &x 1\n---\nb: *x\n").startswith("x.yaml:3:4: b: no anchor")


BROKEN = {
    "a: b: c\n": (
        "x.yaml:1:5: not valid YAML: mapping values are not allowed in this context\n"
        "  hint: quote text that contains a colon, and check the indentation"
    ),
    "a: 1\n---\nb:\n\t- c\n": (
        "x.yaml:4:1: not valid YAML: found a tab\n  hint: YAML indents with spaces"
    ),
    "a: 1\n---\nb: [1,\n": (
        "x.yaml:4:1: not valid YAML: did not find expected node content\n"
        "  hint: a bracket before this is not closed, or a value is missing"
    ),
    "a: 'b\n": (
        "x.yaml:2:1: not valid YAML: found unexpected end of stream\n"
        "  hint: a quote or bracket is not closed"
    ),
    "é: 1\nb: é\x07\n": (
        "x.yaml:2:5: not valid YAML: control characters are not allowed (got U+0007)\n"
        '  hint: write it as an escape in double quotes, such as "\\x07"'
    ),
    "[" * 101: (
        "x.yaml:1:101: nested deeper than 100 levels\n"
        "  hint: no object that is read here needs more than ten"
    ),
    "%FOO\n---\na: 1\n": (
        "x.yaml:1:5: not valid YAML: found unknown directive name\n"
        "  hint: while scanning a directive that begins at line 1"
    ),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.items())
def test_what_is_no_yaml_is_said_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        list(read(text, source="x.yaml"))

    assert str(raised.value.problem) == expected


def test_aliases_are_counted_over_the_whole_file() -> None:
    """Many documents with few aliases are no way around the limit."""
    document = f"a: &a [{'x,' * 999}]\nb: [{'*a,' * 30}]\n---\n"
    decoded = decode((document * 4).encode(), source="x.yaml")

    assert report(decoded.problems).startswith(
        "x.yaml:11:35: YAML aliases stand for more than 100000 values (got *a)"
    )


def test_lists_are_read_object_by_object() -> None:
    decoded = decode(LIST.encode(), source="x.yaml")
    first, second = decoded.documents

    assert decoded.problems == ()
    assert str(first.locate(("metadata", "annotations", "other"))) == "x.yaml:10:14"
    assert str(second.locate(("metadata", "name"))) == "x.yaml:16:11"
    assert str(second.locate(("spec", "containers"))) == "x.yaml:13:3"


def test_kubectls_lists_need_no_libyaml() -> None:
    """The fast reader takes what kubectl prints, and says the same as libyaml."""
    fast = block_syntax.read(LIST, source="x.yaml")
    (slow,) = by_libyaml(LIST)

    assert fast is not None
    assert fast.value == slow.value
    assert [
        fast.items[position].locate(("metadata", "name")) for position in fast.items
    ] == [slow.items[position].locate(("metadata", "name")) for position in slow.items]


# Texts that are numbers in one version of YAML only are not quoted by PyYAML.
JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-100, 10**6)
    | st.floats(allow_nan=False)
    | (st.text(max_size=6) | st.text("ab: -#|>'\"\n.,0", max_size=8)).filter(
        lambda text: not isinstance(scalar.resolve(text), int | float)
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "kind", "a", "b.c/d", "e_f", "x y", "5"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


def dumped(value: Value, *, indent: int) -> str:
    text: str = yaml.dump(
        value, Dumper=yaml.CSafeDumper, default_flow_style=False, indent=indent
    )
    return text


@given(
    value=st.dictionaries(
        st.sampled_from(["items", "a", "kind"]), JSON_LIKE, min_size=1
    ),
    indent=st.sampled_from([2, 4]),
)
def test_what_another_yaml_library_writes_is_read_back(
    value: dict[str, Value], indent: int
) -> None:
    (tree,) = by_libyaml(dumped(value, indent=indent))
    fast = block_syntax.read(dumped(value, indent=indent), source="x.yaml")

    assert tree.value == value
    assert fast is None or fast.value == value


VALUES = """\
|1|x y|x:y|'q'|"q"|{}|[]|-1|- x|x: y|#c|&a|*a|-|~|x #c|yes|x:|?|'|..."""
LINE = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "  ", "    ", " "]),
    st.sampled_from(["", "", "- "]),
    st.sampled_from(["a:", "b:", "items:", "a: ", "b: ", "kind: ", ""]),
    st.sampled_from([*VALUES.split("|"), "|", "|-"]),
)


@given(
    lines=st.dictionaries(st.sampled_from(["items", "a"]), JSON_LIKE, min_size=1).map(
        lambda value: dumped(value, indent=2).splitlines()
    ),
    edits=st.lists(st.tuples(st.integers(0, 20), LINE), max_size=2),
    ending=st.sampled_from(["\n", "\n", ""]),
)
def test_the_fast_reader_agrees_or_gives_up(
    lines: list[str], edits: list[tuple[int, str]], ending: str
) -> None:
    """Whatever it reads, libyaml reads the same, with the same places of items."""
    for position, line in edits:
        lines.insert(position, line)
    text = "\n".join(lines) + ending
    fast = block_syntax.read(text, source="x.yaml")

    assert fast is None or same_by_libyaml(text, fast)


def same_by_libyaml(text: str, fast: Tree) -> bool:
    (slow,) = by_libyaml(text)
    assert slow.problems == []
    for position, passage in slow.items.items():
        assert fast.items[position].locate(("a", "b")) == passage.locate(("a", "b"))
    return fast.value == slow.value
