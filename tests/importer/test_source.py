"""What is read, and what is said of that which cannot be."""

import json
from pathlib import Path

from tests.importer.foreign import istio
from xds_server.importer.source import Foreign, read

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec: {host: cart, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
"""


def told(text: str) -> list[str]:
    return istio(*(_objects(text))).told


def _objects(text: str) -> list[Foreign]:
    found = read(["-"], stdin=text.encode(), namespace="shop")
    return [one for one in found if isinstance(one, Foreign)]


def problems(text: str) -> list[str]:
    found = read(["-"], stdin=text.encode(), namespace="shop")
    imported = istio(*found)  # type: ignore[arg-type] # problems are taken, too
    return [str(one) for one in imported.problems]


def test_an_object_without_a_namespace_is_where_the_user_says() -> None:
    (found,) = _objects(RULE)

    assert str(found.key) == "DestinationRule shop/cart"


def test_lists_as_kubectl_prints_them_are_read() -> None:
    inner = RULE.replace("\n", "\n    ").rstrip()
    text = f"apiVersion: v1\nkind: List\nitems:\n  - {inner}\n"

    assert [one.key.name for one in _objects(text)] == ["cart"]


def test_what_is_no_yaml_is_told_with_its_place() -> None:
    (problem,) = problems("a: [")

    assert problem.startswith("-:2:1: not valid YAML: did not find expected node")


def test_a_key_given_twice_keeps_the_object_out() -> None:
    text = RULE.replace("{host: cart,", "{host: cart, host: other,")

    assert [one.split(": ")[1:3] for one in problems(text)] == [
        ["spec.host", "given twice\n  hint"]
    ]


def test_an_unknown_version_keeps_the_object_out() -> None:
    (problem,) = problems(RULE.replace("/v1", "/v2"))

    assert problem.startswith("-:1:13: apiVersion: unknown version of DestinationRule")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    (problem,) = read([str(tmp_path / "none.yaml")], namespace="shop")

    assert "no such file" in str(problem)


def test_places_are_those_of_the_file() -> None:
    text = f"# a comment\n---\n{RULE}".replace("RANDOM", "NONE")

    assert told(text)[0].startswith(
        "-:6:59: DestinationRule shop/cart: spec.trafficPolicy.loadBalancer.simple: "
        "not carried over: must be one of ROUND_ROBIN, "
    )


def test_json_is_read_as_kubectl_prints_it() -> None:
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"namespace": "a", "name": "cart", "managedFields": [{}]},
        "spec": {"host": "cart", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
        "status": {},
    }
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [rule]}, indent=1)

    assert told(text)[0].startswith(
        "-:19:15: DestinationRule a/cart: spec.trafficPolicy.tls.mode: not carried over"
    )
