"""Queries of the dashboard, and the kinds of panels that show them.

A pod lives for one disk, so what ended is counted over the time shown, by the highest value of each pod's series: the
pod may be gone, and scrapes may be missing.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.bargauge import Panel as Bars
from grafana_foundation_sdk.builders.common import ReduceDataOptions
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Series
from grafana_foundation_sdk.models.common import BigValueGraphMode, VizOrientation
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

POPULATOR, LEASE = "vsphere_xcopy_volume_populator_", "xcopy_populator_host_lease_"
HERE = DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = {
    "namespace": "Namespace",
    "pvc": "PVC",
    "vm": "VM",
    "disk": "Disk",
    "pod": "Pod",
    "host": "Host",
    "storage_array": "Array",
}
"""labels as a table has them, in its order"""
POD = "namespace, pod, owner_uid"
"""what tells runs apart"""
NAMESPACES = 'namespace=~"$namespace"'
SUCCEEDED = 'reason="Succeeded"'
FAILED = 'reason!~"Succeeded|Cancelled"'


def of(metric: str, *matchers: str) -> str:
    """Return the selector of one metric, in the namespaces that are chosen."""
    return f"{metric}{{{','.join((NAMESPACES, *matchers))}}}"


def once(metric: str, *matchers: str, by: str = "") -> str:
    """Return the highest value of each run in the time shown, and with it the labels `by`."""
    labels = ", ".join(filter(None, (POD, by)))
    return f"max by ({labels}) (max_over_time({of(metric, *matchers)}[$__range]))"


def about(metric: str, info: str, labels: str) -> str:
    """Return a metric of the runs that are there now, with labels of their info metric."""
    return f"{of(POPULATOR + metric)} * on ({POD}) group_left ({labels}) {of(POPULATOR + info)}"


def query(expr: str, legend: str = "", ref: str = "A") -> Dataquery:
    """Return a query over the time shown."""
    return Dataquery().expr(expr).legend_format(legend).ref_id(ref).range()


def now(expr: str, legend: str = "", ref: str = "A") -> Dataquery:
    """Return a query of one moment, the end of the time shown."""
    return Dataquery().expr(expr).legend_format(legend).ref_id(ref).instant()


def colours(*steps: tuple[float | None, str]) -> ThresholdsConfig:
    """Return from which values on there is which colour."""
    thresholds = [Threshold(value, colour) for value, colour in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(thresholds)


NEUTRAL, GOOD = ((None, "blue"),), ((None, "green"),)
BAD, DOUBTFUL = ((None, "green"), (1.0, "red")), ((None, "green"), (1.0, "orange"))


def number(
    title: str,
    text: str,
    expr: str,
    steps: Sequence[tuple[float | None, str]] = NEUTRAL,
    unit: str = "short",
) -> Stat:
    """Return a panel with one number, which is 0 where nothing is found."""
    panel = Stat().title(title).description(text).datasource(HERE).with_target(now(f"{expr} or vector(0)"))
    panel = panel.unit(unit).thresholds(colours(*steps)).graph_mode(BigValueGraphMode.NONE)
    return panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"])).span(4).height(4)


def lines(title: str, text: str, unit: str, *queries: tuple[str, str]) -> Series:
    """Return a panel with lines over time."""
    panel = Series().title(title).description(text).datasource(HERE).unit(unit).min(0).fill_opacity(10)
    for ref, (expr, legend) in zip("ABC", queries, strict=False):
        panel = panel.with_target(query(expr, legend, ref))
    return panel.span(8).height(8)


def bars(title: str, text: str, expr: str, legend: str) -> Bars:
    """Return a panel with a bar for each of some things that were counted."""
    panel = Bars().title(title).description(text).datasource(HERE).unit("short").decimals(0).min(0)
    panel = panel.with_target(now(expr, legend)).orientation(VizOrientation.HORIZONTAL)
    panel = panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.thresholds(colours(*NEUTRAL)).no_value("none").span(8).height(8)


def table(
    title: str, text: str, hidden: Sequence[str], columns: Sequence[tuple[str, str, str, str]]
) -> Table:
    """Return a panel with a row for each run: `columns` are the query's letter, its expression, a name, and a unit.

    A column without a name adds its labels only.
    """
    panel = Table().title(title).description(text).datasource(HERE).no_value("none")
    names = dict(COLUMNS)
    unseen = dict.fromkeys(("Time", "__name__", "owner_uid", *hidden), True)
    for ref, expr, name, unit in columns:
        panel = panel.with_target(now(expr, "", ref).format(PromQueryFormat.TABLE))
        value = f"Value #{ref}" if len(columns) > 1 else "Value"
        if not name:
            unseen[value] = True
            continue
        names[value] = name
        panel = panel.override_by_name(name, [DynamicConfigValue(id_val="unit", value=unit)])
    panel = panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    order = {name: place for place, name in enumerate(names)}
    options = {"excludeByName": unseen, "renameByName": names, "indexByName": order}
    return (
        panel.with_transformation(DataTransformerConfig(id_val="organize", options=options))
        .span(24)
        .height(8)
    )
