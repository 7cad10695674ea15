"""Build `UpstreamTlsContext`: how an Envoy encrypts what it sends to endpoints.

An upstream in; a transport socket for its cluster, and the secrets that this refers
to, out. A secret has the names of files beside the Envoy, never what is in them. It is
a resource of its own (SDS), since Envoy looks at files again only for those: what is
renewed there is used from then on, without a word from here. Each secret costs an Envoy
an inotify instance, of which a user has 128 by default, and with none left it ends; so
whoever names the same files has the same secret.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from envoy.config.core.v3 import base_pb2, config_source_pb2
from envoy.extensions.transport_sockets.tls.v3 import (
    common_pb2,
    secret_pb2,
    tls_pb2,
)

from xds_server.api.policy import Tls, TlsVersion
from xds_server.mesh.model import Discovery, Section, Upstream
from xds_server.translate.check import require
from xds_server.translate.fragment import encode
from xds_server.xds import SECRET, Resource

TRANSPORT_SOCKET: Final = "envoy.transport_sockets.tls"
_VERSIONS: Final = {
    TlsVersion.TLS_1_2: common_pb2.TlsParameters.TLSv1_2,
    TlsVersion.TLS_1_3: common_pb2.TlsParameters.TLSv1_3,
}
_NAME: Final = common_pb2.SubjectAltNameMatcher
_DIGEST_BYTES: Final = 8


def build_tls(upstream: Upstream) -> base_pb2.TransportSocket | None:
    """Return how connections to *upstream* are encrypted; None where they are not.

    Raises:
        ValueError: it must not be sent to an Envoy.
    """
    tls = upstream.sections.tls
    if tls is None or not tls.is_on:
        return None
    context = tls_pb2.UpstreamTlsContext()
    names = server_names(upstream, tls)
    if len(names) == 1:
        context.sni = names[0]
    else:
        context.auto_host_sni = True
    common = context.common_tls_context
    least = _VERSIONS[tls.min_version or TlsVersion.TLS_1_2]
    most = _VERSIONS[tls.max_version or TlsVersion.TLS_1_3]
    require(least <= most, "no version of TLS is allowed")
    common.tls_params.tls_minimum_protocol_version = least
    common.tls_params.tls_maximum_protocol_version = most
    for secret in _secrets(tls):
        if secret.HasField("validation_context"):
            combined = common.combined_validation_context
            _name_servers(combined.default_validation_context, upstream, tls)
            config = combined.validation_context_sds_secret_config
        else:
            config = common.tls_certificate_sds_secret_configs.add()
        config.name = secret.name
        config.sds_config.ads.SetInParent()
        config.sds_config.resource_api_version = config_source_pb2.V3
    is_checked = common.HasField("combined_validation_context")
    require(is_checked is not tls.insecure_skip_verify, "nobody checks who answers")
    socket = base_pb2.TransportSocket(name=TRANSPORT_SOCKET)
    socket.typed_config.Pack(context)
    return socket


def build_secrets(upstream: Upstream) -> Iterator[Resource]:
    """Yield the secrets that the cluster of *upstream* refers to.

    A secret of other content has another name: a cluster always finds its own. Its
    owner is a policy that names these files, of several the last one published.
    """
    tls = upstream.sections.tls
    owner = _owner(upstream)
    for secret in _secrets(tls) if tls is not None and tls.is_on else ():
        resource = Resource(type_url=SECRET, name=secret.name, body=encode(secret))
        yield replace(resource, owners=(owner,) if owner else ())


def server_names(upstream: Upstream, tls: Tls) -> tuple[str, ...]:
    """Return whom an endpoint of *upstream* may be asked to be.

    The default is what Kubernetes itself asks for where it calls a Service (webhooks).
    """
    if tls.sni is not None:
        return (tls.sni,)
    if upstream.discovery is Discovery.DNS and upstream.endpoints:
        return tuple(sorted({endpoint.address for endpoint in upstream.endpoints}))
    return (f"{upstream.service}.{upstream.namespace}.svc",)


def _secrets(tls: Tls) -> Iterator[secret_pb2.Secret]:
    if tls.ca is not None:
        secret = secret_pb2.Secret()
        authority = secret.validation_context
        authority.trusted_ca.filename = tls.ca.file
        authority.watched_directory.path = directory_of(tls.ca.file)
        yield _named("ca", secret)
    if tls.client_certificate is not None:
        certificate, key = tls.client_certificate.files
        secret = secret_pb2.Secret()
        found = secret.tls_certificate
        found.certificate_chain.filename = certificate
        found.private_key.filename = key
        found.watched_directory.path = directory_of(certificate)
        yield _named("client", secret)


def _name_servers(
    context: common_pb2.CertificateValidationContext, upstream: Upstream, tls: Tls
) -> None:
    """Add to *context* the names that a certificate may be for."""
    for name in tls.subject_alt_names or server_names(upstream, tls):
        matcher = context.match_typed_subject_alt_names.add()
        matcher.san_type = _NAME.URI if "://" in name else _NAME.DNS
        matcher.matcher.exact = name


def directory_of(file: str) -> str:
    """Return where a *file* is.

    What a Pod mounts is renewed by renaming a link in its directory (`..data`), so that
    is what has to be watched.
    """
    return file.rpartition("/")[0] or "/"


def _named(kind: str, secret: secret_pb2.Secret) -> secret_pb2.Secret:
    """Return *secret* with a name that no other content has."""
    digest = hashlib.blake2b(encode(secret), digest_size=_DIGEST_BYTES).hexdigest()
    secret.name = f"{kind}/{digest}"
    return secret


def _owner(upstream: Upstream) -> str:
    """Return the policy that says how *upstream* is encrypted."""
    origins = (each.key for each in upstream.origins if each.section is Section.TLS)
    return str(next(origins, ""))
