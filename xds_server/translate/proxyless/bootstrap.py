"""The bootstrap of a gRPC client: what an application needs to find xds-server.

The place and the name of one application in; a JSON value for the environment variable
GRPC_XDS_BOOTSTRAP_CONFIG, or for the file that GRPC_XDS_BOOTSTRAP names, out. Its
format is gRPC's own (gRFC A27), and not Envoy's.
"""

from collections.abc import Mapping

from xds_server.translate.bootstrap import check_node, parse_address


def build_grpc_bootstrap(
    *,
    node_id: str,
    node_cluster: str,
    namespace: str | None,
    labels: Mapping[str, str],
    region: str,
    zone: str,
    node_name: str,
    xds_address: str,
) -> Mapping[str, object]:
    """Return the bootstrap of one application; arguments are as of `build_bootstrap`.

    `xds_v3` says which version of xDS is spoken; older clients want it said.

    Raises:
        ValueError: an argument is not what it should be; the message names it.
    """
    parse_address("xds_address", xds_address)
    check_node(node_id, node_cluster)
    metadata: dict[str, object] = {}
    if namespace is not None:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if node_name:
        metadata["node_name"] = node_name
    node: dict[str, object] = {"id": node_id, "cluster": node_cluster}
    if metadata:
        node["metadata"] = metadata
    if region or zone:
        node["locality"] = {"region": region, "zone": zone}
    server = {
        "server_uri": xds_address,
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    }
    return {"xds_servers": [server], "node": node}
