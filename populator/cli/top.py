"""`populator top`: what all populates of a cluster do, as a live picture, as lines, as JSON or YAML.

For people and their scripts; it reads Leases and Forklift's objects, and changes nothing.
"""

from typing import Any

import click

from lease.errors import LeaseError
from lease.kube.api import Api, ApiError
from populator import process
from populator.cli.failure import fail
from populator.cli.flags import KUBERNETES, LOG, add, option
from populator.cli.help import Command
from populator.cli.leases import explained, names_of, template_option
from populator.cli.output import Table, document, listed, output_option
from populator.cli.populate_table import TITLES, item, line, news, row, summary, troubled
from populator.clock import Clock
from populator.cluster import Cluster
from populator.errors import Cancelled
from populator.plan.progress import Populate
from populator.report.board import Board
from populator.report.live import Screen
from populator.report.outcome import INTERRUPTED, NEEDS_ATTENTION, SUCCESS
from populator.settings.parse import LEASE_NAMESPACE

LOOK_EVERY = 0.5
"""seconds between two pictures"""

HELP = """Show what all populates of a cluster do: which run, wait for a slot of their host, are done, or failed.

In a terminal it is a live picture, until Ctrl-C; elsewhere a line for each change: of state, phase, host, and of each
tenth of a disk. What has ended is shown for a day. STATE is running, waiting, done, failed, or failed?: its Lease ran
out by its dates, which another machine's clock wrote; a few seconds later that is certain, but --once sees only that.

Exit code: 130 if Ctrl-C ended it. With --once: 0, 10 if any populate failed, 6 if nothing at all can be read.

Reads the Leases of hosts and of volumes and Forklift's VSphereXcopyVolumePopulators. The right to list them is enough,
each in its namespaces; where they may be watched, changes show at once. What may not be read is named, and left out.
"""
EXAMPLES = ("populator top --namespace=vms --namespace=more-vms", "populator top --once --output=json")


@click.command("top", cls=Command, help=HELP, examples=EXAMPLES)
@option(
    "Kubernetes",
    "-n",
    "--namespace",
    multiple=True,
    metavar="NAMESPACE",
    help="Namespace of the volumes; may be given several times. Without it, all.",
)
@option(
    "Kubernetes",
    "--lease-namespace",
    envvar="HOST_LEASE_NAMESPACE",
    default=LEASE_NAMESPACE,
    show_default=True,
    show_envvar=True,
    metavar="NAMESPACE",
    help="Namespace of the hosts' Leases.",
)
@template_option("Names of the hosts' Leases; the Go populator's are known as well.")
@add(KUBERNETES)
@output_option(
    help="table, json or yaml; without --once, JSON and YAML give each populate again that changes."
)
@option("Output", "--once", is_flag=True, help="Look once, print all, and end.")
@add(LOG)
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Show the populates."""
    names = names_of(context, given["template"])
    clock = Clock()
    try:
        api = Api.connect(given["kubeconfig"] or None, given["master"] or None)
    except ApiError as error:
        context.exit(fail(explained(error, "list,watch")))
    where = given["lease_namespace"] or LEASE_NAMESPACE
    cluster = Cluster(api, given["namespace"], where, names, clock)
    if given["once"]:
        context.exit(once(cluster, given["output"]))
    process.listen_for_stop(clock)
    try:
        follow(cluster, given["output"], clock)
    except Cancelled:
        context.exit(INTERRUPTED)


def once(cluster: Cluster, output: str) -> int:
    """Print all, and return the exit code."""
    cluster.read()
    troubles = cluster.troubles
    if len(troubles) == len(cluster.sources):
        error = explained(troubles[0].error, "list,watch")
        return fail(LeaseError(error.text, error.hint))
    for trouble in troubles:
        click.echo(f"warning: {trouble.text}", err=True)
    seen = cluster.look()
    if output == "table":
        if seen.populates:
            Table(TITLES, prose=1).print(row(populate) for populate in seen.populates)
        click.echo(summary(seen), err=True)
    else:
        click.echo(document(listed(item(populate) for populate in seen.populates), output))
    return NEEDS_ATTENTION if troubled(seen) else SUCCESS.exit_code


def follow(cluster: Cluster, output: str, clock: Clock) -> None:
    """Show all, again and again; raises Cancelled when it is told to stop."""
    cluster.follow()
    screen = Screen()
    if output != "table" or not screen.usable:
        lines = Lines(output, clock)
        while True:
            lines.show(cluster)
            clock.wait(LOOK_EVERY)
    with screen:
        while True:
            draw(cluster, screen, clock)
            clock.wait(LOOK_EVERY)


def draw(cluster: Cluster, screen: Screen, clock: Clock) -> None:
    """Draw the picture as it is now."""
    seen = cluster.look()
    notes = [trouble.text for trouble in cluster.troubles]
    notes += [f"{what}: being read" for what in cluster.unread]
    screen.show(Board(*screen.size, screen.marks).draw(seen, notes, clock.utc()))


class Lines:
    """Prints what changes."""

    def __init__(self, output: str, clock: Clock) -> None:
        self._output = output
        self._clock = clock
        self._printed: dict[tuple[str, str], tuple[object, ...]] = {}
        self._troubles: dict[str, str] = {}

    def show(self, cluster: Cluster) -> None:
        """Print each populate that is not as it was printed last, and each trouble that has come or gone."""
        seen = cluster.look()
        self._tell_troubles(cluster)
        if cluster.unread:
            return
        for populate in seen.populates:
            key = (populate.namespace, populate.uid or populate.name)
            if self._printed.get(key) != news(populate):
                self._printed[key] = news(populate)
                self._print(populate)

    def _print(self, populate: Populate) -> None:
        if self._output == "table":
            click.echo(line(populate, self._clock.utc()))
            return
        if self._output == "yaml":
            click.echo("---")
        click.echo(document(item(populate), self._output))

    def _tell_troubles(self, cluster: Cluster) -> None:
        now = {trouble.what: trouble.text for trouble in cluster.troubles}
        for what, text in now.items():
            if what not in self._troubles:
                click.echo(f"warning: {text}", err=True)
        for what in self._troubles.keys() - now.keys():
            click.echo(f"{what}: read again", err=True)
        self._troubles = now
