"""What a set of files says together: pure, and equal to a simple model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings, strategies as st

from xds_server.api.document import Decoded, Document, Revision
from xds_server.api.kubernetes import Metadata, Pod
from xds_server.api.problem import FieldPath, ObjectKey, Place, Problem
from xds_server.mesh.event import Applied, Deleted, Event, Listed, Reported, Weighed
from xds_server.sources.document_set import DocumentSet, Rank

BROKEN = Decoded(
    problems=(Problem(place=Place("?"), message="broken"),), is_complete=False
)


def pod_key(name: str) -> ObjectKey:
    return ObjectKey("Pod", "default", name)


def pod(name: str, path: str, version: int = 1, line: int = 1) -> Document:
    """Return a Pod that stands in *path*; its label tells the version."""

    def locate(_: FieldPath) -> Place:
        return Place(path, line, 1)

    labels = {"version": str(version)}
    body = Pod(metadata=Metadata(name=name, labels=labels))
    return Document(key=pod_key(name), body=body, locate=locate)


def version_of(document: Document) -> int:
    """Return the version that a Pod's label tells."""
    assert isinstance(document.body, Pod)
    return int(document.body.metadata.labels["version"])


def saying(*documents: Document, rejected: Sequence[str] = ()) -> Decoded:
    """Return what a file with good *documents* and some *rejected* ones says."""
    problems = tuple(
        Problem(place=Place("?"), message="bad", object_key=pod_key(name))
        for name in rejected
    )
    return Decoded(
        documents=documents,
        problems=problems,
        rejected=frozenset(map(pod_key, rejected)),
    )


def summary(events: Sequence[Event]) -> list[str]:
    """Say in a word each what *events* are."""
    found = []
    for event in events:
        match event:
            case Applied(document=document):
                version = version_of(document)
                found.append(f"apply {document.key.name}{version}")
            case Deleted(key=key):
                found.append(f"delete {key.name}")
            case Weighed():
                raise AssertionError(event)  # no document says this
            case Reported(source=source, problems=problems):
                found.append(f"report {source} {len(problems)}")
            case Listed():
                found.append("listed")
    return found


def test_a_file_applies_its_documents() -> None:
    files = DocumentSet()

    events = files.update({"a": saying(pod("x", "a"), pod("y", "a"))})

    assert summary(events) == ["apply x1", "apply y1"]


def test_what_is_no_longer_in_a_file_is_deleted() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a"), pod("y", "a"))})

    events = files.update({"a": saying(pod("y", "a", 2))})

    assert summary(events) == ["delete x", "apply y2"]


def test_a_deleted_file_deletes_its_objects_and_its_problems() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a"), rejected=["y"])})

    events = files.update({"a": None})

    assert summary(events) == ["delete x", "report a 0"]


def test_what_is_local_speaks_before_the_cluster() -> None:
    """Whatever comes first; and the cluster again once nothing local speaks."""
    documents = DocumentSet()

    cluster = documents.update({"a": saying(pod("x", "a", 1))}, Rank.KUBERNETES)
    local = documents.update({"b": saying(pod("x", "b", 2))}, Rank.FILES)
    again = documents.update({"b": None}, Rank.FILES)

    assert summary(cluster) == ["apply x1"]
    assert summary(local) == ["apply x2", "report a 1"]
    assert summary(again) == ["apply x1", "report a 0"]


def test_an_object_of_a_cluster_is_news_only_with_another_content() -> None:
    """It is told again whenever its status moves; a new one of its name is news."""
    documents = DocumentSet()

    def told(version: int, uid: str) -> list[str]:
        document = replace(pod("x", "a", version), revision=Revision(uid=uid))
        return summary(documents.update({"a": saying(document)}, Rank.KUBERNETES))

    assert told(1, "one") == ["apply x1"]
    assert told(1, "one") == []
    assert told(2, "one") == ["apply x2"]
    assert told(2, "two") == ["apply x2"]


def test_a_broken_file_keeps_all_that_it_said() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a"))})

    events = files.update({"a": BROKEN})

    assert events == (
        Reported(
            source="a", problems=BROKEN.problems, rejected=frozenset({pod_key("x")})
        ),
    )


def test_a_mended_file_says_anew_what_it_says_and_takes_back_the_rest() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a"), pod("y", "a"))})
    files.update({"a": BROKEN})

    events = files.update({"a": saying(pod("x", "a", 2))})

    assert summary(events) == ["delete y", "apply x2", "report a 0"]


def test_a_rejected_document_keeps_its_last_good_version_alone() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a"), pod("y", "a"))})

    events = files.update({"a": saying(pod("y", "a", 2), rejected=["x"])})

    assert summary(events) == ["apply y2", "report a 1"]


def test_what_could_not_be_made_out_may_be_any_that_is_named_no_more() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a"), pod("y", "a"))})

    events = files.update({"a": replace(saying(pod("y", "a", 2)), is_complete=False)})

    assert summary(events) == ["apply y2", "report a 0"]
    assert events[-1] == Reported(
        source="a", problems=(), rejected=frozenset({pod_key("x")})
    )


def test_a_document_that_was_never_good_is_only_reported() -> None:
    assert summary(DocumentSet().update({"a": saying(rejected=["x"])})) == [
        "report a 1"
    ]


def test_an_object_that_moves_to_another_file_is_not_deleted_in_between() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a"))})

    events = files.update({"a": saying(), "b": saying(pod("x", "b"))})

    assert summary(events) == ["apply x1"]


def test_of_two_files_the_first_by_path_speaks_and_the_other_is_told() -> None:
    files = DocumentSet()
    files.update({"b": saying(pod("x", "b"))})

    events = files.update({"a": saying(pod("x", "a", 2, line=7))})

    assert summary(events) == ["apply x2", "report b 1"]
    report = events[-1]
    assert isinstance(report, Reported)
    assert str(report.problems[0]) == (
        "b:1:1: metadata.name: Pod default/x is already defined at a:7:1, which is "
        "used\n  hint: remove or rename one of the two"
    )
    assert report.rejected == frozenset()


def test_the_other_speaks_once_the_first_is_gone() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a")), "b": saying(pod("x", "b", 2))})

    events = files.update({"a": None})

    assert summary(events) == ["apply x2", "report b 0"]


def test_a_document_that_only_moves_in_its_file_is_applied_with_its_new_place() -> None:
    files = DocumentSet()
    files.update({"a": saying(pod("x", "a", line=1))})

    (event,) = files.update({"a": saying(pod("x", "a", line=9))})

    assert isinstance(event, Applied)
    assert event.document.locate(()) == Place("a", 9, 1)


PATHS = st.sampled_from(["a", "b", "c"])
NAMES = ["x", "y", "z"]


@dataclass(frozen=True)
class Edit:
    """A new content of a file: None is bad, a number is a good version.

    In a broken one there is also something that could not be made out.
    """

    path: str
    objects: Mapping[str, int | None] | None
    is_broken: bool = False

    @property
    def decoded(self) -> Decoded | None:
        if self.objects is None:
            return None
        good = [pod(n, self.path, v) for n, v in self.objects.items() if v is not None]
        bad = [name for name, version in self.objects.items() if version is None]
        said = saying(*good, rejected=bad)
        return replace(said, is_complete=False) if self.is_broken else said


OBJECTS = st.dictionaries(st.sampled_from(NAMES), st.none() | st.integers(1, 9))
EDITS = st.one_of(
    st.builds(Edit, PATHS, OBJECTS),
    st.builds(Edit, PATHS, st.none()),
    st.builds(Edit, PATHS, OBJECTS, st.just(True)),  # noqa: FBT003 - a strategy's value
)


class Model:
    """What the files should mean: each file's last good versions, nothing clever."""

    def __init__(self) -> None:
        self.good: dict[str, dict[str, int]] = {}

    def edit(self, edit: Edit) -> None:
        if edit.objects is None:
            self.good.pop(edit.path, None)
            return
        last = self.good.get(edit.path, {})
        versions = {
            name: last.get(name) if version is None else version
            for name, version in edit.objects.items()
        }
        good = {n: v for n, v in versions.items() if v is not None}
        self.good[edit.path] = last | good if edit.is_broken else good

    def in_force(self) -> dict[str, tuple[str, int]]:
        """Return who speaks for each object, and which version."""
        found: dict[str, tuple[str, int]] = {}
        for path in sorted(self.good, reverse=True):
            found |= {name: (path, v) for name, v in self.good[path].items()}
        return found


@settings(max_examples=500)
@given(st.lists(st.lists(EDITS, max_size=3, unique_by=lambda e: e.path), max_size=12))
def test_any_edits_mean_what_the_model_says(batches: list[list[Edit]]) -> None:
    files, model = DocumentSet(), Model()
    in_force: dict[str, tuple[str, int]] = {}
    reports: dict[str, Reported] = {}
    for batch in batches:
        events = files.update({edit.path: edit.decoded for edit in batch})
        for edit in batch:
            model.edit(edit)
        touched: list[ObjectKey] = []
        for event in events:
            match event:
                case Applied(document=document):
                    place = document.locate(())
                    version = version_of(document)
                    in_force[document.key.name] = (place.source, version)
                    touched.append(document.key)
                case Deleted(key=key):
                    del in_force[key.name]  # fails for what nobody said
                    touched.append(key)
                case Weighed():
                    raise AssertionError(event)
                case Reported(source=source):
                    reports[source] = event
                case Listed():
                    raise AssertionError
        assert len(touched) == len(set(touched)), "an object changed twice in a batch"
        assert in_force == model.in_force()

    for path, good in model.good.items():
        said = reports.get(path, Reported(source=path, problems=()))
        told = {p.object_key for p in said.problems if "already" in p.message}
        losers = {pod_key(n) for n in good if model.in_force()[n][0] != path}
        assert told == losers
