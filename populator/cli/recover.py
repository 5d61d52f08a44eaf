"""`populator recover`: what populators that died have left behind, as a table, JSON or YAML; and putting it in order.

Without --apply it changes nothing.
"""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lease.errors import LeaseError
from populator import process
from populator.cli.failure import fail
from populator.cli.flags import KUBERNETES, LOG, VCENTER, Flag, FlagGroup, add, by_name, option
from populator.cli.help import Command
from populator.cli.output import Table, document, listed, output_option
from populator.cli.populate import STORAGE, VSPHERE
from populator.cli.slot_table import age
from populator.clock import Clock
from populator.errors import Cancelled, PopulatorError
from populator.report.outcome import NEEDS_ATTENTION, SUCCESS, outcome_of
from populator.settings.recovery import parse_recovery
from vsphere.errors import VsphereError

if TYPE_CHECKING:
    from populator.stories.recover import Finding

log = logging.getLogger(__name__)

HELP = """Show what populators that died, or were cut off, have left on hosts, on the array and in Leases.

Where to look is said by the Leases that nobody renews any more; what is there is asked of hosts and array. With --apply
it is put in order, each step on a host in a slot of its lease. What a living populator owns, or a copy may be writing
to, is never touched. All may be repeated. Groups of populators for hosts of which no Lease speaks are shown, too.

STATE is left (--apply would put it in order), mended, kept (it must not be touched now), or unknown (it could not be
looked at, or not be put in order).

Exit code: 0 if nothing is left, 10 if something is left, kept or unknown, 2 for wrong settings, 6 if the Leases cannot
be read.

Needs what a populate needs: the array's and vCenter's settings; and the right to list leases in all namespaces, or in
those of --namespaces. Reads pods where it may, to spare one that still runs.
"""
EXAMPLES = (
    "populator recover --storage-vendor-product=ontap",
    "populator recover --storage-vendor-product=ontap --namespaces=vms --apply",
)
METHOD = next(flag for flag in VSPHERE.flags if flag.names[0] == "esxi-clone-method")
WHERE = FlagGroup(
    "Kubernetes",
    (Flag(("namespaces",), "NAMES", "Namespaces of the PVCs, with commas between; all by default."),),
)
COLUMNS = ("PVC", "HOST", "STATE", "SINCE", "POD", "FOUND", "NEXT")


@click.command("recover", cls=Command, help=HELP, examples=EXAMPLES)
@option("Recovery", "--apply", is_flag=True, help="Put in order what is found.")
@add(STORAGE, FlagGroup("vSphere", (*VCENTER.flags, METHOD)), WHERE, KUBERNETES)
@output_option(help="table, json or yaml.")
@add(LOG)
@click.pass_context
def command(context: click.Context, /, apply: bool, output: str, **arguments: str | None) -> None:
    """Show what was left, and put it in order."""
    clock = Clock()
    process.listen_for_stop(clock)
    try:
        settings = parse_recovery(by_name(arguments), os.environ, apply=apply)
        for warning in settings.warnings:
            log.warning("%s", warning)
        # They bring in the clients, which take their time.
        from populator.stories.recover import recover  # noqa: PLC0415
        from populator.wiring_recovery import RealRecovery  # noqa: PLC0415

        with RealRecovery(settings, clock) as parts:
            findings, nameless = list(recover(parts)), [trace.record.name for trace in parts.nameless]
    except (PopulatorError, VsphereError, LeaseError) as error:
        context.exit(fail(error))
    show(findings, output, clock)
    if nameless:
        slots = ", ".join(nameless)
        click.echo(f"Expired, and of no volume that they name: {slots}; see populator leases.", err=True)
    if clock.stopping():
        context.exit(outcome_of(Cancelled()).exit_code)
    context.exit(exit_code(findings))


def show(findings: Sequence["Finding"], output: str, clock: Clock) -> None:
    """Print what was found."""
    if output != "table":
        click.echo(document(listed(map(item, findings)), output))
    elif findings:
        now = clock.utc()
        Table(COLUMNS, prose=2).print(
            (
                each.lead.pvc,
                each.host,
                each.state,
                age(each.lead.since, now),
                each.lead.pod,
                each.what,
                each.todo,
            )
            for each in findings
        )
    else:
        click.echo("Nothing was left behind, as far as Leases and array tell.", err=True)


def item(finding: "Finding") -> dict[str, Any]:
    """Return a finding as an item of a List."""
    lead = finding.lead
    return {
        "kind": "Leftover",
        "pvc": lead.pvc or None,
        "pvcUid": lead.uid or None,
        "volume": lead.volume or None,
        "host": finding.host or None,
        "state": finding.state,
        "since": lead.since.isoformat() if lead.since else None,
        "pod": lead.pod or None,
        "found": finding.what,
        "next": finding.todo or None,
    }


def exit_code(findings: Sequence["Finding"]) -> int:
    """Return the code: whether anything is left."""
    return SUCCESS.exit_code if all(each.state == "mended" for each in findings) else NEEDS_ATTENTION
