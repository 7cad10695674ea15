"""Write typings/*.pyi for the Envoy protos we import: xds-protos ships no stubs.

In: the compiled modules' own descriptors. Out: one stub a proto, for mypy alone.
"""

import importlib
import shutil
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from grpc_tools import protoc  # type: ignore[import-untyped]  # ships no stubs

ROOTS = [
    "envoy.admin.v3.config_dump_pb2",
    "envoy.config.bootstrap.v3.bootstrap_pb2",
    "envoy.config.cluster.v3.cluster_pb2",
    "envoy.config.core.v3.base_pb2",
    "envoy.config.endpoint.v3.endpoint_pb2",
    "envoy.config.endpoint.v3.load_report_pb2",
    "envoy.config.listener.v3.listener_pb2",
    "envoy.config.route.v3.route_pb2",
    "envoy.extensions.clusters.dns.v3.dns_cluster_pb2",
    "envoy.extensions.common.matching.v3.extension_matcher_pb2",
    "envoy.extensions.filters.http.adaptive_concurrency.v3.adaptive_concurrency_pb2",
    "envoy.extensions.filters.http.admission_control.v3.admission_control_pb2",
    "envoy.extensions.filters.http.composite.v3.composite_pb2",
    "envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2",
    "envoy.extensions.filters.http.router.v3.router_pb2",
    "envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2",
    "envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2",
    "envoy.extensions.filters.http.upstream_codec.v3.upstream_codec_pb2",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
    "envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2",
    "envoy.extensions.http.stateful_session.cookie.v3.cookie_pb2",
    "envoy.extensions.http.stateful_session.header.v3.header_pb2",
    "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.client_side_weighted_round_robin_pb2",
    "envoy.extensions.load_balancing_policies.least_request.v3.least_request_pb2",
    "envoy.extensions.load_balancing_policies.maglev.v3.maglev_pb2",
    "envoy.extensions.load_balancing_policies.override_host.v3.override_host_pb2",
    "envoy.extensions.load_balancing_policies.random.v3.random_pb2",
    "envoy.extensions.load_balancing_policies.ring_hash.v3.ring_hash_pb2",
    "envoy.extensions.load_balancing_policies.round_robin.v3.round_robin_pb2",
    "envoy.extensions.load_balancing_policies.wrr_locality.v3.wrr_locality_pb2",
    "envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2",
    "envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2",
    "envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2",
    "envoy.extensions.transport_sockets.tls.v3.secret_pb2",
    "envoy.extensions.transport_sockets.tls.v3.tls_pb2",
    "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
    "envoy.service.discovery.v3.discovery_pb2",
    "envoy.service.load_stats.v3.lrs_pb2",
    "envoy.service.status.v3.csds_pb2",
    "xds.data.orca.v3.orca_load_report_pb2",
    "xds.service.orca.v3.orca_pb2",
]
OUT = Path("typings")


def collect(
    descriptor: FileDescriptor,
    files: dict[str, descriptor_pb2.FileDescriptorProto],
) -> None:
    """Add *descriptor* and what it imports to *files*, dependencies first."""
    if descriptor.name in files:
        return
    for dependency in descriptor.dependencies:
        collect(dependency, files)
    proto = descriptor_pb2.FileDescriptorProto()
    descriptor.CopyToProto(proto)
    files[descriptor.name] = proto


def main() -> None:
    """Write all stubs below `OUT`, replacing what was there.

    Raises:
        SystemExit: protoc failed; its message is on stderr.
    """
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for root in ROOTS:
        collect(importlib.import_module(root).DESCRIPTOR, files)
    names = sorted(name for name in files if not name.startswith("google/protobuf/"))
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    with tempfile.NamedTemporaryFile() as descriptors:
        bundle = descriptor_pb2.FileDescriptorSet(file=files.values())
        descriptors.write(bundle.SerializeToString())
        descriptors.flush()
        status = protoc.main(
            [
                "protoc",
                f"--descriptor_set_in={descriptors.name}",
                f"--pyi_out={OUT}",
                *names,
            ]
        )
    if status:
        raise SystemExit(status)
    for directory in (path for path in OUT.rglob("*") if path.is_dir()):
        (directory / "__init__.pyi").touch()  # or the untyped installed package wins
    print(f"{len(names)} stubs")


if __name__ == "__main__":
    main()
