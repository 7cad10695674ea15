"""Write the Grafana dashboard, typed: `python -m tools.grafana.dashboard`.

Nothing in; deploy/grafana/dashboards/xds-server.json out. It is authored here, with
Grafana's own types (grafana-foundation-sdk), because its JSON is ten times as long and
nobody would see a misspelt field in it. A test holds the file equal to this.
"""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import (
    dashboard as builder,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from tools.grafana.panel import (
    BLUE,
    GREEN,
    MESH,
    ORANGE,
    RED,
    SERVER,
    SOURCE,
    cells,
    colored,
    lines,
    number,
    quantile,
    rate,
    steps,
)
from tools.grafana.variable import variables

FILE: Final = (
    Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "xds-server.json"
)


def replicas() -> table.Panel:
    """Return a table with a row for each replica of xds-server."""
    columns = {
        "Ready": f"xds_server_ready{{{SERVER}}}",
        "Leads": f"xds_server_leader{{{SERVER}}}",
        "Nodes": f"xds_server_connected_nodes{{{SERVER}}}",
        "Streams": f"sum by (instance) (xds_server_connected_clients{{{SERVER}}})",
        "Up for": f"time() - process_start_time_seconds{{{SERVER}}}",
    }
    refs = dict(zip("ABCDEF", columns, strict=False))
    panel = (
        table.Panel()
        .title("Replicas")
        .description(
            "What each replica says of itself. One of several leads: it writes the "
            "statuses of policies and computes weights. The column is not there "
            "without a Kubernetes API."
        )
        .datasource(SOURCE)
        .with_transformation(dashboard.DataTransformerConfig("merge", options={}))
        .with_transformation(
            dashboard.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": dict.fromkeys(("Time", "__name__", "job"), True),
                    "renameByName": {
                        "instance": "Replica",
                        **{f"Value #{ref}": name for ref, name in refs.items()},
                    },
                },
            )
        )
        .override_by_name("Up for", [dashboard.DynamicConfigValue("unit", "s")])
        .span(8)
        .height(8)
    )
    for ref, name in refs.items():
        # The Service's or Pod's own labels would be columns, too.
        panel = panel.with_target(cells(f"max by (instance) ({columns[name]})", ref))
    return panel


def overview() -> list[stat.Panel]:
    """Return what to look at first."""
    convergence = (
        "histogram_quantile(0.99, sum by (le) "
        f"(increase(xds_server_convergence_seconds_bucket{{{SERVER}}}[$__range])))"
    )
    return [
        number(
            "Replicas ready",
            "Replicas whose sources have all listed. Others serve nothing yet.",
            f"sum(xds_server_ready{{{SERVER}}})",
            steps((1, GREEN), base=RED),
            none="none answers",
        ),
        number(
            "Nodes",
            "Envoys and gRPC clients with an open stream, by their node ids.",
            f"sum(xds_server_connected_nodes{{{SERVER}}})",
            steps((1, BLUE), base=ORANGE),
        ),
        number(
            "Resources rejected",
            "What clients refuse now. `xds-server status` says why.",
            f"sum(xds_server_rejected_resources{{{SERVER}}}) or vector(0)",
            steps((1, RED)),
        ),
        number(
            "Errors",
            "Documents that are wrong; the last good version of each is in force.",
            f'max(xds_server_problems{{{SERVER},severity="error"}})',
            steps((1, RED)),
        ),
        number(
            "Warnings",
            "What is taken, and may not be what was meant.",
            f'max(xds_server_problems{{{SERVER},severity="warning"}})',
            steps((1, ORANGE)),
        ),
        number(
            "Convergence, 99 %",
            "Within this time, 99 % of the changes in the dashboard's time were "
            "answered by all clients that they concern.",
            convergence,
            steps((1, ORANGE), (5, RED)),
            unit="s",
            none="no change",
        ),
    ]


def changes() -> list[timeseries.Panel]:
    """Return how a change comes to its clients."""
    convergence = "xds_server_convergence_seconds"
    return [
        lines(
            "From a change to its last answer",
            "From publishing to the last answer of the clients that it concerns. A gap "
            "is a time without changes. Above 15 s the histogram says 15 s.",
            [(quantile(q, convergence, SERVER), f"{q:.0%}") for q in (0.5, 0.9, 0.99)],
            unit="s",
        ),
        lines(
            "Where that time goes, 99 %",
            "Queue: until the response is made, which waits for the answer to the one "
            "before. Send: until the network took it. Answer: the client's own time.",
            [
                (quantile(0.99, f"xds_server_{name}_seconds", SERVER), name)
                for name in ("queue", "send", "answer")
            ],
            unit="s",
        ),
        lines(
            "Answer time by type, 99 %",
            "From a response to its acknowledgement: what Envoy takes to apply it.",
            [(quantile(0.99, "xds_server_answer_seconds", SERVER, "type"), "{{type}}")],
            unit="s",
        ),
        lines(
            "Changes published",
            "Batches that changed a resource; what comes at once is one batch.",
            [
                (
                    rate("xds_server_publications_total", SERVER, "instance"),
                    "{{instance}}",
                )
            ],
            unit="ops",
        ),
        lines(
            "Responses",
            "Pushes by resource type. One change is a response for each client that it "
            "concerns.",
            [(rate("xds_server_responses_total", SERVER, "type"), "{{type}}")],
            unit="ops",
            stacked=True,
        ),
        lines(
            "Bytes sent",
            "The bytes of these responses by resource type, before HTTP/2.",
            [(rate("xds_server_response_bytes_total", SERVER, "type"), "{{type}}")],
            unit="Bps",
            stacked=True,
        ),
    ]


def state() -> list[timeseries.Panel | table.Panel]:
    """Return what is served, to whom, and what is wrong with it."""
    return [
        replicas(),
        lines(
            "Streams",
            "Open streams by variant of the protocol, at all replicas.",
            [(f"sum by (mode) (xds_server_connected_clients{{{SERVER}}})", "{{mode}}")],
            unit="none",
            stacked=True,
        ),
        lines(
            "Resources served",
            "What there is to serve, by type, as the largest replica has it. Listeners "
            "and routes are made for those who ask.",
            [(f"max by (type) (xds_server_resources{{{SERVER}}})", "{{type}}")],
            unit="none",
        ),
        lines(
            "Rejected, by node and type",
            "Resources that a node refuses. It keeps what it accepted before.",
            [
                (
                    f"sum by (node, type) (xds_server_rejected_resources{{{SERVER}}})",
                    "{{node}} {{type}}",
                )
            ],
            unit="none",
            none="nothing is rejected",
        ),
        lines(
            "Problems",
            "What is wrong with documents, or with what they come from, by severity.",
            [(f"max by (severity) (xds_server_problems{{{SERVER}}})", "{{severity}}")],
            unit="none",
        ),
        lines(
            "Processor and memory",
            "Left: cores in use by each replica (one, and helper "
            "threads of gRPC). Right: memory that is resident.",
            [
                (rate("process_cpu_seconds_total", SERVER, "instance"), "{{instance}}"),
                (f"process_resident_memory_bytes{{{SERVER}}}", "{{instance}} memory"),
            ],
            unit="none",
        ).override_by_query(
            "B",
            [
                dashboard.DynamicConfigValue("unit", "bytes"),
                dashboard.DynamicConfigValue("custom.axisPlacement", "right"),
            ],
        ),
    ]


def weights() -> list[timeseries.Panel]:
    """Return what the control loop knows of endpoints, and who tells it."""

    def mean(metric: str) -> str:
        return f"avg by (service, endpoint) (xds_server_endpoint_{metric}{{{SERVER}}})"

    endpoint, nothing = "{{service}} {{endpoint}}", "no weights are computed"
    return [
        lines(
            "Computed shares",
            "The part of its Service's traffic that the weight of each endpoint asks "
            "for, where the policy is PerformanceBased.",
            [(mean("share"), endpoint)],
            unit="percentunit",
            none=nothing,
        ),
        lines(
            "Load of endpoints",
            "Mean requests in progress for each unit of base weight, or the level of a "
            "metric: what the loop makes equal.",
            [(mean("load"), endpoint)],
            unit="none",
            none=nothing,
        ),
        lines(
            "What errors leave",
            "The part of its weight that the errors of an endpoint leave it.",
            [(mean("error_factor"), endpoint)],
            unit="percentunit",
            none=nothing,
        ),
        lines(
            "New weights",
            "How often a Service got other weights, a second.",
            [
                (
                    rate("xds_server_weight_pushes_total", SERVER, "service"),
                    "{{service}}",
                )
            ],
            unit="ops",
            none=nothing,
        ),
        lines(
            "Clients that report",
            "Envoys whose load reports tell of a Service.",
            [
                (
                    f"sum by (service) (xds_server_load_reporters{{{SERVER}}})",
                    "{{service}}",
                )
            ],
            unit="none",
            none=nothing,
        ),
        lines(
            "Load reports",
            "Reports a second, one an Envoy and cluster, and parts that did not count.",
            [
                (rate("xds_server_load_reports_total", SERVER, "job"), "reports"),
                (
                    rate("xds_server_load_reports_dropped_total", SERVER, "reason"),
                    "{{reason}}",
                ),
            ],
            unit="ops",
        ),
    ]


def traffic() -> list[timeseries.Panel]:
    """Return what Envoys say of the requests that they spread."""
    time, cluster = "envoy_cluster_upstream_rq_time", "{{envoy_cluster_name}}"
    updated = (
        "envoy_cluster",
        "envoy_cluster_manager_cds",
        "envoy_listener_manager_lds",
    )

    def least(metric: str) -> str:
        return f"min by (envoy_cluster_name) ({metric}{{{MESH}}})"

    def updates(outcome: str, metric: str) -> str:
        selector = f"{{{MESH}}}" if metric == "envoy_cluster" else ""
        return f"sum(rate({metric}_update_{outcome}{selector}[$__rate_interval]))"

    return [
        lines(
            "Requests by cluster",
            "Requests a second that Envoys send to each Service's port, "
            "`namespace/service/port`.",
            [
                (
                    rate("envoy_cluster_upstream_rq_total", MESH, "envoy_cluster_name"),
                    "{{envoy_cluster_name}}",
                )
            ],
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Answers by class",
            "Answers of the endpoints, and those that Envoy gives for them, by class.",
            [
                (
                    rate(
                        "envoy_cluster_upstream_rq_xx",
                        MESH,
                        "envoy_response_code_class",
                    ),
                    "{{envoy_response_code_class}}xx",
                )
            ],
            unit="reqps",
            stacked=True,
        )
        .override_by_name("2xx", colored(GREEN))
        .override_by_name("4xx", colored(ORANGE))
        .override_by_name("5xx", colored(RED)),
        lines(
            "Time of requests",
            "From the request to the end of the answer, as Envoy sees it.",
            [(quantile(q, time, MESH), f"{q:.0%}") for q in (0.5, 0.9, 0.99)],
            unit="ms",
        ),
        lines(
            "Requests by Envoy",
            "Which Envoys send them.",
            [
                (
                    rate("envoy_cluster_upstream_rq_total", MESH, "instance"),
                    "{{instance}}",
                )
            ],
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Endpoints",
            "Endpoints that Envoys know of, and those that no health check speaks "
            "against. The smallest number of all Envoys.",
            [
                (least(f"envoy_cluster_membership_{name}"), f"{cluster} {name}")
                for name in ("healthy", "total")
            ],
            unit="none",
        ),
        lines(
            "Configuration taken",
            "Updates of endpoints, clusters and listeners that Envoys took, and of all "
            "three those that they refused.",
            [
                (updates("success", "envoy_cluster"), "endpoints"),
                (updates("success", "envoy_cluster_manager_cds"), "clusters"),
                (updates("success", "envoy_listener_manager_lds"), "listeners"),
                (
                    " + ".join(updates("rejected", each) for each in updated),
                    "refused",
                ),
            ],
            unit="ops",
        ),
    ]


def build() -> dashboard.Dashboard:
    """Return the whole dashboard."""
    whole = (
        builder.Dashboard("xds-server")
        .uid("xds-server")
        .description("The control plane, and the traffic that Envoys spread for it.")
        .tags(["envoy", "xds"])
        .timezone("browser")
        .time("now-15m", "now")
        .refresh("10s")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    )
    for variable in variables():
        whole = whole.with_variable(variable)
    for title, panels in (
        ("At a glance", overview()),
        ("From a change to its clients", changes()),
        ("What is served, and to whom", state()),
        ("Computed weights", weights()),
        ("Traffic, as Envoys count it", traffic()),
    ):
        whole = whole.with_row(builder.Row(title))
        for panel in panels:
            whole = whole.with_panel(panel)
    built = whole.build()
    for position, each in enumerate(built.panels or [], start=1):
        each.id_val = position
    return built


def text() -> str:
    """Return the dashboard as Grafana reads it."""
    return json.dumps(build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
    print(f"wrote {FILE}")
