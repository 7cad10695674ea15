"""Panels and queries as all of the dashboard has them.

What is to be seen in; builders of Grafana's own types out.
"""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import (
    common as common_builder,
    dashboard as builder,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

SERVER: Final = 'job=~"$job",instance=~"$instance"'
"""Selects the replicas of xds-server that are chosen."""
MESH: Final = 'envoy_cluster_name=~"$cluster"'
"""Selects the clusters of Envoys that are chosen; their own have no slashes."""
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"


def quantile(q: float, metric: str, selector: str, by: str = "") -> str:
    """Return the quantile *q* of a histogram, in its own unit."""
    labels = f"le, {by}" if by else "le"
    rate = f"rate({metric}_bucket{{{selector}}}[$__rate_interval])"
    return f"histogram_quantile({q}, sum by ({labels}) ({rate}))"


def rate(metric: str, selector: str, by: str) -> str:
    """Return how much a counter grows in a second, by some labels."""
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def query(expression: str, legend: str, ref: str = "A") -> prometheus.Dataquery:
    """Return a query of a range, whose lines are called *legend*."""
    return (
        prometheus.Dataquery()
        .expr(expression)
        .legend_format(legend)
        .ref_id(ref)
        .datasource(SOURCE)
        .range()
    )


def cells(expression: str, ref: str) -> prometheus.Dataquery:
    """Return a query of how it is now, as a table."""
    return (
        prometheus.Dataquery()
        .expr(expression)
        .ref_id(ref)
        .datasource(SOURCE)
        .instant()
        .format(PromQueryFormat.TABLE)
    )


def steps(*levels: tuple[float, str], base: str = GREEN) -> builder.ThresholdsConfig:
    """Return colours from some values on; *base* is that below."""
    first = dashboard.Threshold(value=None, color=base)
    others = [dashboard.Threshold(value=value, color=color) for value, color in levels]
    mode = dashboard.ThresholdsMode.ABSOLUTE
    return builder.ThresholdsConfig().mode(mode).steps([first, *others])


def number(
    title: str,
    description: str,
    expression: str,
    thresholds: builder.ThresholdsConfig,
    *,
    unit: str = "none",
    none: str = "-",
) -> stat.Panel:
    """Return a panel of one number, as it is now."""
    last = (
        common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)
    )
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(query(expression, title))
        .reduce_options(last)
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .thresholds(thresholds)
        .unit(unit)
        .no_value(none)
        .span(4)
        .height(4)
    )


def lines(
    title: str,
    description: str,
    queries: Sequence[tuple[str, str]],
    *,
    unit: str,
    width: int = 8,
    stacked: bool = False,
    none: str = "nothing in this time",
) -> timeseries.Panel:
    """Return a panel of lines over time: expressions and what they are called."""
    legend = (
        common_builder.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    tooltip = common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    mode = common.StackingMode.NORMAL if stacked else common.StackingMode.NONE
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .legend(legend)
        .tooltip(tooltip.sort(common.SortOrder.DESCENDING))
        .stacking(common_builder.StackingConfig().mode(mode))
        .fill_opacity(20 if stacked else 8)
        .line_width(1)
        .show_points(common.VisibilityMode.AUTO)
        .min(0)
        .unit(unit)
        .no_value(none)
        .span(width)
        .height(8)
    )
    for ref, (expression, name) in zip("ABCDEF", queries, strict=False):
        panel = panel.with_target(query(expression, name, ref))
    return panel


def colored(color: str) -> list[dashboard.DynamicConfigValue]:
    """Return what gives a line always the same colour."""
    value = {"mode": "fixed", "fixedColor": color}
    return [dashboard.DynamicConfigValue("color", value)]
