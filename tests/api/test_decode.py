"""Files of several objects, lists, JSON, and objects that are none of ours."""

import gc
import json

import pytest

from xds_server.api.decode import (
    MAX_DOCUMENT_BYTES,
    decode,
    decode_object,
    too_large,
)
from xds_server.api.document import Revision
from xds_server.api.manifest import TypeMeta
from xds_server.api.policy import TargetKind, TargetRef
from xds_server.api.problem import ObjectKey, report

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
WEB = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
DB = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}}


def said(text: str) -> str:
    return report(decode(text.encode(), source="x.yaml").problems)


def names(text: str) -> list[str]:
    documents = decode(text.encode(), source="x.yaml").documents
    return [str(document.key) for document in documents]


STRANGERS = {
    "apiVersion: apps/v1\nkind: Deployment\n": (
        "x.yaml:2:7: notice: kind: Deployment is not read here: ignored"
    ),
    "apiVersion: v1\nkind: ConfigMap\ndata: {a: !!binary aGk=, a: 1}\n": (
        "x.yaml:2:7: notice: kind: ConfigMap is not read here: ignored"
    ),
    "apiVersion: serving.knative.dev/v1\nkind: Service\n": (
        "x.yaml:2:7: notice: kind: "
        "Service of serving.knative.dev/v1 is not read here: ignored"
    ),
    "apiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\n": (
        "x.yaml:2:7: notice: kind: "
        "TrafficPolicy of gateway.kgateway.dev/v1alpha1 is not read here: ignored"
    ),
    # Close to EndpointSlice, but of another group and real.
    "apiVersion: v1\nkind: Endpoints\n": (
        "x.yaml:2:7: notice: kind: Endpoints is not read here: ignored"
    ),
    "apiVersion: v1\nkind: List\nitems: []\n": (
        "x.yaml:3:8: notice: items: the list is empty"
    ),
}


@pytest.mark.parametrize(("text", "expected"), STRANGERS.items())
def test_what_is_not_ours_is_passed_over_with_a_notice(
    text: str, expected: str
) -> None:
    """A directory may hold anything that `kubectl apply` takes."""
    decoded = decode(text.encode(), source="x.yaml")

    assert report(decoded.problems) == f"{expected}\n0 errors in 0 files"
    assert decoded.is_complete


MISTAKES = {
    "apiVersion: v1\nkind: Servic\n": (
        'x.yaml:2:7: kind: unknown kind "Servic"\n  hint: did you mean Service?'
    ),
    "apiVersion: traffic.xds-server.dev/v1alpha1\nkind: trafficpolicy\n": (
        'x.yaml:2:7: kind: unknown kind "trafficpolicy"\n'
        "  hint: did you mean TrafficPolicy?"
    ),
    "apiVersion: traffic.xds-server.dev/v1\nkind: TrafficPolicy\n": (
        "x.yaml:1:13: apiVersion: unknown version of TrafficPolicy "
        '(got "traffic.xds-server.dev/v1")\n'
        "  hint: apiVersion: traffic.xds-server.dev/v1alpha1"
    ),
    "apiVersion: traffic.xdsserver.dev/v1alpha1\nkind: TrafficPolicy\n": (
        "x.yaml:1:13: apiVersion: unknown version of TrafficPolicy "
        '(got "traffic.xdsserver.dev/v1alpha1")\n'
        "  hint: apiVersion: traffic.xds-server.dev/v1alpha1"
    ),
    "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\n": (
        "x.yaml:1:13: apiVersion: unknown version of EndpointSlice "
        '(got "discovery.k8s.io/v1beta1")\n  hint: apiVersion: discovery.k8s.io/v1'
    ),
    "kind: Service\n": ("x.yaml:1:1: apiVersion: required\n  hint: apiVersion: v1"),
    "apiVersion: 1\nkind: Service\n": (
        "x.yaml:1:13: apiVersion: must be a string (got 1)"
    ),
    "apiVersion: v1\n": (
        "x.yaml:1:1: kind: required\n"
        "  hint: one of TrafficPolicy, Service, EndpointSlice, Pod, Node"
    ),
    "apiVersion: v1\nkind: [a]\n": "x.yaml:2:7: kind: must be a string (got a list)",
    "apiVersion: v1\nkind: List\n": "x.yaml:1:1: items: must be a list of objects",
    "apiVersion: v1\nkind: PodList\nitems: {}\n": (
        "x.yaml:3:8: items: must be a list of objects"
    ),
    "apiVersion: v1\nkind: List\nitems: [5]\n": (
        "x.yaml:3:9: must be a mapping (got 5)\n"
        "  hint: an object begins with apiVersion: and kind:"
    ),
    f"{POD}---\n{POD}": (
        "x.yaml:7:18: metadata.name: Pod default/a is already defined at x.yaml:1:1\n"
        "  hint: rename one of the two, or remove it"
    ),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items())
def test_what_was_meant_to_be_ours_is_an_error(text: str, expected: str) -> None:
    assert said(text) == f"{expected}\n1 error in 1 file"


def test_a_mistyped_kind_keeps_the_last_good_version_in_force() -> None:
    """The object that was meant is rejected, not gone."""
    text = "apiVersion: v1\nkind: Servic\nmetadata: {namespace: shop, name: web}\n"

    assert decode(text.encode(), source="x.yaml").rejected == {
        ObjectKey("Service", "shop", "web")
    }


@pytest.mark.parametrize(
    ("text", "is_complete"),
    [
        (POD, True),
        (POD.replace("name: a", "name: A"), True),
        (POD.replace("name: a", "nam: a"), False),
        (POD.replace("kind: Pod", "kin: Pod"), False),
        ("- a\n", False),
        ("a: [\n", False),
    ],
)
def test_it_is_known_whether_all_objects_could_be_made_out(
    text: str, *, is_complete: bool
) -> None:
    assert decode(text.encode(), source="x.yaml").is_complete is is_complete


def test_json_means_what_the_same_yaml_means() -> None:
    """kubectl prints both; where something stands is known for both."""
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [WEB, DB]}
    for indent in (None, 4):
        text = json.dumps(listed, indent=indent)
        for document in decode(text.encode(), source="x.yaml").documents:
            place = document.locate(("metadata", "name"))
            line = text.splitlines()[place.line - 1]

            assert line[place.column - 1 :].startswith(f'"{document.key.name}"')

    assert names(json.dumps(listed)) == ["Service default/web", "Service default/db"]
    assert names(json.dumps(WEB)) == ["Service default/web"]


def test_json_errors_have_places() -> None:
    listed = {
        "apiVersion": "v1",
        "kind": "ServiceList",
        "items": [WEB, {"metadata": 5}],
    }

    assert said(json.dumps(listed)) == (
        "x.yaml:1:138: metadata: must be a mapping (got 5)\n1 error in 1 file"
    )


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('{"kind": "Pod"\n "metadata": {}}', "2:2", "expecting ',' delimiter"),
        ('{"kind": "Pod"}\n{}', "2:1", "extra data"),
        ("{kind: Pod}", "1:2", "expecting property name enclosed in double quotes"),
    ],
)
def test_a_file_called_json_has_to_be_json(text: str, place: str, message: str) -> None:
    """As YAML some of it would mean something, but not what was meant."""
    decoded = decode(text.encode(), source="x.json")

    assert report(decoded.problems) == (
        f"x.json:{place}: not valid JSON: {message}\n"
        "  hint: JSON has double quotes, no comments, and no comma at the end\n"
        "1 error in 1 file"
    )
    assert not decoded.is_complete


def test_items_of_a_typed_list_need_not_say_what_they_are() -> None:
    """The API server leaves kind and version out of the items of a ServiceList."""
    items = [{"metadata": {"name": "web"}}]
    for api_version, kind in (
        ("v1", "Service"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
    ):
        item = {**items[0], "addressType": "IPv4"}
        listed = {"apiVersion": api_version, "kind": f"{kind}List", "items": [item]}

        assert names(json.dumps(listed)) == [f"{kind} default/web"]

    policies = """\
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicyList
items:
- metadata: {name: a}
  spec: {targetRefs: [{kind: Service, name: a}], loadBalancer: {}}
"""
    assert names(policies) == ["TrafficPolicy default/a"]


def test_an_error_around_the_objects_of_a_list_keeps_none_of_them_out() -> None:
    text = (
        "apiVersion: v1\nkind: PodList\nmetadata: {a: 1, a: 2}\nitems:\n"
        "- metadata:\n    name: x\n    name: y\n- metadata: {name: z}\n"
    )

    assert said(text) == (
        "x.yaml:3:18: metadata.a: given twice\n"
        "  hint: keep one of the two: YAML does not say which one holds\n"
        "x.yaml:7:5: metadata.name: given twice\n"
        "  hint: keep one of the two: YAML does not say which one holds\n"
        "2 errors in 1 file"
    )
    assert names(text) == ["Pod default/z"]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    data = b"\xef\xbb\xbf" + POD.replace("\n", "\r\n").encode()
    (document,) = decode(data, source="x.yaml").documents

    assert str(document.locate(("metadata", "name"))) == "x.yaml:3:18"


def test_json_nested_without_end_is_an_error_too() -> None:
    """No nesting exhausts the stack; deep fields that nobody reads do no harm."""
    deep = json.dumps({**WEB, "status": 0}).replace(
        "0}", '{"a":' * 300 + "0" + "}" * 301
    )

    assert said('{"a":' * 5000) == (
        "x.yaml:1:501: nested deeper than 100 levels\n"
        "  hint: no object that is read here needs more than ten\n"
        "1 error in 1 file"
    )
    assert names(deep) == ["Service default/web"]


def test_a_source_can_be_refused_for_its_size_before_it_is_read() -> None:
    assert str(too_large(MAX_DOCUMENT_BYTES + 1, source="x.yaml")) == (
        "x.yaml: must be at most 33554432 bytes (got 33554433)\n"
        "  hint: split it into several files"
    )


def test_the_garbage_collector_runs_on_afterwards() -> None:
    decode(b"a: [", source="x.yaml")

    assert gc.isenabled()


POLICY = TypeMeta("traffic.xds-server.dev/v1alpha1", "TrafficPolicy")


def test_an_object_of_an_api_server_is_what_was_asked_for() -> None:
    """In a list it does not say so; of its metadata alone it says something else."""
    metadata = {"name": "n1", "uid": "u"}
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    found = [
        decode_object(
            json.dumps({**said, "metadata": metadata}).encode(),
            source="Node default/n1",
            type_meta=TypeMeta("v1", "Node"),
        )
        for said in ({}, partial)
    ]

    assert [[str(each.key) for each in told.documents] for told in found] == [
        ["Node default/n1"],
        ["Node default/n1"],
    ]


def test_an_object_of_an_api_server_says_which_version_it_is() -> None:
    """An invalid one too, with the targets that can be read; a file's has none."""
    policy = {
        "apiVersion": "traffic.xds-server.dev/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": {
            "namespace": "shop",
            "name": "p",
            "uid": "u",
            "generation": 3,
            "creationTimestamp": "2026-03-01T10:00:00Z",
        },
        "spec": {
            "targetRefs": [{"kind": "Service", "name": "web"}, {"kind": "Gateway"}],
        },
    }
    text = json.dumps(policy)
    told = decode_object(text.encode(), source="p", type_meta=POLICY)
    written = decode(text.encode(), source="p.json")

    web = TargetRef(kind=TargetKind.SERVICE, name="web")
    assert not told.documents
    assert told.revision == Revision(
        uid="u", generation=3, created="2026-03-01T10:00:00Z", targets=(web,)
    )
    assert written.revision is None
