"""How each Envoy encrypts what it sends to endpoints: `tls` of a policy.

Certificates and keys are files beside the Envoy, as a Pod mounts them. Their names
alone are here: what is in them never passes through the server.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final

from pydantic import Field

from xds_server.api.field import (
    AlternativeName,
    Choice,
    FilePath,
    ServerName,
)
from xds_server.api.model import Model
from xds_server.api.problem import Fault
from xds_server.api.schema import FORBIDDEN, REQUIRED, Rule
from xds_server.api.wording import got


class TlsMode(Choice):
    """Whether connections are encrypted, and who shows a certificate."""

    DISABLE = "Disable"
    SIMPLE = "Simple"
    MUTUAL = "Mutual"


class TlsVersion(Choice):
    """A version of the protocol; what is older is broken."""

    TLS_1_2 = "TLSv1_2"
    TLS_1_3 = "TLSv1_3"


_OF_TLS: Final = (
    "sni",
    "ca",
    "subjectAltNames",
    "clientCertificate",
    "minVersion",
    "maxVersion",
)
_OF_A_CHECK: Final = ("ca", "subjectAltNames")
_ENCRYPTED: Final = "only allowed when mode is Simple or Mutual (got Disable)"
_UNCHECKED: Final = "required: without it nobody would check who answers"
_NOT_CHECKED: Final = "not allowed with insecureSkipVerify: true, which checks nothing"
_OF_MUTUAL: Final = "only allowed when mode is Mutual (got Simple)"
_OWN: Final = "required when mode is Mutual"
_ONE_DIRECTORY: Final = "must be in the directory of certFile: Envoy watches one"
_ORDER: Final = "must be >= minVersion"
_DIRECTORY: Final = "self.{0}.substring(0, self.{0}.lastIndexOf('/'))"
_IS_MODE: Final = "self.mode == '{}'".format
_CHECKS: Final = f"{_IS_MODE('Disable')} || !self.insecureSkipVerify"


def _allowed(holds: str, message: str, at: str) -> Rule:
    return Rule(holds=holds, message=message, at=at, reason=FORBIDDEN)


class CertificateAuthority(Model):
    """Whose word counts for who an endpoint is."""

    later = frozenset({"configMapRef", "system"})

    file: FilePath
    """The file beside the Envoy that has the certificates of the authorities, in PEM.
    """


class ClientCertificate(Model):
    """What an Envoy shows to endpoints."""

    later = frozenset({"secretRef"})
    served_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            holds=f"{_DIRECTORY.format('certFile')} == {_DIRECTORY.format('keyFile')}",
            message=_ONE_DIRECTORY,
            at="keyFile",
        ),
    )

    cert_file: FilePath
    """The file beside the Envoy that has its certificate, with those in between."""
    key_file: FilePath
    """The file that has the key, in the same directory."""

    @property
    def files(self) -> tuple[str, str]:
        """Both, the certificate first."""
        return self.cert_file, self.key_file

    def value_faults(self) -> Iterable[Fault]:
        """Refuse two directories: a rotation would be seen in one of them."""
        directories = {path.rpartition("/")[0] for path in self.files}
        if len(directories) > 1:
            message = f"{_ONE_DIRECTORY}{got(self.key_file)}"
            yield Fault(path=("keyFile",), message=message)


class Tls(Model):
    """Whether and how connections to endpoints are encrypted."""

    served_rules: ClassVar[tuple[Rule, ...]] = (
        *(
            _allowed(f"!({_IS_MODE('Disable')}) || !has(self.{name})", _ENCRYPTED, name)
            for name in _OF_TLS
        ),
        _allowed(
            f"!({_IS_MODE('Disable')}) || !self.insecureSkipVerify",
            _ENCRYPTED,
            "insecureSkipVerify",
        ),
        *(
            _allowed(f"{_CHECKS} || !has(self.{name})", _NOT_CHECKED, name)
            for name in _OF_A_CHECK
        ),
        Rule(
            holds=f"{_IS_MODE('Disable')} || self.insecureSkipVerify || has(self.ca)",
            message=_UNCHECKED,
            at="ca",
            reason=REQUIRED,
        ),
        Rule(
            holds=f"!({_IS_MODE('Mutual')}) || has(self.clientCertificate)",
            message=_OWN,
            at="clientCertificate",
            reason=REQUIRED,
        ),
        _allowed(
            f"!({_IS_MODE('Simple')}) || !has(self.clientCertificate)",
            _OF_MUTUAL,
            "clientCertificate",
        ),
        Rule(
            holds="!has(self.minVersion) || !has(self.maxVersion) || "
            "self.minVersion <= self.maxVersion",
            message=_ORDER,
            at="maxVersion",
        ),
    )

    mode: TlsMode
    """`Disable`: nothing is encrypted, whatever a broader policy says; `Simple`: the
    endpoints show certificates; or `Mutual`: each Envoy does, too."""
    sni: ServerName | None = None
    """The name that is asked for; left out: `SERVICE.NAMESPACE.svc`, or the endpoint's
    own name where it is one that DNS finds."""
    ca: CertificateAuthority | None = None
    """Who must have signed an endpoint's certificate; required unless
    `insecureSkipVerify`."""
    subject_alt_names: tuple[AlternativeName, ...] = Field(default=(), max_length=32)
    """The certificate must be for one of these DNS names or URIs; left out: for what
    `sni` is."""
    client_certificate: ClientCertificate | None = None
    """Only with mode Mutual: what each Envoy shows."""
    min_version: TlsVersion | None = None
    """The oldest version: `TLSv1_2` or `TLSv1_3`; left out: `TLSv1_2`."""
    max_version: TlsVersion | None = None
    """The newest version, not below `minVersion`; left out: `TLSv1_3`."""
    insecure_skip_verify: bool = False
    """Whether any certificate will do: what is sent is then read by whoever answers."""

    @property
    def is_on(self) -> bool:
        """Whether anything is encrypted."""
        return self.mode is not TlsMode.DISABLE

    @classmethod
    def presence_faults(cls, given: Mapping[str, object]) -> Iterable[Fault]:
        """Ask for what the mode needs, and refuse what has no effect in it."""
        try:
            mode = TlsMode.parse(given.get("mode"))
        except ValueError:
            return
        skips = given.get("insecureSkipVerify") is True
        if mode is TlsMode.DISABLE:
            names = [*_OF_TLS, *(["insecureSkipVerify"] * skips)]
            yield from _refused(names, given, _ENCRYPTED)
            return
        if skips:
            yield from _refused(_OF_A_CHECK, given, _NOT_CHECKED)
        elif "ca" not in given:
            hint = "ca: {file: /etc/ssl/certs/ca-certificates.crt} has the public ones"
            yield Fault(path=("ca",), message=_UNCHECKED, hint=hint)
        if mode is TlsMode.SIMPLE:
            yield from _refused(["clientCertificate"], given, _OF_MUTUAL)
        elif "clientCertificate" not in given:
            yield Fault(path=("clientCertificate",), message=_OWN)

    def value_faults(self) -> Iterable[Fault]:
        """Refuse a range of versions that has none in it."""
        least, most = self.min_version, self.max_version
        if least is not None and most is not None and most < least:
            message = f"{_ORDER} (got {most} < {least})"
            yield Fault(path=("maxVersion",), message=message)


def _refused(
    names: Iterable[str], given: Mapping[str, object], message: str
) -> Iterator[Fault]:
    for name in names:
        if name in given:
            yield Fault(path=(name,), message=message, at_key=True)
