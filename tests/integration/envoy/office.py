"""Certificates for tests: an authority, files of whom it vouches for, and servers.

Files are kept and renewed as a kubelet does it, where an Envoy looks for them.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.integration.envoy.world import Json


@dataclass(kw_only=True)
class Office:
    """Issues certificates, and keeps files as a Pod mounts them: behind a link."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)
    versions: int = 0

    @property
    def ca(self) -> Json:
        """The authority, as a policy names it."""
        return {"file": str(self.folder / "ca.crt")}

    @property
    def client(self) -> Json:
        """The client's certificate, as a policy names it."""
        return {
            "certFile": str(self.folder / "tls.crt"),
            "keyFile": str(self.folder / "tls.key"),
        }

    def renew(self, client: str, authority: trustme.CA | None = None) -> None:
        """Renew all files at once: the authority that is trusted, and who a client is.

        As a kubelet does it: files are links into `..data`, and that is a link, too,
        which is renamed into place.
        """
        self.versions += 1
        (version := self.folder / f"..{self.versions}").mkdir(parents=True)
        issued = self.authority.issue_cert(client)
        (authority or self.authority).cert_pem.write_to_path(version / "ca.crt")
        issued.private_key_pem.write_to_path(version / "tls.key")
        for each in issued.cert_chain_pems:
            each.write_to_path(version / "tls.crt", append=True)
        (new := self.folder / "..new").symlink_to(version.name)
        new.rename(self.folder / "..data")
        for name in ("ca.crt", "tls.crt", "tls.key"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")

    def server(
        self, *names: str, asks: bool = False, speaks: tuple[str, ...] = ()
    ) -> ssl.SSLContext:
        """Return how an endpoint with a certificate for *names* encrypts.

        It *asks* clients for theirs, and *speaks* some protocols.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(context)
        if asks:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        if speaks:
            context.set_alpn_protocols(list(speaks))
        return context


def asked_names(context: ssl.SSLContext) -> list[str | None]:
    """Return the list of names that a server will be asked for."""
    names: list[str | None] = []

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        names.append(name)

    context.sni_callback = note
    return names
