"""The command line: what is printed where, exit codes, and settings' precedence."""

import json
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from tests.mesh.documents import service
from xds_server import offline
from xds_server.cli import cli
from xds_server.mesh.audience import audience_of
from xds_server.mesh.event import Applied
from xds_server.settings import (
    AdviseSettings,
    BootstrapSettings,
    ExplainSettings,
    ImportGatewaySettings,
    ImportIstioSettings,
    RenderSettings,
    ServeSettings,
    StatusSettings,
    TrySettings,
)
from xds_server.sources.files import read_once

POLICIES = Path(__file__).parent.parent / "policies"
DEPLOY = Path(__file__).parent.parent / "deploy" / "kubernetes"
GOOD = """\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
---
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: shop, name: web}
spec:
  targetRefs: [{kind: Service, name: web}]
  loadBalancer: {type: Random}
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str | Path, environment: dict[str, str] | None = None) -> Done:
    """Run a command in this process: the imports are paid for once."""
    result = CliRunner().invoke(cli, [*map(str, arguments)], env=environment)
    return Done(returncode=result.exit_code, stdout=result.stdout, stderr=result.stderr)


def run_program(*arguments: str | Path) -> Done:
    """Run the program as a user does; it may start an event loop of its own."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "xds_server", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return Done(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return file


def test_check_is_silent_on_stdout_when_all_is_well(good: Path) -> None:
    done = run("check", good)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "0 errors in 0 files (1 file read)\n"


def test_check_prints_each_error_with_its_place_and_exits_1(good: Path) -> None:
    good.write_text(GOOD.replace("Random", "RoundRobbin"))
    done = run("check", good)

    assert done.returncode == 1
    assert f'{good}:18:24: spec.loadBalancer.type: unknown value "RoundRobbin"' in (
        done.stdout
    )
    assert "  hint: did you mean RoundRobin?" in done.stdout
    assert done.stderr == "1 error in 1 file (1 file read)\n"


def test_check_says_what_it_read_and_what_else_it_found() -> None:
    done = run("check", POLICIES)
    number = len([*POLICIES.glob("*.yaml")])

    assert done.returncode == 0
    assert done.stderr == f"0 errors in 0 files ({number} files read, 6 warnings)\n"


def test_check_says_when_there_was_nothing_to_read(tmp_path: Path) -> None:
    done = run("check", tmp_path)

    assert done.returncode == 0
    assert done.stderr == "0 errors in 0 files (nothing was read, 1 warning)\n"


def test_crd_prints_what_kubectl_applies() -> None:
    """Each part is written out: no anchors, which some readers do not know."""
    done = run("crd")
    definition = yaml.safe_load(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert definition["kind"] == "CustomResourceDefinition"
    assert definition["metadata"]["name"] == "trafficpolicies.traffic.xds-server.dev"
    assert not re.search(r"[:-] [&*]\w", done.stdout)
    assert done.stdout == (DEPLOY / "trafficpolicies.yaml").read_text()


def test_render_prints_what_envoy_would_be_sent(good: Path) -> None:
    done = run("render", good, "--type", "endpoint", "-o", "json")
    resources = json.loads(done.stdout)["resources"]

    assert done.returncode == 0
    assert [each["cluster_name"] for each in resources] == ["shop/web/80"]


def test_render_reports_what_it_cannot_print_and_prints_the_rest(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no decoder lets pass is an error like others, and exits with 1."""
    strange = Applied(document=service("my.svc", source="bad.yaml"))
    loaded = read_once([good])
    with_it = replace(loaded, events=(*loaded.events, strange))
    monkeypatch.setattr(offline, "read_once", lambda _: with_it)
    done = run("render", good, "--type", "cluster")

    assert done.returncode == 1
    assert "bad.yaml:1:1: cannot be sent to an Envoy: shop/my.svc/80" in done.stderr
    assert [each["name"] for each in yaml.safe_load(done.stdout)["resources"]] == [
        "shop/web/80"
    ]


def test_render_leaves_out_what_has_an_error_says_so_and_exits_1(good: Path) -> None:
    """Without the policy the Service is balanced in turn."""
    good.write_text(GOOD.replace("Random", "RoundRobbin"))
    done = run("render", good, "--type", "cluster")
    (cluster,) = yaml.safe_load(done.stdout)["resources"]

    assert done.returncode == 1
    assert 'unknown value "RoundRobbin"' in done.stderr
    assert done.stderr.endswith(
        "1 error in 1 file (1 file read): what has an error is left out\n"
    )
    assert "round_robin" in str(cluster["load_balancing_policy"])


@pytest.mark.parametrize(("role", "is_warned"), [("sidecar", True), ("gateway", False)])
def test_render_says_what_concerns_the_role(role: str, *, is_warned: bool) -> None:
    """Behind a sidecar all requests have one client; a gateway sees end users."""
    done = run("render", POLICIES / "ip-hash.yaml", "--role", role)

    assert done.returncode == 0
    assert ("behind a sidecar" in done.stderr) is is_warned


@pytest.mark.parametrize(
    ("node_id", "knows_the_short_name"), [("a.shop", True), ("a.other", False)]
)
def test_render_shows_what_one_node_would_be_sent(
    good: Path, node_id: str, *, knows_the_short_name: bool
) -> None:
    """A node called NAME.NAMESPACE finds the Services of its namespace by name."""
    done = run("render", good, "--type", "route", "--node-id", node_id)
    (routes,) = yaml.safe_load(done.stdout)["resources"]
    domains = {domain for host in routes["virtual_hosts"] for domain in host["domains"]}

    assert ("web" in domains) is knows_the_short_name


@pytest.mark.parametrize(
    ("flags", "namespace"),
    [
        (["--node-id", "me.shop"], "shop"),
        (["--node-id", "me"], "default"),
        (["--node-id", "me.shop", "--namespace", "other"], "other"),
    ],
)
def test_a_bootstrapped_node_is_of_the_namespace_that_render_shows(
    flags: list[str], namespace: str
) -> None:
    """A default written out would win over what the node's id says."""
    node = yaml.safe_load(run("bootstrap", *flags).stdout)["node"]
    audience, _ = audience_of(node["metadata"], node_id=node["id"])

    assert audience.namespace == namespace


def test_render_shows_what_a_grpc_client_would_be_sent(good: Path) -> None:
    done = run("render", good, "--client", "grpc", "--type", "listener")
    names = [each["name"] for each in yaml.safe_load(done.stdout)["resources"]]

    assert "web.shop:80" in names


@pytest.mark.parametrize("client", ["envoy", "grpc"])
def test_a_bootstrap_says_where_the_node_runs(client: str) -> None:
    flags = ["--node-id", "a", "--zone", "z", "--node-name", "n1"]
    done = run("bootstrap", "--client", client, *flags)
    printed = yaml.safe_load(done.stdout)

    assert printed["node"]["metadata"]["node_name"] == "n1"
    assert printed["node"]["locality"]["zone"] == "z"


NEAR = """\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec:
  ports: [{name: http, port: 80}]
  trafficDistribution: PreferSameZone
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: shop
  name: web-1
  labels: {kubernetes.io/service-name: web}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.0.0.1], nodeName: n1}
- {addresses: [10.0.0.2], zone: b}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: a}}
"""


@pytest.mark.parametrize(
    ("flags", "zones"),
    [
        ([], [["a", "b"]]),
        (["--zone", "b"], [["b"], ["a"]]),
        (["--node-name", "n1"], [["a"], ["b"]]),
    ],
)
def test_render_shows_what_is_near_to_a_place(
    tmp_path: Path, flags: list[str], zones: list[list[str]]
) -> None:
    """Nodes may be in files; a node that names one has its zone."""
    (tmp_path / "near.yaml").write_text(NEAR)
    done = run("render", tmp_path, "--type", "endpoint", "-o", "json", *flags)
    (assignment,) = json.loads(done.stdout)["resources"]
    found: list[list[str]] = [[] for _ in zones]
    for group in assignment["endpoints"]:
        found[group.get("priority", 0)].append(group["locality"]["zone"])

    assert (done.returncode, done.stderr) == (0, "")
    assert found == zones


def test_the_bootstrap_of_a_grpc_client_is_json() -> None:
    done = run(
        *("bootstrap", "--client", "grpc", "--node-id", "a", "--namespace", "shop"),
        *("--xds-address", "[::1]:18000", "--label", "app=web", "--zone", "z"),
    )

    assert json.loads(done.stdout) == {
        "xds_servers": [
            {
                "server_uri": "[::1]:18000",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {
            "id": "a",
            "cluster": "xds-server",
            "metadata": {"namespace": "shop", "labels": {"app": "web"}},
            "locality": {"region": "", "zone": "z"},
        },
    }


def test_what_is_unknown_is_not_in_the_bootstrap_of_a_grpc_client() -> None:
    done = run("bootstrap", "--client", "grpc", "--node-id", "a")

    assert json.loads(done.stdout)["node"] == {"id": "a", "cluster": "xds-server"}


def test_what_only_an_envoy_has_is_refused_for_a_grpc_client() -> None:
    """Accepting it would let its user believe that it has an effect."""
    flags = ("--client", "grpc", "--node-id", "a")
    done = run("bootstrap", *flags, "--mode", "sotw", "--listen-port", "1")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: listen_port, mode: only for --client envoy\n"


def test_a_flag_beats_the_environment_which_beats_the_default() -> None:
    environment = {"XDS_SERVER_BOOTSTRAP_ZONE": "from-environment"}

    def zone(*flags: str) -> object:
        done = run("bootstrap", "--node-id", "a", *flags, environment=environment)
        return yaml.safe_load(done.stdout)["node"]["locality"]["zone"]

    assert zone() == "from-environment"
    assert zone("--zone", "from-flag") == "from-flag"


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("serve", ServeSettings),
        ("render", RenderSettings),
        ("bootstrap", BootstrapSettings),
        ("explain", ExplainSettings),
        ("import istio", ImportIstioSettings),
        ("import envoy-gateway", ImportGatewaySettings),
        ("try", TrySettings),
        ("advise", AdviseSettings),
        ("status", StatusSettings),
    ],
)
def test_help_names_the_variable_and_the_default_of_every_flag(
    command: str, settings: type[BaseSettings]
) -> None:
    """A variable is its prefix and the flag: XDS_SERVER_, or with the command."""
    done = run(*command.split(), "--help")
    text = " ".join(done.stdout.split())
    prefix = "XDS_SERVER_" if command in {"serve", "status"} else ""
    prefix = prefix or f"XDS_SERVER_{command.partition(' ')[0].upper()}_"

    for field in settings.model_fields:
        assert f"--{field.replace('_', '-')} " in text
        assert f"env: {prefix}{field.upper()}]" in text
    for default in ("5s", "127.0.0.1:18000", "console") if command == "serve" else ():
        assert f"[default: {default}; env: " in text


RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
"""
ROUTED = """\
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: web}
spec:
  targetRefs: [{kind: HTTPRoute, name: web}]
  loadBalancer: {type: Random}
"""


def test_what_is_imported_is_a_policy_that_check_accepts(
    good: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "rule.txt"
    foreign.write_text(RULE)
    done = run("import", "istio", "-n", "shop", foreign)
    good.write_text(f"{GOOD.rpartition('---')[0]}---\n{done.stdout}")

    assert done.returncode == 0
    assert done.stderr.startswith("1 policy of 1 object\n  hint: what Istio does ")
    assert done.stdout.startswith(f"# DestinationRule shop/web, {foreign}:1:1\n")
    assert run("check", good).stderr == "0 errors in 0 files (1 file read)\n"


def test_what_is_not_carried_over_is_told_and_exits_1(tmp_path: Path) -> None:
    foreign = tmp_path / "rule.yaml"
    foreign.write_text(f"{RULE}  subsets: [{{name: v1}}]\n")
    done = run("import", "istio", foreign)

    assert done.returncode == 1
    assert "type: Random" in done.stdout
    assert done.stderr.startswith(
        f"{foreign}:7:12: DestinationRule default/web: spec.subsets: not carried over: "
    )


def test_what_cannot_be_read_exits_1(tmp_path: Path) -> None:
    done = run("import", "istio", tmp_path / "none.yaml")

    assert (done.returncode, done.stdout) == (1, "")
    assert "no such file or directory" in done.stderr


def test_import_reads_standard_input() -> None:
    result = CliRunner().invoke(cli, ["import", "istio", "-"], input=RULE)

    assert result.exit_code == 0
    assert result.stdout.startswith("# DestinationRule default/web, -:1:1\n")


def test_a_policy_whose_routes_are_not_there_is_for_services_that_are_named(
    tmp_path: Path,
) -> None:
    foreign = tmp_path / "policy.yaml"
    foreign.write_text(ROUTED)
    done = run("import", "envoy-gateway", foreign, "--service", "shop/web")

    assert (run("import", "envoy-gateway", foreign).returncode, done.returncode) == (
        1,
        0,
    )
    assert yaml.safe_load(done.stdout)["metadata"]["namespace"] == "shop"


BROAD = """\
apiVersion: traffic.xds-server.dev/v1alpha1
kind: TrafficPolicy
metadata: {namespace: xds-system, name: mesh}
spec:
  targetRefs: [{kind: Namespace, name: xds-system}]
  clientSelector: {matchLabels: {tier: batch}}
  healthCheck: {type: TCP}
"""


@pytest.fixture
def two(good: Path) -> Path:
    """Return a folder of a Service with its policy, and one for the mesh's batch jobs.

    The second has an unusual namespace for that, where that is the root.
    """
    (good.parent / "mesh.yaml").write_text(BROAD)
    return good.parent


@pytest.mark.parametrize(
    ("flags", "is_checked"),
    [
        (("--label", "tier=batch", "--label", "app=x"), True),
        (("--label", "tier=web"), False),
        ((), False),
        (("--label", "tier=batch", "--root-namespace", "mesh-system"), False),
    ],
)
def test_render_shows_what_is_for_a_client_with_labels(
    two: Path, flags: tuple[str, ...], *, is_checked: bool
) -> None:
    done = run("render", two, "--type", "cluster", "-o", "json", *flags)

    assert done.returncode == 0
    (cluster,) = json.loads(done.stdout)["resources"]
    assert ("health_checks" in cluster) == is_checked


def test_every_command_that_reads_policies_knows_the_root_namespace(two: Path) -> None:
    """One variable for all: they must not differ in what they take for the root."""
    environment = {"XDS_SERVER_ROOT_NAMESPACE": "mesh-system"}
    flags = ("--label", "tier=batch", "--type", "cluster", "-o", "json")
    done = run("render", two, *flags, environment=environment)

    assert "health_checks" not in done.stdout
    for command in ("serve", "check", "render", "explain", "try", "advise"):
        text = " ".join(run(command, "--help").stdout.split())
        assert "[default: xds-system; env: XDS_SERVER_ROOT_NAMESPACE]" in text
    wrong = run("check", two, "--root-namespace", "No")
    assert wrong.returncode == 2
    assert "--root-namespace: must be a DNS label" in wrong.stderr


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--rate", "7"), 2, "--admin-address says what --rate would"),
        ((), 3, "no answer from 127.0.0.1:1: connection refused"),
    ],
)
def test_advice_is_by_flags_or_by_reports(
    two: Path, flags: tuple[str, ...], code: int, said: str
) -> None:
    done = run("advise", two, "--admin-address", "127.0.0.1:1", *flags)

    assert done.returncode == code
    assert said in done.stderr


def test_explain_names_the_policy_and_the_line_of_every_field(two: Path) -> None:
    flags = ("--label", "tier=batch", "-o", "json")
    done = run("explain", "web", "--node-id", "me.shop", *flags, two)
    found = json.loads(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert (found["service"], found["labels"]) == ("shop/web", {"tier": "batch"})
    (port,) = found["ports"]
    assert (port["number"], port["name"], port["notInForce"]) == (80, "http", [])
    fields = {each["field"]: each for each in port["fields"]}
    assert fields["loadBalancer.type"] == {
        "field": "loadBalancer.type",
        "value": "Random",
        "origin": "TrafficPolicy shop/web",
        "place": f"{two / 'good.yaml'}:18:24",
    }
    assert fields["healthCheck.type"]["place"] == f"{two / 'mesh.yaml'}:7:23"
    assert fields["healthCheck.interval"]["origin"] == "default"


def test_explain_and_render_know_a_client_by_its_namespace(good: Path) -> None:
    selector = "{namespaces: [jobs, ops], matchLabels: {tier: batch}}"
    text = good.read_text().replace(
        "spec:\n  targetRefs", f"spec:\n  clientSelector: {selector}\n  targetRefs"
    )
    good.write_text(text)
    one, other = (f"of namespace {each} with tier=batch" for each in ("jobs", "ops"))
    meant = f"for clients {one} or {other}"
    for node_id, is_meant in (("a.ops", True), ("a.shop", False), ("a", False)):
        flags = ("--node-id", node_id, "--label", "tier=batch", "-o", "json", good)
        explained = json.loads(run("explain", "shop/web", *flags).stdout)
        rendered = run("render", "--type", "cluster", *flags)
        others = [each["reason"] for each in explained["ports"][0]["notInForce"]]

        assert ("policies.random" in rendered.stdout) is is_meant
        assert others == ([] if is_meant else [meant])


def test_explain_shows_people_a_table(two: Path) -> None:
    """Nothing is cut where the terminal is narrow."""
    narrow, wide = [
        run("explain", "shop/web:http", two, environment={"COLUMNS": columns})
        for columns in ("60", "250")
    ]

    assert narrow.returncode == wide.returncode == 0
    assert "shop/web:80 (http): in force" in wide.stdout
    assert f"TrafficPolicy shop/web   {two / 'good.yaml'}:18:24" in wide.stdout
    assert "ForOtherClients: for clients with tier=batch" in wide.stdout
    letters = [Counter(each.stdout.replace(" ", "")) for each in (narrow, wide)]
    assert all(letters[0][each] == letters[1][each] for each in "abcxyz:/.")


def test_explain_exits_with_1_where_something_is_wrong(two: Path) -> None:
    text = (two / "mesh.yaml").read_text().replace("name: mesh", "name: second")
    (two / "second.yaml").write_text(text)
    done = run("explain", "shop/web", "--label", "tier=batch", "-o", "json", two)

    assert done.returncode == 1
    assert done.stderr.startswith("1 error in 1 file")
    (port,) = json.loads(done.stdout)["ports"]
    (loser,) = port["notInForce"]
    assert loser["fate"] == "Conflicted"
    assert loser["reason"] == "by TrafficPolicy xds-system/mesh, for the mesh"


@pytest.mark.parametrize(
    ("service", "complaint"),
    [
        ("web", "there is no Service default/web\n  hint: there are: shop/web"),
        ("shop/api", "there is no Service shop/api\n  hint: there are: shop/web"),
        ("shop/web:81", "Service shop/web has no TCP port 81\n  hint: there are: 80"),
    ],
)
def test_explain_says_which_services_and_ports_there_are(
    two: Path, service: str, complaint: str
) -> None:
    done = run("explain", service, two)

    assert done.returncode == 2
    assert done.stderr == f"error: {complaint}\n"


@pytest.mark.parametrize(
    ("flags", "is_hinted"),
    [
        (["--role", "gateway"], True),
        (["--role", "gateway", "--listen-address", "127.0.0.1"], False),
        (["--role", "sidecar"], False),
    ],
)
def test_a_gateway_that_only_loopback_reaches_is_hinted_at(
    flags: list[str], *, is_hinted: bool
) -> None:
    """Nothing listens for other machines unless it is told to."""
    done = run("bootstrap", "--node-id", "a", *flags)
    node = yaml.safe_load(done.stdout)["node"]

    assert node["metadata"]["listen_address"] == "127.0.0.1"
    assert done.stderr == is_hinted * (
        "hint: this gateway listens on 127.0.0.1 only; for other machines, say where: "
        "--listen-address 0.0.0.0\n"
    )


def test_several_labels_fit_into_one_variable() -> None:
    environment = {"XDS_SERVER_BOOTSTRAP_LABEL": "app=web,tier=front"}
    done = run("bootstrap", "--node-id", "a", environment=environment)
    labels = yaml.safe_load(done.stdout)["node"]["metadata"]["labels"]

    assert labels == {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (
            ["bootstrap"],
            {},
            "error: --node-id (XDS_SERVER_BOOTSTRAP_NODE_ID): Field required\n",
        ),
        (
            ["bootstrap", "--node-id", "a", "--namespace", "Shop"],
            {},
            (
                "error: --namespace: must be a DNS label: lower-case letters, digits"
                ' and -, at most 63 (got "Shop")\n'
            ),
        ),
        (
            ["bootstrap", "--node-id", "a", "--listen-address", "localhost"],
            {},
            (
                "error: --listen-address: must be an IP address, such as 127.0.0.1"
                " (got 'localhost')\n"
            ),
        ),
        (
            ["bootstrap", "--node-id", "a", "--admin-address", "localhost:9901"],
            {},
            (
                "error: --admin-address: must be an IP address, such as 127.0.0.1"
                " (got 'localhost')\n"
            ),
        ),
        (
            ["serve", ".", "--stop-timeout", "5"],
            {},
            (
                "error: --stop-timeout: must be a duration such as 500ms, 10s or 1m30s"
                ' (got "5")\n'
            ),
        ),
        (
            ["bootstrap", "--node-id", "a", "--label", "x"],
            {},
            "error: --label: must be KEY=VALUE (got 'x')\n",
        ),
        (
            ["serve", ".", "--xds-address", "18000"],
            {},
            (
                "error: --xds-address: must be host:port, with a port of 0..65535"
                " (got '18000')\n"
            ),
        ),
        (
            ["status"],
            {"XDS_SERVER_ADMIN_ADDRESS": "::1:5"},
            (
                "error: --admin-address (XDS_SERVER_ADMIN_ADDRESS): must be host:port,"
                " an IPv6 host in brackets (got '::1:5')\n"
            ),
        ),
    ],
)
def test_wrong_usage_is_told_by_flag_and_variable(
    arguments: list[str], environment: dict[str, str], message: str
) -> None:
    done = run(*arguments, environment=environment)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_status_without_a_server_says_so_and_exits_3() -> None:
    done = run_program("status", "--admin-address", "127.0.0.1:9")

    assert done.returncode == 3
    assert done.stderr == (
        "error: no answer from 127.0.0.1:9: connection refused\n"
        "  hint: --admin-address says where the server's is\n"
    )


@contextmanager
def answering(body: str, code: int = 200) -> Iterator[str]:
    """Answer every request with *body*; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Keep stderr for the program."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.thorough
@pytest.mark.parametrize(("body", "code"), [("not found", 404), ("<html>", 200)])
def test_status_of_another_server_says_so_and_exits_3(body: str, code: int) -> None:
    with answering(body, code) as address:
        done = run_program("status", "--admin-address", address)

    assert (done.returncode, done.stdout) == (3, "")
    assert "is not the admin endpoint of an xds-server" in done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize(("accepted", "code"), [("True", 0), ("False", 1)])
def test_status_exits_1_where_a_policy_is_not_accepted(
    output: str, accepted: str, code: int
) -> None:
    condition = {"type": "Accepted", "status": accepted, "reason": "x", "message": ""}
    policy = {
        "namespace": "shop",
        "name": "web",
        "targets": [{"target": None, "conditions": [condition]}],
    }
    mesh = {"nodes": [], "policies": [policy], "problems": []}
    answer = json.dumps({"server": {"ready": True}, **mesh})
    with answering(answer) as address:
        done = run_program("status", "--admin-address", address, "-o", output)

    assert (done.returncode, done.stderr) == (code, "")
    assert "Accepted" in done.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--plot", "shares.gif"], "shares.gif: a picture ends in .png or .svg"),
        (["--service", "shop/cat"], "there is no Service shop/cat"),
    ],
)
@pytest.mark.envoy
def test_try_refuses_what_cannot_be_asked_for(
    good: Path, flags: list[str], message: str
) -> None:
    done = run_program("try", good, *flags)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}\n")


@pytest.mark.envoy
def test_try_says_where_all_policies_are_for_other_clients(good: Path) -> None:
    """It measures as one client: without labels unless told otherwise."""
    text = good.read_text().replace(
        "spec:\n  targetRefs",
        "spec:\n  clientSelector: {matchLabels: {a: b}}\n  targetRefs",
    )
    good.write_text(text)
    done = run_program("try", good)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "error: all policies are for other clients\n"
        "  hint: --label KEY=VALUE and --namespace NAME measure as such a client\n"
    )


def test_ctrl_c_while_importing_is_no_traceback() -> None:
    """The import of the command line is interrupted, as a Ctrl-C would."""
    code = """
import runpy, sys

class Interruption:
    def find_spec(self, name, path, target=None):
        if name == "xds_server.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interruption())
runpy.run_module("xds_server", run_name="__main__")
"""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("flag", "other"),
    [("--xds-address", "--admin-address"), ("--admin-address", "--xds-address")],
)
def test_serve_on_a_taken_address_says_so_and_exits_3(
    good: Path, flag: str, other: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_program("serve", good, flag, address, other, "127.0.0.1:0")

    assert done.returncode == 3
    assert done.stderr.endswith(
        f"error: cannot listen on {address}: Address already in use\n"
        f"  hint: {flag} takes another\n"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_knows_the_commands(shell: str) -> None:
    done = run_program("--show-completion", shell)

    assert done.returncode == 0
    assert "XDS_SERVER_COMPLETE" in done.stdout


def test_the_version_needs_no_command() -> None:
    done = run_program("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"xds-server {version('xds-server')}\n"
