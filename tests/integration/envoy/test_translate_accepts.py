"""What the API accepts, a real Envoy accepts, without so much as a warning."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from hypothesis import Phase, given, settings
from pydantic import ValidationError

from tests.api.sections import GOOD
from tests.translate.mesh_input import (
    Spec,
    accepted,
    load_balancer,
    load_mesh,
    make_service,
    make_upstream,
    sections,
)
from tests.translate.policy_input import ACCEPTED, DOUBTFUL
from tests.translate.static_bootstrap import refusal, static_bootstrap
from xds_server.api.hash_key import HashHeader, HashKey, Regex
from xds_server.api.policy import Connection, LoadBalancer, SpokenProtocol
from xds_server.api.regular_expression import pattern_error
from xds_server.mesh.index import Index
from xds_server.mesh.model import Audience, Endpoint, Protocol, Service
from xds_server.sources.files import read_once

pytestmark = pytest.mark.envoy

POLICIES = Path(__file__).parents[3] / "policies"
TESTDATA = Path(__file__).parents[2] / "translate" / "testdata"
ENDPOINTS = tuple(
    Endpoint(address=f"127.0.0.{host}", port=8080, weight=host) for host in (1, 2, 3)
)


def services(policies: Iterable[LoadBalancer]) -> list[Service]:
    """Return a Service for each of *policies*, with a port for each protocol."""
    return [
        Service(
            namespace="shop",
            name=f"s{index}",
            upstreams=tuple(
                make_upstream(
                    *ENDPOINTS,
                    service=f"s{index}",
                    number=number,
                    protocol=protocol,
                    policy=policy,
                )
                for number, protocol in enumerate(Protocol, start=80)
            ),
        )
        for index, policy in enumerate(policies)
    ]


def test_the_edges_of_every_range(tmp_path: Path) -> None:
    mesh = services(load_balancer(spec) for spec in ACCEPTED.values())

    assert refusal(static_bootstrap(Audience(), mesh), tmp_path) is None


def test_whatever_the_api_accepts(tmp_path: Path) -> None:
    """One Envoy judges all that were accepted: starting one for each takes too long."""
    policies: dict[LoadBalancer, Spec] = {}

    @settings(max_examples=300, phases=[Phase.generate])
    @given(DOUBTFUL)
    def gather(spec: Spec) -> None:
        policy = accepted(spec)
        if policy is not None:
            policies[policy] = spec

    gather()
    complaint = refusal(static_bootstrap(Audience(), services(policies)), tmp_path)

    assert len(policies) > 20
    assert complaint is None, list(enumerate(policies.values()))


def with_pattern(pattern: str) -> LoadBalancer:
    """Return a policy with a regular expression that nobody has checked."""
    regex = Regex.model_construct(pattern=pattern, substitution="x")
    header = HashHeader.model_construct(name="x-user", regex=regex)
    key = HashKey.model_construct(header=header)
    policy = load_balancer({"type": "Maglev", "hashOn": [{"header": {"name": "x"}}]})
    return policy.model_copy(update={"hash_on": (key,)})


TAKEN = (
    *("x{96}", "é{95}", r"\pL", ".*", "^[A-Za-z0-9_-]{2,18}$", "(?P<n>x)(?P<n>x)"),
    *(r"\bx\B", "(?i:x)", "[[:alpha:]]", r"\x{e9}", "日本", r"\C", "(?<n>x)"),
)
REFUSED = {
    "x{97}": "RE2 program size of 101",
    "é{96}": "RE2 program size of 101",
    "^[A-Za-z0-9_-]{20,200}$": "RE2 program size of 982",
    "(a{1000}){1000}": "invalid repetition size",
    "(?P<é>a)": "invalid named capture group",
    r"\é": "invalid escape sequence",
    r"(x)\1": "invalid escape sequence",
    "(?=x)": "invalid perl operator",
    "a++": "bad repetition operator",
}
"""And Envoy's reason."""


def test_regular_expressions_up_to_the_limit(tmp_path: Path) -> None:
    mesh = services(map(with_pattern, TAKEN))

    assert [pattern for pattern in TAKEN if pattern_error(pattern)] == []
    assert refusal(static_bootstrap(Audience(), mesh), tmp_path) is None


@pytest.mark.parametrize(("pattern", "reason"), REFUSED.items())
def test_regular_expressions_that_envoy_refuses(
    pattern: str, reason: str, tmp_path: Path
) -> None:
    mesh = services([with_pattern(pattern)])

    assert pattern_error(pattern) is not None
    assert reason in (refusal(static_bootstrap(Audience(), mesh), tmp_path) or "")


@pytest.mark.parametrize(
    "case", sorted(TESTDATA.glob("*.in.yaml")), ids=lambda case: case.name.split(".")[0]
)
def test_every_golden_mesh(case: Path, tmp_path: Path) -> None:
    audience, mesh = load_mesh(case)

    assert refusal(static_bootstrap(audience, mesh), tmp_path) is None


@pytest.mark.parametrize(
    "file", sorted(POLICIES.glob("*.yaml")), ids=lambda file: file.stem
)
def test_every_example_as_it_is_written(file: Path, tmp_path: Path) -> None:
    """The lab takes parts out of its copies."""
    index = Index()
    index.apply(read_once([file]).events)
    mesh = list(index.services.values())

    assert mesh
    assert refusal(static_bootstrap(Audience(), mesh), tmp_path) is None


AUTO = Connection(protocol=SpokenProtocol.AUTO)
"""It takes encryption."""


def edges() -> list[Spec]:
    """Return all sections that the API takes in its tables of limits."""
    found = []
    for section, text in GOOD:
        if (section, "unknown" in text) == ("envoyPatch", True):
            continue  # the API does not know what Envoy does
        try:
            spec: Spec = {section: yaml.safe_load(text)}
            if sections(spec).connection == AUTO:
                spec = {**spec, "tls": {"mode": "Simple", "insecureSkipVerify": True}}
        except ValidationError:  # YAML 1.1 reads some texts otherwise than we do
            continue
        found.append(spec)
    return found


def test_the_edges_of_every_section(tmp_path: Path) -> None:
    """One Envoy judges all, at ports of all protocols that they fit."""
    specs = edges()
    mesh = [
        make_service(
            *(
                make_upstream(
                    *ENDPOINTS,
                    service=f"s{number}",
                    number=80 + position,
                    protocol=protocol,
                    spec=spec,
                )
                for position, protocol in enumerate(Protocol)
                if "healthCheck" not in spec or protocol is Protocol.HTTP2
            )
        )
        for number, spec in enumerate(specs)
    ]

    assert len(specs) > 150
    assert refusal(static_bootstrap(Audience(), mesh), tmp_path) is None


def test_the_judge_is_strict(tmp_path: Path) -> None:
    """A ring that is smaller than its minimum is refused: the tests above can fail."""
    spec = {"type": "RingHash", "hashOn": [{"header": {"name": "x"}}]}
    bootstrap = static_bootstrap(Audience(), services([load_balancer(spec)]))
    bootstrap.static_resources.clusters[1].load_balancing_policy.policies[
        0
    ].typed_extension_config.typed_config.value = b"\x12\x02\x08\x05\x1a\x02\x08\x01"

    assert "minimum_ring_size" in (refusal(bootstrap, tmp_path) or "")
