"""The command line: what is printed where, exit codes, and settings' precedence."""

import json
import re
import socket
import subprocess
import sys
import threading
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
    BootstrapSettings,
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

    assert done.returncode == 0
    assert done.stderr == "0 errors in 0 files (21 files read, 4 warnings)\n"


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
        ("try", TrySettings),
        ("status", StatusSettings),
    ],
)
def test_help_names_the_variable_and_the_default_of_every_flag(
    command: str, settings: type[BaseSettings]
) -> None:
    """A variable is its prefix and the flag: XDS_SERVER_, or with the command."""
    done = run(command, "--help")
    text = " ".join(done.stdout.split())
    prefix = "XDS_SERVER_" if command in {"serve", "status"} else ""
    prefix = prefix or f"XDS_SERVER_{command.upper()}_"

    for field in settings.model_fields:
        assert f"--{field.replace('_', '-')} " in text
        assert f"env: {prefix}{field.upper()}]" in text
    for default in ("5s", "127.0.0.1:18000", "console") if command == "serve" else ():
        assert f"[default: {default}; env: " in text


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


@pytest.mark.parametrize(("body", "code"), [("not found", 404), ("<html>", 200)])
def test_status_of_another_server_says_so_and_exits_3(body: str, code: int) -> None:
    with answering(body, code) as address:
        done = run_program("status", "--admin-address", address)

    assert (done.returncode, done.stdout) == (3, "")
    assert "is not the admin endpoint of an xds-server" in done.stderr


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
