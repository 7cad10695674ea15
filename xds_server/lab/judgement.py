"""What a real Envoy has against clusters, without a server: `check --envoy`.

Documents in; problems, with the policy or the Service that each is owed to, out. Envoy
only judges: it opens no port, and asks nobody anything.
"""

import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.cluster.v3 import cluster_pb2

from xds_server.api.document import Document
from xds_server.api.name import ROOT_NAMESPACE
from xds_server.api.problem import FieldPath, ObjectKey, Problem
from xds_server.mesh.event import Applied
from xds_server.mesh.finding import finding
from xds_server.mesh.index import Index
from xds_server.mesh.model import Section, Upstream
from xds_server.mesh.selector import told
from xds_server.sources.files import load
from xds_server.translate.check import TranslateError
from xds_server.translate.cluster import try_patch
from xds_server.translate.name import cluster_name, owners
from xds_server.translate.service import untranslatable
from xds_server.translate.static_cluster import build_static_cluster
from xds_server.xds import Labels

_PATIENCE: Final = 120
"""Seconds for all clusters at once; 10,000 take a few."""
_BEFORE_REASON: Final = "': "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is judged, and for whom it is."""

    upstream: Upstream
    labels: Labels
    cluster: cluster_pb2.Cluster


def judge(
    paths: Iterable[Path], envoy: Path, *, root_namespace: str = ROOT_NAMESPACE
) -> tuple[Problem, ...]:
    """Return what the Envoy at *envoy* refuses of what *paths* mean."""
    events = load(paths)
    index = Index(root_namespace=root_namespace, try_out=try_patch)
    index.apply(events)
    documents = {e.document.key: e.document for e in events if isinstance(e, Applied)}
    subjects: list[_Subject] = []
    problems: list[Problem] = []
    for name, service in index.services.items():
        try:
            subjects += [
                subject for each in service.upstreams for subject in _subjects(each)
            ]
        except TranslateError as error:
            problems.append(untranslatable(index.document_of(name), error))
    problems += (
        _problem(subject, reason, documents)
        for subject, reason in _refused(subjects, envoy)
    )
    return tuple(problems)


def _subjects(upstream: Upstream) -> Iterator[_Subject]:
    """Yield *upstream* as everybody sees it, and as clients with some labels do."""
    variants = [(each.labels, each.upstream) for each in upstream.variants]
    for labels, each in ((frozenset[tuple[str, str]](), upstream), *variants):
        cluster = build_static_cluster(each)
        cluster.name += "".join(f" {key}={value}" for key, value in sorted(labels))
        yield _Subject(upstream=each, labels=labels, cluster=cluster)


def _refused(
    subjects: Sequence[_Subject], envoy: Path
) -> Iterator[tuple[_Subject, str]]:
    """Yield those that Envoy refuses, and why: it tells of the first one alone.

    So the others are found by asking for half as many, again and again.
    """
    reason = _ask(envoy, [each.cluster for each in subjects]) if subjects else None
    if reason is None:
        return
    if len(subjects) == 1:
        yield subjects[0], reason
        return
    middle = len(subjects) // 2
    for half in (subjects[:middle], subjects[middle:]):
        yield from _refused(half, envoy)


def _ask(envoy: Path, clusters: Sequence[cluster_pb2.Cluster]) -> str | None:
    """Return why Envoy refuses *clusters*; None if it does not."""
    bootstrap = bootstrap_pb2.Bootstrap()
    bootstrap.static_resources.clusters.extend(clusters)
    with tempfile.TemporaryDirectory(prefix="xds-server-") as folder:
        (file := Path(folder) / "bootstrap.pb").write_bytes(
            bootstrap.SerializeToString()
        )
        done = subprocess.run(  # noqa: S603 - the Envoy that was asked for
            [envoy, "--mode", "validate", "--log-level", "error", "-c", file],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    if not done.returncode:
        return None
    if done.returncode < 0:
        return f"it dies of it ({signal.Signals(-done.returncode).name})"
    last = done.stderr.strip().rpartition("\n")[2]
    return last.rpartition(_BEFORE_REASON)[2].removeprefix(": ")


def _problem(
    subject: _Subject, reason: str, documents: Mapping[ObjectKey, Document]
) -> Problem:
    """Return a problem of the patch, if there is one, or else of the Service."""
    upstream = subject.upstream
    path: FieldPath = ()
    key = ObjectKey("Service", upstream.namespace, upstream.service)
    for origin in upstream.origins:
        if origin.section is Section.ENVOY_PATCH:
            key, path = origin.key, ("spec", origin.section.value)
    for_whom = f" for clients {told(subject.labels)}" if subject.labels else ""
    return finding(
        documents[key],
        path,
        f"Envoy refuses cluster {cluster_name(upstream)}{for_whom}: {reason}",
        hint=f"it is made of {', '.join(owners(upstream))}",
    )
