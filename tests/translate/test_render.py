"""Text for people that Envoy reads too."""

import json

import yaml

from tests.translate.bootstrap_input import make_bootstrap
from tests.translate.mesh_input import load_balancer, make_upstream
from tests.translate.policy_input import ACCEPTED
from xds_server.mesh.model import Audience
from xds_server.translate.cluster import build_cluster
from xds_server.translate.endpoint import build_load_assignment
from xds_server.translate.listener import build_listeners
from xds_server.translate.render import (
    bootstrap_as_mapping,
    resources_as_mapping,
    to_json,
    to_yaml,
)
from xds_server.translate.route import build_route_configuration


def test_every_message_inside_another_is_shown() -> None:
    """A type that was not imported would make the JSON format give up."""
    resources = [
        *(
            build_cluster(make_upstream(policy=load_balancer(s)))
            for s in ACCEPTED.values()
        ),
        build_load_assignment(make_upstream()),
        build_route_configuration([], Audience()),
        *build_listeners(Audience(), []),
    ]
    mapping = resources_as_mapping(resources)
    assert isinstance(mapping["resources"], list)

    assert [each["@type"] for each in mapping["resources"]] == [
        resource.type_url for resource in resources
    ]


def test_yaml_and_json_say_the_same() -> None:
    mapping = resources_as_mapping([build_route_configuration([], Audience())])

    assert yaml.safe_load(to_yaml(mapping)) == json.loads(to_json(mapping)) == mapping


def test_whole_numbers_have_no_fraction() -> None:
    """Envoy reads `15001.0` in YAML as text, which no listener could listen on."""
    text = to_yaml(bootstrap_as_mapping(make_bootstrap(listen_port=15001)))

    assert "    listen_port: 15001\n" in text


def test_texts_that_yaml_takes_for_something_else_are_quoted() -> None:
    labels = {"y": "n", "on": "off", "null": "1", "a": "b"}
    text = to_yaml({"labels": labels})

    assert text == "labels:\n  'y': 'n'\n  'on': 'off'\n  'null': '1'\n  a: b\n"


def test_a_text_of_several_lines_is_written_in_lines() -> None:
    assert to_yaml({"text": "a\nb\n"}) == "text: |\n  a\n  b\n"
