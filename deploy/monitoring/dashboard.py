"""The dashboard as code: `python deploy/monitoring/dashboard.py` prints its JSON, which lies beside this.

`make dashboard` writes that file, and draws what the dashboard shows of runs in the lab.
"""

import json
import sys

from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, VariableRefresh, VariableSort
from panels import (
    BAD,
    DOUBTFUL,
    FAILED,
    GOOD,
    HERE,
    LEASE,
    NEUTRAL,
    POD,
    POPULATOR,
    SUCCEEDED,
    about,
    bars,
    lines,
    number,
    of,
    once,
    table,
)


def variables(dashboard: Dashboard) -> Dashboard:
    """Add what the reader chooses: the data source, and namespaces."""
    namespaces = QueryVariable("namespace").label("Namespace").datasource(HERE)
    namespaces = (
        namespaces.query(f"label_values({POPULATOR}progress, namespace)").multi(True).include_all(True)
    )
    namespaces = namespaces.all_value(".*").refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    source = DatasourceVariable("datasource").label("Data source").type("prometheus")
    return dashboard.with_variable(source).with_variable(namespaces.sort(VariableSort.ALPHABETICAL_ASC))


def runs(dashboard: Dashboard) -> Dashboard:
    """Add how many runs there are and were."""
    end = POPULATOR + "end_info"
    fallback = (SUCCEEDED, 'clone_method=~"vib|ssh"', 'xcopy_used="0"')
    copying = f"count({of(POPULATOR + 'progress_timestamp_seconds')})"
    panels = (
        number("Copying", "Copies that run now.", copying),
        number(
            "Waiting for a slot",
            "Runs that wait for their host now.",
            f"count({of(LEASE + 'waiting_seconds')} > 0)",
        ),
        number("Succeeded", "In the time shown.", f"count({once(end, SUCCEEDED)})", GOOD),
        number(
            "Failed", "In the time shown; cancelled runs do not count.", f"count({once(end, FAILED)})", BAD
        ),
        number(
            "Without XCOPY",
            "Copies that succeeded in the time shown, but were made by the host.",
            f"count({once(end, *fallback)})",
            DOUBTFUL,
        ),
        number(
            "Left behind",
            "Steps of the undo, in the time shown, that failed or were left out.",
            f"sum({once(POPULATOR + 'left_behind')})",
            BAD,
        ),
    )
    dashboard = dashboard.with_row(Row("Runs"))
    for panel in panels:
        dashboard = dashboard.with_panel(panel)
    return dashboard


def copies(dashboard: Dashboard) -> Dashboard:
    """Add how far the copies are, and how fast."""
    rate = "copy_rate_bytes_per_second"
    running = of(POPULATOR + "progress_timestamp_seconds")
    stalled = f"time() - {about('progress_timestamp_seconds', 'run_info', 'pvc')}"
    now_running = (
        ("A", about("progress", "run_info", "pvc, vm, disk, storage_array"), "Progress", "percent"),
        ("B", f"max by ({POD}, host) ({of(POPULATOR + 'host_info')})", "", ""),
        ("C", f"max by ({POD}) ({of(POPULATOR + rate)})", "Rate", "binBps"),
        ("D", f"max by ({POD}) ({of(POPULATOR + 'copy_remaining_seconds')})", "Remaining", "s"),
        ("E", f"max by ({POD}) ({of(LEASE + 'waiting_seconds')})", "Waiting", "s"),
    )
    return (
        dashboard.with_row(Row("Copies"))
        .with_panel(
            lines(
                "Progress", "Of each disk.", "percent", (about("progress", "run_info", "pvc"), "{{pvc}}")
            ).max(100)
        )
        .with_panel(
            lines(
                "Rate",
                "Mean rates of the running copies, summed up for each host.",
                "binBps",
                (f"sum by (host) ({about(rate, 'host_info', 'host')} and on ({POD}) {running})", "{{host}}"),
            )
        )
        .with_panel(lines("Since the last percent", "Of each running copy.", "s", (stalled, "{{pvc}}")))
        .with_panel(
            table(
                "Runs now",
                "What is being copied, and how long it will take.",
                ("container", "endpoint", "instance", "job", "storage_vendor"),
                now_running,
            )
        )
    )


def slots(dashboard: Dashboard) -> Dashboard:
    """Add the host lease."""
    wait, hold = (f"sum({once(LEASE + name)})" for name in ("wait_seconds_sum", "hold_seconds_sum"))
    waits, holds = (f"sum({once(LEASE + name)})" for name in ("wait_seconds_count", "hold_seconds_count"))
    buckets = f"sum by (le) (rate({of(LEASE + 'renew_duration_seconds_bucket')}[$__rate_interval]))"
    panels = (
        number(
            "Mean wait", "Until a run had a slot, in the time shown.", f"{wait} / ({waits} > 0)", NEUTRAL, "s"
        ),
        number(
            "Mean hold",
            "For which a slot was held, in the time shown.",
            f"{hold} / ({holds} > 0)",
            NEUTRAL,
            "s",
        ),
        number(
            "Longest wait now",
            "Of a run that has no slot yet.",
            f"max({of(LEASE + 'waiting_seconds')})",
            NEUTRAL,
            "s",
        ),
        number(
            "Taken over",
            "Slots of holders that had died.",
            f"sum({once(LEASE + 'takeovers_total')})",
            DOUBTFUL,
        ),
        number(
            "Renewals failed", "They are tried again.", f"sum({once(LEASE + 'renew_errors_total')})", DOUBTFUL
        ),
        number(
            "Lost", "Times that a held slot was no longer certain.", f"sum({once(LEASE + 'lost_total')})", BAD
        ),
        lines(
            "Waiting for a slot",
            "How long each run has waited by now.",
            "s",
            (f"max by ({POD}) ({of(LEASE + 'waiting_seconds')})", "{{pod}}"),
        ).span(16),
        lines(
            "Renewals on the Kubernetes API",
            "How long they take.",
            "s",
            (f"histogram_quantile(0.5, {buckets})", "half of them"),
            (f"histogram_quantile(0.99, {buckets})", "99 %"),
        ),
    )
    dashboard = dashboard.with_row(Row("Slots of the hosts"))
    for panel in panels:
        dashboard = dashboard.with_panel(panel)
    return dashboard


def ends(dashboard: Dashboard) -> Dashboard:
    """Add how runs ended, and where."""
    end = POPULATOR + "end_info"
    size = once(POPULATOR + "source_disk_bytes", 'type="provisioned"')
    took = once(POPULATOR + "copy_duration_seconds", 'result="success"')
    place = once(end, SUCCEEDED, by="storage_array")
    speed = f"avg by (storage_array) ({place} * on ({POD}) group_left () ({size} / {took}))"
    left = f"{once(POPULATOR + 'left_behind', by='host, storage_array')} > 0"
    left_table = table(
        "Left behind",
        "Runs that could not put back all, in the time shown: see populator recover.",
        (),
        (("A", left, "Steps", "short"),),
    )

    def counted(by: str, *matchers: str) -> str:
        return f"count by ({by}) ({once(end, *matchers, by=by)})"

    return (
        dashboard.with_row(Row("Ends, in the time shown"))
        .with_panel(bars("By reason", "As in the termination message.", counted("reason"), "{{reason}}"))
        .with_panel(
            bars(
                "Failures by host",
                "Cancelled runs do not count.",
                counted("host", FAILED, 'host!=""'),
                "{{host}}",
            )
        )
        .with_panel(
            bars(
                "Failures by array",
                "Cancelled runs do not count.",
                counted("storage_array", FAILED, 'storage_array!=""'),
                "{{storage_array}}",
            )
        )
        .with_panel(
            bars(
                "Without XCOPY, by host",
                "Copies that succeeded, but were made by the host.",
                counted("host", SUCCEEDED, 'xcopy_used="0"', 'host!=""'),
                "{{host}}",
            )
        )
        .with_panel(
            bars("Source and volume", "What came of comparing them.", counted("verified"), "{{verified}}")
        )
        .with_panel(
            bars("Mean rate of copies", "Of those that succeeded.", speed, "{{storage_array}}").unit("binBps")
        )
        .with_panel(left_table)
    )


def build() -> Dashboard:
    """Return the whole of it."""
    dashboard = (
        Dashboard("XCOPY populator")
        .uid("xcopy-populator")
        .description("Copies of vSphere disks onto Kubernetes volumes: runs, hosts, slots and ends.")
        .tags(["forklift", "xcopy"])
        .time("now-6h", "now")
        .timezone("browser")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    return ends(slots(copies(runs(variables(dashboard)))))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(build().build(), cls=JSONEncoder, sort_keys=True, indent=2) + "\n")
