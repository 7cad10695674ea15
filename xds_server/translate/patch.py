"""Merge what a policy says in Envoy's own words into a finished cluster.

An encoded cluster and a patch in; the encoding of both together out, or a `PatchError`
with the place of everything in the patch that Envoy does not know. The patch is a JSON
merge (RFC 7396) of the message's JSON form: mappings are merged, all else is replaced,
and null takes out. Names are those of Envoy's documentation (`snake_case`).
"""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Final

from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from xds_server.api.policy import EnvoyPatch
from xds_server.api.problem import FieldPath
from xds_server.api.wording import did_you_mean, got
from xds_server.mesh.misfit import Misfit
from xds_server.mesh.model import Upstream
from xds_server.translate import render
from xds_server.translate.check import TranslateError
from xds_server.translate.fragment import encode
from xds_server.translate.name import cluster_name
from xds_server.translate.recheck import check_cluster

Json = dict[str, object]

_GIVEN: Final = {
    "name": "statistics, assignments and routes go by it",
    "type": "the Service says how its endpoints are found",
    "cluster_type": "the Service says how its endpoints are found",
    "eds_cluster_config": "the Service says how its endpoints are found",
    "load_assignment": "the endpoints are those of the Service",
    "lb_policy": "Envoy ignores it beside load_balancing_policy",
}
"""What may not be patched, and why."""

_SENSITIVE: Final = "udpa.annotations.sensitive"
_WRITTEN_OUT: Final = frozenset({"inline_string", "inline_bytes"})
"""The fields of a DataSource that have its text in them."""

_WELL_KNOWN: Final = "google.protobuf."
_ANY: Final = "google.protobuf.Any"
_TYPE: Final = "@type"
_TYPE_PREFIX: Final = "type.googleapis.com/"


class PatchError(TranslateError):
    """A patch that cannot be applied. The paths of `misfits` begin in the section."""

    def __init__(self, resource: str, misfits: tuple[Misfit, ...]) -> None:
        first = misfits[0]
        where = ".".join(map(str, first.path))
        super().__init__(resource, f"envoyPatch.{where}: {first.message}")
        self.misfits = misfits


def apply_patch(body: bytes, upstream: Upstream) -> bytes:
    """Return the cluster *body* of *upstream* with its patch, if it has one.

    Raises:
        PatchError: it cannot be applied, or not be sent then.
    """
    patch = upstream.sections.envoy_patch
    if patch is None:
        return body
    name = cluster_name(upstream)
    written, merged = _merged(body, patch)
    misfits = tuple(_misfits(written, merged))
    if misfits:
        raise PatchError(name, misfits)
    try:
        cluster = ParseDict(merged, cluster_pb2.Cluster())
        check_cluster(encode(cluster))
    except (ParseError, ValueError) as error:
        misfit = Misfit(path=("cluster",), message=f"cannot be merged: {error}")
        raise PatchError(name, (misfit,)) from error
    return encode(cluster)


def _merged(body: bytes, patch: EnvoyPatch) -> tuple[Json, Json]:
    """Return what is written, and the cluster with it, in their JSON forms."""
    assert render.SHOWN_IN_ANY  # noqa: S101 - these are what the form looks into
    written: Json = json.loads(patch.cluster)
    cluster = cluster_pb2.Cluster.FromString(body)
    found = MessageToDict(cluster, preserving_proto_field_name=True)
    merged = _merge(found, written)
    assert isinstance(merged, dict)  # noqa: S101 - both are
    return written, merged


def _merge(target: object, patch: object) -> object:
    """Return *target* with *patch* merged into it (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merge(found.get(key), value)
    return found


def _misfits(written: Json, merged: Json) -> Iterator[Misfit]:
    given = [key for key in written if key in _GIVEN]
    for key in given:
        path = ("cluster", key)
        yield Misfit(path=path, message=f"may not be patched: {_GIVEN[key]}")
    rest = {key: value for key, value in written.items() if key not in given}
    pool = descriptor_pool.Default()
    descriptor = pool.FindMessageTypeByName(cluster_pb2.Cluster.DESCRIPTOR.full_name)
    yield from _in_message(descriptor, rest, merged, ("cluster",))


def _in_message(
    descriptor: Descriptor, written: Json, merged: object, path: FieldPath
) -> Iterator[Misfit]:
    """Yield what of *written* is none of the message, at its place below *path*."""
    for key, value in written.items():
        field = descriptor.fields_by_name.get(key)
        here = (*path, key)
        if field is None:
            names = descriptor.fields_by_name
            yield Misfit(
                path=here,
                message=f"{descriptor.full_name} has no such field",
                hint=did_you_mean(key, names),
            )
        elif value is not None:
            yield from _secrets(field, value, here)
            inside = merged.get(key) if isinstance(merged, dict) else None
            yield from _in_field(field, value, inside, here)


def _secrets(
    field: FieldDescriptor, written: object, path: FieldPath
) -> Iterator[Misfit]:
    """Yield what is secret and written out: whoever may read policies would read it.

    Envoy's definitions say which fields are sensitive.
    """
    options = field.GetOptions().ListFields()
    if not any(option.full_name == _SENSITIVE for option, _ in options):
        return
    for each in written if isinstance(written, list) else [written]:
        for key in _WRITTEN_OUT & each.keys() if isinstance(each, dict) else ():
            yield Misfit(
                path=(*path, key),
                message="a secret may not be written into a policy",
                hint="filename names a file beside the Envoy",
            )


def _in_field(
    field: FieldDescriptor, written: object, merged: object, path: FieldPath
) -> Iterator[Misfit]:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        value = message.fields_by_name["value"]
        if value.message_type is not None and isinstance(written, dict):
            for key, item in written.items():
                inside = merged.get(key) if isinstance(merged, dict) else None
                if item is not None:
                    yield from _in_value(value, item, inside, (*path, key))
            return
    elif field.is_repeated and isinstance(written, list):
        for position, item in enumerate(written):
            yield from _in_value(field, item, item, (*path, position))
        return
    elif not field.is_repeated:
        yield from _in_value(field, written, merged, path)
        return
    yield from _of_wrong_type(field, written, path)


def _in_value(
    field: FieldDescriptor, written: object, merged: object, path: FieldPath
) -> Iterator[Misfit]:
    """Yield what is wrong with one value of a field that may have several."""
    message = field.message_type
    if message is None or not isinstance(written, dict):
        value = [written] if field.is_repeated else written
        yield from _of_wrong_type(field, value, path)
    elif message.full_name == _ANY:
        yield from _in_any(written, merged, path)
    elif message.full_name.startswith(_WELL_KNOWN):
        value = [written] if field.is_repeated else written
        yield from _of_wrong_type(field, value, path)
    else:
        yield from _in_message(message, written, merged, path)


def _in_any(written: Json, merged: object, path: FieldPath) -> Iterator[Misfit]:
    """Yield what is wrong inside an Any, whose type may be that which it had."""
    url = merged.get(_TYPE) if isinstance(merged, dict) else None
    descriptor = _descriptor(url) if isinstance(url, str) else None
    if descriptor is None:
        found = got(url) if url is not None else ""
        yield Misfit(
            path=(*path, _TYPE) if _TYPE in written else path,
            message=f"must have the {_TYPE} of a message of Envoy{found}",
            hint=f"write {_TYPE}: {_TYPE_PREFIX}envoy.extensions. and so on",
        )
        return
    rest = {key: value for key, value in written.items() if key != _TYPE}
    yield from _in_message(descriptor, rest, merged, path)


def _of_wrong_type(
    field: FieldDescriptor, written: object, path: FieldPath
) -> Iterator[Misfit]:
    holder = field.containing_type
    if holder is None or holder.GetOptions().map_entry:
        return  # said of the whole, once it is merged
    message = message_factory.GetMessageClass(holder)()
    try:
        ParseDict({field.name: written}, message)
    except ParseError as error:
        text = str(error).partition(" field: ")[2] or str(error)
        said = text.rpartition(" at ")[0] or text
        yield Misfit(path=path, message=f"no value of this field: {said}")


def _descriptor(url: str) -> Descriptor | None:
    """Return what an Any of this type URL holds; None if Envoy has no such message."""
    name = url.removeprefix(_TYPE_PREFIX)
    pool = descriptor_pool.Default()
    try:
        return pool.FindMessageTypeByName(name)
    except KeyError:
        _import(name.rpartition(".")[0])
    try:
        return pool.FindMessageTypeByName(name)
    except KeyError:
        return None


def _import(package: str) -> None:
    """Import all messages of a *package* of Envoy: then the JSON form knows them."""
    if not package.startswith("envoy."):
        return
    try:
        found = importlib.import_module(package)
        for each in pkgutil.iter_modules(found.__path__):
            if each.name.endswith("_pb2"):
                importlib.import_module(f"{package}.{each.name}")
    except ImportError:
        return
