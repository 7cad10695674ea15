"""What can be chosen above the panels of the dashboard.

Nothing in; builders of variables out. `panel.SERVER` and `panel.MESH` use them.
"""

from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.models import dashboard

from tools.grafana.panel import SOURCE


def variables() -> list[builder.QueryVariable | builder.DatasourceVariable]:
    """Return what can be chosen above the panels."""
    every = dashboard.VariableOption(selected=True, text="All", value="$__all")

    def choice(name: str, label: str, text: str) -> builder.QueryVariable:
        return (
            builder.QueryVariable(name)
            .label(label)
            .datasource(SOURCE)
            .query({"query": text, "refId": name})
            .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
            .multi(multi=True)
            .include_all(include_all=True)
            .current(every)
        )

    return [
        builder.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus"),
        choice("job", "Job", "label_values(xds_server_ready, job)").all_value(".+"),
        choice(
            "instance",
            "Replica",
            'label_values(xds_server_ready{job=~"$job"}, instance)',
        ).all_value(".+"),
        choice(
            "cluster",
            "Cluster",
            "label_values(envoy_cluster_membership_total, envoy_cluster_name)",
        )
        .regex("/.+\\/.+\\/.+/")
        .all_value(".+/.+/.+"),
    ]
