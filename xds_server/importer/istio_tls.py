"""Encryption as DestinationRules ask for it: whom to trust, and that it is kept."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from xds_server.api.manifest import Value
from xds_server.api.problem import Fault, FieldPath, Severity
from xds_server.importer.account import Account
from xds_server.importer.draft import Draft, Manifest
from xds_server.importer.source import mapping

_PUBLIC: Final = "/etc/ssl/certs/ca-certificates.crt"
_OF_CHECKS: Final = ("ca", "subjectAltNames")
_OF_TLS: Final = ("sni", *_OF_CHECKS, "clientCertificate", "insecureSkipVerify")
_DECIDING: Final = (
    "mode",
    "clientCertificate",
    "privateKey",
    "caCertificates",
    "credentialName",
)
"""Without one of these there may be no encryption; without the others there is."""


_OWN: Final = "ISTIO_MUTUAL"
"""The mesh's own certificates: Istio takes these without a rule, too, and whoever
leaves it has none of them anywhere."""


class NotEncryptedError(Exception):
    """Requests that a rule wants encrypted would not be; carries what is to be told."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def keep_encryption(
    made: Manifest | None, tls: Value, base: FieldPath, account: Account
) -> None:
    """See to it that what was *made* encrypts, if *tls*, which is at *base*, does.

    Raises:
        NotEncryptedError: it does not; with the first reason that *account* has.
    """
    asks = tls is not None and mapping(tls).get("mode") not in ("DISABLE", _OWN)
    if isinstance(tls, dict) and tls.get("mode") is None:
        asks = False
    here = mapping(mapping(mapping(made).get("spec")).get("tls")).get("mode")
    if not asks or here not in (None, "Disable"):
        return
    path = (*base, "tls")
    reasons = (
        fault
        for fault in account.faults
        if fault.severity is Severity.ERROR and _decides(fault.path, path)
    )
    first = next(reasons, Fault(path=path, message="not carried over"))
    consequence = "requests would not be encrypted, so nothing of the rule is"
    raise NotEncryptedError(replace(first, message=f"{first.message}; {consequence}"))


def _decides(path: FieldPath, tls: FieldPath) -> bool:
    """Whether a field is one that encryption hangs on, or has all of it in."""
    length = len(tls)
    if len(path) <= length:
        return path == tls[: len(path)]
    return path[:length] == tls and path[length] in _DECIDING


def hold_tls(draft: Draft, tls: Value, base: FieldPath) -> None:
    """Write out whom Istio trusts where *tls*, which is at *base*, does not say it."""
    said, path = mapping(tls), (*base, "tls")
    _drop_idle_tls(draft, said)
    if not draft.has("tls"):
        return
    draft.hold("tls.mode", "Disable")
    if draft.value("tls.mode") == "Disable":
        return
    is_checked = not draft.has("tls.insecureSkipVerify")
    if is_checked and not draft.has("tls.ca"):
        draft.hold("tls.ca.file", _PUBLIC)
        draft.differ(
            "tls",
            path,
            f"Istio trusts the authorities of the system; here those in {_PUBLIC}, "
            "beside the Envoy",
        )
    if said.get("sni") is None:
        draft.differ(
            "tls",
            path,
            "the name that is asked for is SERVICE.NAMESPACE.svc, in Istio the host of "
            "the request",
            "write it in tls.sni",
        )
    elif is_checked and not draft.has("tls.subjectAltNames"):
        draft.differ(
            "tls.sni",
            (*path, "sni"),
            "the certificate must be for this name; to Istio, which checks none but "
            "subjectAltNames, any will do that the authorities signed",
        )


def _drop_idle_tls(draft: Draft, said: Mapping[str, Value]) -> None:
    """Take out what is of no use without the rest, and what has no effect in Istio."""
    is_checked = not draft.has("tls.insecureSkipVerify")
    if said.get("mode") is not None and not draft.has("tls.mode"):
        draft.drop("tls", "of no use without the mode", is_lost=True)
    elif draft.value("tls.mode") == "Disable":
        for field in _OF_TLS:
            draft.drop(f"tls.{field}", "has no effect where nothing is encrypted")
    elif said.get("credentialName") and is_checked and not draft.has("tls.ca"):
        draft.drop(
            "tls", "whom to trust is in the Secret of credentialName", is_lost=True
        )
    elif not is_checked:
        for field in _OF_CHECKS:
            draft.drop(f"tls.{field}", "has no effect beside insecureSkipVerify")
