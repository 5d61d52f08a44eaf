"""`draw.py ANSWERS PICTURE` draws panels of a dashboard, each in its place, with what Prometheus answered."""

import itertools
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

WIDTH, UNIT = 24, 0.42
"""columns of a dashboard, and inches of one"""
STEP = 1.5
"""seconds between two points, at most"""
NAMED = {"blue": "#3274d9", "green": "#37872d", "orange": "#fa6400", "red": "#c4162a"}


def shown(value: float, unit: str) -> str:
    """Return a value as people read it."""
    if unit == "binBps":
        power = min(int(math.log(value, 1024)), 4) if value >= 1 else 0
        return f"{value / 1024**power:.3g} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}/s"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    return f"{value:g}%" if unit == "percent" else f"{value:g}"


def legend(query: dict[str, Any], labels: dict[str, str]) -> str:
    """Return what a series is called."""
    form = query.get("legendFormat", "")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form)


def points(series: dict[str, Any]) -> list[tuple[float, float]]:
    """Return the values of a series that are numbers."""
    values = [(float(at), float(value)) for at, value in series["values"]]
    return [(at, value) for at, value in values if not math.isnan(value)]


def with_gaps(found: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points with a break where some are missing, as Grafana has it."""
    broken = found[:1]
    for (before, _), (at, value) in itertools.pairwise(found):
        broken += [(at, math.nan)] * (at - before > STEP) + [(at, value)]
    return broken


def draw_number(axes: Axes, panel: dict[str, Any], unit: str) -> None:
    found = [points(series) for answer in panel["answers"] for series in answer]
    value = found[0][-1][1] if found and found[0] else 0.0
    colour = "blue"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step.get("value") is None or value >= step["value"]:
            colour = step["color"]
    axes.text(0.5, 0.5, shown(value, unit), fontsize=20, ha="center", va="center", color=NAMED[colour])
    axes.axis("off")


def draw_lines(axes: Axes, panel: dict[str, Any], unit: str) -> None:
    began = min(at for answer in panel["answers"] for series in answer for at, _ in points(series))
    for query, answer in zip(panel["targets"], panel["answers"], strict=True):
        for series in answer:
            found = with_gaps(points(series))
            name = legend(query, series["metric"])
            axes.plot([at - began for at, _ in found], [value for _, value in found], label=name)
    axes.set_ylim(bottom=0, top=panel["fieldConfig"]["defaults"].get("max"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="best")


def draw_bars(axes: Axes, panel: dict[str, Any], unit: str) -> None:
    bars = [
        (legend(query, series["metric"]), points(series)[-1][1])
        for query, answer in zip(panel["targets"], panel["answers"], strict=True)
        for series in answer
    ]
    names, values = [name for name, _ in bars], [value for _, value in bars]
    drawn = axes.barh(names, values, height=0.5, color=NAMED["blue"])
    axes.bar_label(drawn, [f" {shown(value, unit)}" for value in values], fontsize=9)
    axes.set_xlim(0, max(values) * 1.3)
    axes.set_ylim(-0.7, max(len(bars), 3) - 0.3)
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def draw_table(axes: Axes, panel: dict[str, Any], _: str) -> None:
    """Draw the moment that has most rows; the runs of a lab are over at the end."""
    options = panel["transformations"][-1]["options"]
    cells: dict[float, dict[str, dict[str, str]]] = {}
    for query, answer in zip(panel["targets"], panel["answers"], strict=True):
        value_name = f"Value #{query['refId']}" if len(panel["targets"]) > 1 else "Value"
        name = options["renameByName"].get(value_name)
        units = [
            each["properties"][0]["value"]
            for each in panel["fieldConfig"].get("overrides", [])
            if each["matcher"]["options"] == name
        ]
        for series in answer:
            labels = {
                options["renameByName"][label]: value
                for label, value in series["metric"].items()
                if label not in options["excludeByName"]
            }
            for at, value in points(series):
                row = cells.setdefault(at, {}).setdefault(series["metric"]["pod"], {})
                row |= labels | ({name: shown(value, units[0])} if name else {})
    rows = list(max(cells.values(), key=lambda table: sum(map(len, table.values()))).values())
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns.sort(key={name: options["indexByName"][was] for was, name in options["renameByName"].items()}.get)
    made = axes.table(
        [[row.get(name, "") for name in columns] for row in rows], colLabels=columns, loc="upper left"
    )
    made.auto_set_font_size(False)
    made.set_fontsize(8)
    made.auto_set_column_width(list(range(len(columns))))
    axes.axis("off")


KINDS = {"stat": draw_number, "timeseries": draw_lines, "bargauge": draw_bars, "table": draw_table}


def main(answers: Path, picture: Path) -> None:
    """Draw all panels."""
    panels = json.loads(answers.read_text())
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(WIDTH * UNIT * 1.9, height * UNIT))
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / WIDTH, 1 - place["y"] / height
        wide, high = place["w"] / WIDTH, place["h"] / height
        if panel["type"] == "row":
            figure.text(0.005, top - 0.7 * high, panel["title"], fontsize=13, weight="bold")
            continue
        inset = {"bargauge": 0.36, "table": 0.03}.get(panel["type"], 0.14)
        axes = figure.add_axes((left + wide * inset, top - high * 0.87, wide * (0.97 - inset), high * 0.68))
        unit = panel["fieldConfig"]["defaults"].get("unit", "short")
        KINDS[panel["type"]](axes, panel, unit)
        figure.text(left + wide * 0.03, top - high * 0.13, panel["title"], fontsize=10)
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
