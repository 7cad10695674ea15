"""Small meshes for tests: a few lines of YAML or keywords in, mesh values out."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from xds_server.api.model import DOCUMENT
from xds_server.api.policy import HealthCheck, LoadBalancer, PolicySpec
from xds_server.mesh.model import (
    Audience,
    Discovery,
    Endpoint,
    Port,
    Protocol,
    Sections,
    Service,
    Upstream,
)

Spec = Mapping[str, object]
"""A `loadBalancer` block as its user writes it."""

_ENDPOINTS = TypeAdapter(tuple[Endpoint, ...])
_PORTS = TypeAdapter(tuple[Port, ...])
_AUDIENCE = TypeAdapter(Audience)


def load_balancer(spec: Spec) -> LoadBalancer:
    """Return what the API makes of *spec*."""
    return LoadBalancer.model_validate(dict(spec), context=DOCUMENT)


def health_check(spec: Spec) -> HealthCheck:
    """Return what the API makes of a `healthCheck` block."""
    return HealthCheck.model_validate(dict(spec), context=DOCUMENT)


def sections(spec: Spec) -> Sections:
    """Return what the API makes of sections beside `loadBalancer`."""
    target = {"kind": "Service", "name": "web"}
    read = PolicySpec.model_validate(
        {"targetRefs": (target,), **spec}, context=DOCUMENT
    )
    return Sections(
        **{each.name: getattr(read, each.name) for each in fields(Sections)}
    )


def accepted(spec: Spec) -> LoadBalancer | None:
    """Return what the API makes of *spec*, or None if it refuses it."""
    try:
        return load_balancer(spec)
    except ValidationError:
        return None


def make_upstream(
    *endpoints: Endpoint,
    namespace: str = "shop",
    service: str = "web",
    number: int = 80,
    protocol: Protocol = Protocol.HTTP1,
    listen_port: int | None = None,
    discovery: Discovery = Discovery.EDS,
    policy: LoadBalancer | None = None,
    spec: Spec | None = None,
) -> Upstream:
    """Return an upstream; *spec* are sections beside `loadBalancer`, as written."""
    return Upstream(
        namespace=namespace,
        service=service,
        port=Port(
            number=number,
            name=protocol.value,
            protocol=protocol,
            listen_port=listen_port,
        ),
        discovery=discovery,
        load_balancer=policy or LoadBalancer(),
        endpoints=endpoints,
        sections=sections(spec or {}),
    )


def make_service(*upstreams: Upstream) -> Service:
    """Return the Service that *upstreams*, of which there is at least one, are of."""
    return Service(
        namespace=upstreams[0].namespace,
        name=upstreams[0].service,
        upstreams=upstreams,
    )


class _Input(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", arbitrary_types_allowed=True
    )


class ServiceInput(_Input):
    """A Service all of whose ports have the same endpoints and policy."""

    name: str
    namespace: str = "shop"
    discovery: Discovery = Discovery.EDS
    load_balancer: dict[str, object] = Field(default_factory=dict)
    sections: dict[str, object] = Field(default_factory=dict)
    ports: list[dict[str, object]]
    endpoints: list[dict[str, object]] = Field(default_factory=list)

    def resolve(self) -> Service:
        policy = load_balancer(self.load_balancer)
        endpoints = _ENDPOINTS.validate_python(self.endpoints)
        upstreams = tuple(
            Upstream(
                namespace=self.namespace,
                service=self.name,
                port=port,
                discovery=self.discovery,
                load_balancer=policy,
                endpoints=endpoints,
                sections=sections(self.sections),
            )
            for port in _PORTS.validate_python(self.ports)
        )
        return Service(namespace=self.namespace, name=self.name, upstreams=upstreams)


class MeshInput(_Input):
    """A file `*.in.yaml`: Services, and the audience that sees them."""

    audience: dict[str, object] = Field(default_factory=dict)
    services: list[ServiceInput]

    def resolve(self) -> tuple[Audience, tuple[Service, ...]]:
        audience = _AUDIENCE.validate_python(self.audience)
        return audience, tuple(service.resolve() for service in self.services)


def load_mesh(path: Path) -> tuple[Audience, tuple[Service, ...]]:
    """Return the mesh that *path* describes."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return MeshInput.model_validate(document).resolve()
