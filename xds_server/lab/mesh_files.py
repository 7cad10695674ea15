"""Files in; the documents in them, and the Services that these mean, out."""

from collections.abc import Sequence
from pathlib import Path

from xds_server.api.document import Document
from xds_server.api.name import ROOT_NAMESPACE
from xds_server.api.problem import Problem, Severity
from xds_server.lab.error import LabError
from xds_server.mesh.event import Applied
from xds_server.mesh.index import Index
from xds_server.mesh.model import Service
from xds_server.sources.files import load
from xds_server.translate.cluster import try_patch


class InvalidDocumentsError(LabError):
    """The documents have errors: a policy that is not in force cannot be measured."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def read_mesh(
    paths: Sequence[Path], root_namespace: str = ROOT_NAMESPACE
) -> tuple[tuple[Document, ...], tuple[Service, ...]]:
    """Return all documents in *paths*, and what they mean together.

    Raises:
        InvalidDocumentsError: Where a document has an error.
    """
    events = load(paths)
    index = Index(root_namespace=root_namespace, try_out=try_patch)
    index.apply(events)
    errors = [p for p in index.problems if p.severity is Severity.ERROR]
    if errors:
        raise InvalidDocumentsError(errors)
    documents = {e.document.key: e.document for e in events if isinstance(e, Applied)}
    services = [index.services[name] for name in sorted(index.services)]
    return tuple(documents.values()), tuple(services)
