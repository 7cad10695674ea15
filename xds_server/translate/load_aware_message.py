"""`LoadAwareLocality` for whoever decodes: xds-protos does not have it yet.

Nothing in; in the default pool the message as Envoy 1.40 has it, so that what is inside
an Any can be shown. It is authored with envoy-data-plane, like all policies.
"""

from typing import Final

from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import descriptor_pool, duration_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_PACKAGE: Final = "envoy.extensions.load_balancing_policies.load_aware_locality.v3"
_FIELDS: Final = (
    ("endpoint_picking_policy", ".envoy.config.cluster.v3.LoadBalancingPolicy"),
    ("weight_update_period", ".google.protobuf.Duration"),
    ("metric_names_for_computing_utilization", ""),
    ("utilization_variance_threshold", ".google.protobuf.DoubleValue"),
    ("smoothing_time_constant", ".google.protobuf.Duration"),
    ("remote_probe_fraction", ".google.protobuf.DoubleValue"),
    ("weight_expiration_period", ".google.protobuf.Duration"),
    ("enable_oob_load_report", ".google.protobuf.BoolValue"),
    ("oob_reporting_period", ".google.protobuf.Duration"),
)
"""By their numbers: 1 and so on. Those without a type are lists of texts."""


def register() -> None:
    """Add the message to the default pool, unless it is there."""
    pool = descriptor_pool.Default()
    try:
        pool.FindMessageTypeByName(f"{_PACKAGE}.LoadAwareLocality")
    except KeyError:
        pool.AddSerializedFile(_file().SerializeToString())


def _file() -> FileDescriptorProto:
    needed = (cluster_pb2, duration_pb2, wrappers_pb2)
    file = FileDescriptorProto(
        name=f"{_PACKAGE.replace('.', '/')}/load_aware_locality.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[each.DESCRIPTOR.name for each in needed],
    )
    message = file.message_type.add(name="LoadAwareLocality")
    for number, (name, type_name) in enumerate(_FIELDS, start=1):
        field = message.field.add(name=name, number=number)
        field.label = FieldDescriptorProto.LABEL_OPTIONAL
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = type_name
        if not type_name:
            field.label = FieldDescriptorProto.LABEL_REPEATED
            field.type = FieldDescriptorProto.TYPE_STRING
            field.ClearField("type_name")
    return file
