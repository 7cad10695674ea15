"""How the mesh says that documents do not fit together: problems at their places.

A document and the path of the offending value in; a `Problem` out. What is wrong with a
document by itself was found before, when it was decoded.
"""

from xds_server.api.document import Document
from xds_server.api.problem import FieldPath, Problem, Severity, field_path


def finding(
    document: Document,
    path: FieldPath,
    message: str,
    *,
    hint: str | None = None,
    severity: Severity = Severity.ERROR,
    role: str | None = None,
) -> Problem:
    """Return the problem of the value at *path* in *document*."""
    return Problem(
        place=document.locate(path),
        path=field_path(path),
        message=message,
        hint=hint,
        severity=severity,
        object_key=document.key,
        role=role,
    )


def warning(
    document: Document,
    path: FieldPath,
    message: str,
    *,
    hint: str | None = None,
    role: str | None = None,
) -> Problem:
    """Return a problem that keeps nothing out."""
    severity = Severity.WARNING
    return finding(document, path, message, hint=hint, severity=severity, role=role)
