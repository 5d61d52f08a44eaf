"""`populator forecast`: how long the copies of VMs' disks will take, as a table, as JSON or YAML, and as a picture.

For people who plan a night; it reads the inventory, or a list of disks, and changes nothing.
"""

import os
from pathlib import Path

import click

from lease.decision import Scope
from populator.cli import forecast_page as page
from populator.cli.failure import fail
from populator.cli.file import write_whole
from populator.cli.flags import LOG, VCENTER, Flag, FlagGroup, add, by_name, option
from populator.cli.help import Command
from populator.cli.output import Table, document, output_option
from populator.clock import Clock
from populator.errors import PopulatorError
from populator.plan.forecast import IN_FLIGHT
from populator.report import gantt
from populator.report.outcome import INTERRUPTED, SUCCESS
from populator.settings.forecast import parse_forecast_settings
from populator.settings.values import SLOTS
from populator.stories.forecast import Outlook, look_ahead
from populator.wiring_forecast import RealForecast
from vsphere.errors import VsphereError

HELP = """Forecast how long the copies of disks take, what holds them up, and what would help.

Plays all copies in virtual time, by the rules of the host lease and of Forklift's limit of pods in flight. The disks
are those of VMs, as vCenter has them, or stand in a list: CSV whose first line names the columns size, host and
datastore and, if wanted, name and also_mounted_on; sizes are 40GiB, 40GB or bytes.

How fast copies are is for you to say: the defaults are careful guesses. --measured takes what copies of earlier runs
took, from `oc get pods -n NAMESPACE -o json` or from termination messages.

Exit code: 0 if there is a forecast, 2 if options or files are wrong, 5 if vCenter cannot be read or no disk can be
copied, 130 if Ctrl-C ended it.
"""
EXAMPLES = (
    "populator forecast --vm-file=plan.txt --measured=pods.json --gantt=night.svg",
    "populator forecast --disks=disks.csv --copy-rate=350 --copy-hosts=any",
)

DISKS = FlagGroup(
    "Disks",
    (
        Flag(("vm-file",), "FILE", "File with VMs, one a line."),
        Flag(("disks",), "FILE", "CSV of disks, instead of VMs."),
    ),
)
RATES = FlagGroup(
    "Rates",
    (
        Flag(("copy-rate",), "MIB/S", "What one copy reaches at most; 200 where nothing is known."),
        Flag(("measured",), "FILE", "What earlier copies took; --copy-rate counts more."),
        Flag(
            ("host-rate",),
            "MIB/S",
            "What all copies of a host reach together; no limit of its own by default.",
        ),
        Flag(
            ("array-rate",),
            "MIB/S",
            "What all copies of the array reach together; 2000 where nothing is known.",
        ),
        Flag(("rescan",), "SECONDS", "What a host's rescan takes; 10 where nothing is known."),
    ),
)
RULES = FlagGroup(
    "Rules",
    (
        Flag(("slots",), "N", "Slots of each host.", None, str(SLOTS)),
        Flag(
            ("in-flight",),
            "N",
            "Pods at once for the disks of one host.",
            "MAX_POPULATOR_INFLIGHT",
            str(IN_FLIGHT),
        ),
        Flag(
            ("scope",),
            "SCOPE",
            "What a slot is held for: copy or rescan.",
            "HOST_LEASE_SCOPE",
            Scope.COPY.value,
        ),
        Flag(
            ("copy-hosts",),
            "HOSTS",
            "vm: the VM's own host copies; any: any that has the datastore.",
            None,
            "vm",
        ),
    ),
)


@click.command("forecast", cls=Command, help=HELP, examples=EXAMPLES)
@option(
    "Disks", "--vm", "vms", multiple=True, metavar="VM", help="VM by id, name or inventory path; repeatable."
)
@add(DISKS, RATES, RULES, VCENTER)
@output_option(help="table, json or yaml.")
@option(
    "Output",
    "--gantt",
    "chart",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="SVG to draw it into: a row for each host, for any browser.",
)
@add(LOG)
@click.pass_context
def command(
    context: click.Context, /, vms: tuple[str, ...], output: str, chart: Path | None, **arguments: str | None
) -> None:
    """Forecast the copies."""
    try:
        settings = parse_forecast_settings(by_name(arguments), os.environ, vms)
        outlook = look_ahead(RealForecast(settings, Clock()))
        if chart:
            draw(outlook, chart)
    except (PopulatorError, VsphereError) as error:
        context.exit(fail(error))
    except KeyboardInterrupt:
        context.exit(INTERRUPTED)
    show(outlook, output)
    context.exit(SUCCESS.exit_code)


def draw(outlook: Outlook, file: Path) -> None:
    """Write the picture."""
    title, notes = page.headline(outlook.forecast), tuple(page.lines(outlook))[1:]
    picture = gantt.draw(outlook.forecast, title, notes, outlook.bottleneck.subject)
    write_whole(file, picture.encode(), "--gantt")


def show(outlook: Outlook, output: str) -> None:
    """Print it."""
    if output == "table":
        for line in page.lines(outlook):
            click.echo(line)
        click.echo()
        Table(page.TITLES).print(page.rows(outlook.forecast))
    else:
        click.echo(document(page.item(outlook), output))
