"""`populator leases`: who holds the slots of which host, as a table, as JSON or YAML, once or for as long as it takes.

For people and their scripts; it reads Leases and changes nothing.
"""

from typing import Any

import click

from lease.decision import Scope, check_settings
from lease.errors import LeaseError
from lease.kube import errors
from lease.kube.api import Api, ApiError
from lease.overview import TROUBLED, Names, SlotView
from lease.record import TEMPLATE
from lease.watch import follow_slots, read_slots
from populator.cli.failure import fail
from populator.cli.flags import KUBERNETES, LOG, Decorator, add, option
from populator.cli.help import Command
from populator.cli.output import Table, document, listed, output_option
from populator.cli.slot_table import COLUMNS, WIDE, item, row
from populator.clock import Clock
from populator.report.outcome import INTERRUPTED, NEEDS_ATTENTION, SUCCESS
from populator.settings.parse import LEASE_NAMESPACE

HELP = """Show the slots of the host lease: who may run disruptive operations on which ESXi host.

STATE is held, free, expired, expired?, or stale. A single look can judge only by the dates in the record, which
another machine's clock wrote: a slot that has run out by those is "expired?". With --watch a slot is judged by
whether its record changes, as waiting populators do, and "expired" is certain. The next populator that wants an
expired slot takes it; a "stale" slot ran out more than an hour ago, or has no dates to judge by.

Exit code: 0 if every slot is held or free, 10 if any is expired, expired? or stale, 6 if the Leases cannot be read,
130 if Ctrl-C ended --watch.

Needs the right to list leases in the namespace, and for --watch to watch them.
"""
EXAMPLES = ("populator leases", "populator leases --namespace=openshift-mtv --watch --output=wide")


def template_option(text: str) -> Decorator:
    """Give a command the option for the names of the hosts' Leases, with that line of help."""
    return option(
        "Kubernetes",
        "--template",
        envvar="HOST_LEASE_NAME_TEMPLATE",
        default=TEMPLATE,
        show_default=True,
        show_envvar=True,
        metavar="TEMPLATE",
        help=text,
    )


def names_of(context: click.Context, given: str) -> Names:
    """Return the names of that template, the usual one where it is empty; raise click's error for a wrong one."""
    template = given or TEMPLATE
    problems = check_settings(10, 2, template, Scope.COPY)
    if problems:
        raise click.BadParameter(problems["template"], context, param_hint="--template")
    return Names(template)


@click.command("leases", cls=Command, help=HELP, examples=EXAMPLES)
@option(
    "Kubernetes",
    "-n",
    "--namespace",
    envvar="HOST_LEASE_NAMESPACE",
    default=LEASE_NAMESPACE,
    show_default=True,
    show_envvar=True,
    metavar="NAMESPACE",
    help="Namespace of the Leases.",
)
@template_option("Names of the Leases; the Go populator's are shown as well.")
@add(KUBERNETES)
@output_option(
    "wide",
    help="table, json, yaml, or wide, which adds host name, device, task, mapping, what was left, and the Lease.",
)
@option("Output", "-w", "--watch", is_flag=True, help="Print each slot again that changes, until Ctrl-C.")
@add(LOG)
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Show the slots."""
    names = names_of(context, given["template"])
    show = Show(given["namespace"] or LEASE_NAMESPACE, given["output"], names)
    try:
        api = Api.connect(given["kubeconfig"] or None, given["master"] or None)
        code = show.follow(api) if given["watch"] else show.once(api)
    except ApiError as error:
        code = fail(explained(error, "list,watch" if given["watch"] else "list"))
    except KeyboardInterrupt:
        code = INTERRUPTED
    context.exit(code)


def explained(error: ApiError, rights: str) -> LeaseError:
    """Return why the Leases cannot be read, with what this command needs, which is less than a populator does."""
    if error.reason == "Config":
        return LeaseError(error.text, "Name a kubeconfig: --kubeconfig or KUBECONFIG.")
    return LeaseError(error.text, errors.grant(error, rights) if error.forbidden else error.hint)


class Show:
    """What is shown, and how."""

    def __init__(self, namespace: str, output: str, names: Names) -> None:
        self._namespace = namespace
        self._output = output
        self._names = names
        self._clock = Clock()
        self._columns = WIDE if output == "wide" else COLUMNS
        self._table = Table([title for title, _ in self._columns])

    def once(self, api: Api) -> int:
        """Print the slots as they are; return the exit code."""
        slots = read_slots(api, self._namespace, self._names, self._clock.utc())
        if self._output in {"json", "yaml"}:
            click.echo(document(listed(item(slot, self._namespace) for slot in slots), self._output))
        elif slots:
            self._rows(slots)
        else:
            click.echo(f"No host leases found in {self._namespace} namespace.", err=True)
        return NEEDS_ATTENTION if any(slot.state in TROUBLED for slot in slots) else SUCCESS.exit_code

    def follow(self, api: Api) -> int:
        """Print the slots, and then each one that changes, until somebody ends it."""
        for slots in follow_slots(api, self._namespace, self._names, self._clock):
            if self._output in {"json", "yaml"}:
                for slot in slots:
                    self._one(slot)
            else:
                self._rows(slots)
        return SUCCESS.exit_code

    def _rows(self, slots: list[SlotView]) -> None:
        now = self._clock.utc()
        self._table.print(row(slot, self._columns, now) for slot in slots)

    def _one(self, slot: SlotView) -> None:
        if self._output == "yaml":
            click.echo("---")
        click.echo(document(item(slot, self._namespace), self._output))
