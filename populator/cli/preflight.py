"""`populator preflight`: would a populate work? The same options as a populate, or several VMs; it changes nothing."""

import os
from dataclasses import replace
from typing import Any

import click

from populator.cli.failure import fail
from populator.cli.flags import LOG, Flag, FlagGroup, add, by_name, option
from populator.cli.help import Command
from populator.cli.log_flags import be_quiet
from populator.cli.output import document, output_option
from populator.cli.populate import DISK, POD, STORAGE, VOLUME, VSPHERE
from populator.cli.preflight_page import as_document, as_text
from populator.errors import PopulatorError
from populator.preflight.line import Verdict, verdict
from populator.report.outcome import INTERRUPTED, NEEDS_ATTENTION, NOT_READY, SUCCESS
from populator.settings.preflight import parse_preflight

HELP = """Look whether a populate would work, and touch nothing.

Takes the options and variables of a populate, and says of everything that it depends on whether it is as it should be:
Kubernetes, vCenter, the array, the disk, the volume, the host. Or, with --vm and --plan, looks at all disks of several
VMs, whose volumes need not be made yet.

The first line is ready, warnings or not ready. Below it: ✓ is as it should be, ! works, but not well, ✗ would make a
populate fail or have the host move all bytes, - was not checked, and why. The line after > mends it.

Exit code: 0 if ready, 10 if there are warnings, 11 if not ready, 2 if the options are wrong, 130 if Ctrl-C ended it.
"""
EXAMPLES = (
    r"""populator preflight --source-vm-id=vm-1234 \
    --source-vmdk='[ds1] my vm/disk.vmdk' --target-namespace=vms \
    --owner-name=my-disk \
    --owner-uid="$(oc get pvc my-disk -n vms -o jsonpath={.metadata.uid})" \
    --storage-vendor-product=ontap""",
    r"""populator preflight --vm=vm-1234 --vm='my other vm' \
    --storage-vendor-product=ontap""",
)
CODES = {
    Verdict.READY: SUCCESS.exit_code,
    Verdict.WARNINGS: NEEDS_ATTENTION,
    Verdict.NOT_READY: NOT_READY,
}
PARALLEL = FlagGroup(
    "Several VMs", (Flag(("parallel",), "N", "VMs at a time, and after them hosts.", None, "4"),)
)


def not_needed(group: FlagGroup) -> FlagGroup:
    """Return flags as what they are here: of no use with several VMs."""
    return FlagGroup(group.title, tuple(replace(flag, needed=False) for flag in group.flags))


@click.command("preflight", cls=Command, help=HELP, examples=EXAMPLES)
@option(
    "Several VMs",
    "--vm",
    "vms",
    multiple=True,
    metavar="VM",
    help="A VM, by managed object id, name or inventory path; may be given again.",
)
@option(
    "Several VMs",
    "--plan",
    default="",
    metavar="FILE",
    help="VMs in a file, one a line, or Forklift's Plan in YAML or JSON.",
)
@add(PARALLEL, not_needed(DISK), STORAGE, VSPHERE, not_needed(VOLUME), POD)
@output_option(help="table, json or yaml.")
@add(LOG)
@click.pass_context
def command(context: click.Context, /, vms: tuple[str, ...], plan: str, output: str, **given: Any) -> None:
    """Look, print the page, and end with its code."""
    be_quiet(context)
    try:
        settings = parse_preflight(by_name(given), vms, plan, os.environ)
        # They bring in the clients, which help has no use for.
        from populator.stories.preflight import preflight  # noqa: PLC0415
        from populator.wiring_preflight import RealLooksParts  # noqa: PLC0415

        sections = preflight(RealLooksParts(settings))
    except PopulatorError as error:
        context.exit(fail(error))
    except KeyboardInterrupt:
        context.exit(INTERRUPTED)
    click.echo(as_text(sections) if output == "table" else document(as_document(sections), output))
    context.exit(CODES[verdict(sections)])
