"""`populator leases`: who holds the slots of which host, as a table, as JSON or YAML, once or for as long as it takes.

For people and their scripts; it reads Leases and changes nothing.
"""

from typing import Any

import click

from lease.decision import check_settings
from lease.kube import errors
from lease.kube.api import Api, ApiError
from lease.overview import TROUBLED, Names, SlotView, by_dates, in_order
from lease.record import TEMPLATE, parse_record
from populator.cli.slot_table import COLUMNS, WIDE, Table, as_json, as_yaml, item, listed
from populator.cli.slot_watch import Reader, SlotWatch
from populator.clock import Clock
from populator.log import printable
from populator.settings.parse import LEASE_NAMESPACE

ALL_WELL, UNREADABLE, TROUBLE, INTERRUPTED = 0, 6, 10, 130

HELP = """Show the slots of the host lease: who may shake which ESXi host.

STATE is held, free, expired, expired?, or stale. A single look can judge only by the holder's dates, which are of
another machine's clock; where by those his word has run out, it says "expired?". With --watch a slot is judged by
whether its record changes before our eyes, as those who wait for it do, and "expired" is sure. A slot that is expired
is taken by the next one who wants it; "stale" is one that ran out more than an hour ago, or has no dates to judge by.

Exit code: 0 when every slot is held or free, 10 when one is expired, expired? or stale, 6 when the Leases cannot be
read, 2 for a wrong call, 130 when --watch was ended by Ctrl-C.

Needs the right to list leases in the namespace, and for --watch to watch them.
"""


@click.command("leases", help=HELP)
@click.option(
    "-n",
    "--namespace",
    envvar="HOST_LEASE_NAMESPACE",
    default=LEASE_NAMESPACE,
    show_default=True,
    show_envvar=True,
    help="Where the Leases are.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    help="wide adds host name, device, task, mapping, what was left, and the Lease's name.",
)
@click.option("-w", "--watch", is_flag=True, help="Go on, and print what changes, until Ctrl-C.")
@click.option(
    "--template",
    envvar="HOST_LEASE_NAME_TEMPLATE",
    default=TEMPLATE,
    show_default=True,
    show_envvar=True,
    help="Names of the Leases; those of the Go populator are shown as well.",
)
@click.option("--kubeconfig", envvar="KUBECONFIG", show_envvar=True, help="Kubeconfig file.")
@click.option("--master", help="URL of the API server, instead of the kubeconfig's.")
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Show the slots."""
    problems = check_settings(10, 2, given["template"] or TEMPLATE, "copy")
    if problems:
        raise click.BadParameter(problems["template"], context, param_hint="--template")
    show = Show(given["namespace"] or LEASE_NAMESPACE, given["output"], Names(given["template"] or TEMPLATE))
    try:
        api = Api.connect(given["kubeconfig"] or None, given["master"] or None)
        code = show.follow(api) if given["watch"] else show.once(api)
    except ApiError as error:
        rights = "list,watch" if given["watch"] else "list"
        hint = errors.grant(error, rights) if error.forbidden else error.hint
        click.echo("\n".join(map(printable, filter(None, (error.text, hint)))), err=True)
        code = UNREADABLE
    except KeyboardInterrupt:
        code = INTERRUPTED
    context.exit(code)


class Show:
    """What is shown, and how."""

    def __init__(self, namespace: str, output: str, names: Names) -> None:
        self._namespace = namespace
        self._output = output
        self._names = names
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._clock = Clock()
        self._table = Table(WIDE if output == "wide" else COLUMNS)

    def once(self, api: Api) -> int:
        """Print the slots as they are; return the exit code."""
        records = [parse_record(lease) for lease in api.get(self._path).get("items") or []]
        now = self._clock.utc()
        slots = in_order(
            [
                SlotView(*place, by_dates(record, now), record)
                for record in records
                if (place := self._names.parse(record.name))
            ]
        )
        if self._output in {"json", "yaml"}:
            click.echo(self._document(listed(slots, self._namespace)))
        elif slots:
            self._rows(slots)
        else:
            click.echo(f"No host leases found in {self._namespace} namespace.", err=True)
        return TROUBLE if any(slot.state in TROUBLED for slot in slots) else ALL_WELL

    def follow(self, api: Api) -> int:
        """Print the slots, and then each one that changes, until somebody ends it."""
        for slots in Reader(api, self._path).changes(SlotWatch(self._names, self._clock)):
            if self._output in {"json", "yaml"}:
                for slot in slots:
                    self._one(slot)
            else:
                self._rows(slots)
        return ALL_WELL

    def _rows(self, slots: list[SlotView]) -> None:
        for line in self._table.lines(slots, self._clock.utc()):
            click.echo(line)

    def _one(self, slot: SlotView) -> None:
        if self._output == "yaml":
            click.echo("---")
        click.echo(self._document(item(slot, self._namespace)))

    def _document(self, value: Any) -> str:
        return as_yaml(value) if self._output == "yaml" else as_json(value)
