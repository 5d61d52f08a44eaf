"""`populator ssh-key`: the line that lets the populator into an ESXi host by the SSH method."""

import os

import click

from populator.cli.failure import fail
from populator.cli.flags import LOG, add, option
from populator.cli.help import Command
from populator.errors import SettingsError
from populator.pem import decoded
from populator.report.outcome import explain
from vsphere.errors import VsphereError
from vsphere.wrapper import key_line
from vsphere.wrapper.files import SCRIPT

EXAMPLES = (
    'populator ssh-key --public-key="$(cat key.pub)"',
    "populator ssh-key --hardened --datastore='ds one' --datastore=ds2",
)


@click.command("ssh-key", cls=Command, examples=EXAMPLES)
@option(
    "Key",
    "--public-key",
    envvar="SSH_PUBLIC_KEY",
    show_envvar=True,
    metavar="KEY",
    help="Public key: base64, or the line itself.",
)
@option(
    "Key", "--hardened", is_flag=True, help="Let the key run a pinned copy of this program's script only."
)
@option(
    "Key",
    "--datastore",
    "datastores",
    multiple=True,
    metavar="NAME",
    help="With --hardened: allow only these.",
)
@add(LOG)
@click.pass_context
def command(
    context: click.Context, /, public_key: str | None, hardened: bool, datastores: tuple[str, ...], **_: str
) -> None:
    """Print the line for /etc/ssh/keys-root/authorized_keys of each ESXi host.

    The key comes from --public-key, SSH_PUBLIC_KEY or SSH_PRIVATE_KEY, as in the Secret that Forklift makes.
    """
    if datastores and not hardened:
        raise click.UsageError(
            "--datastore: it needs --hardened, since the compatible line allows every datastore."
        )
    try:
        key = find_key(public_key or "", os.environ.get("SSH_PRIVATE_KEY", ""))
        click.echo(key_line.hardened(key, SCRIPT, datastores) if hardened else key_line.compatible(key))
    except VsphereError as error:  # there is no host here: what was given is wrong
        context.exit(fail(SettingsError([" ".join(explain(error)).strip()])))


def find_key(public: str, private: str) -> str:
    """Return the public key as it stands in authorized_keys."""
    if public.strip():
        line = " ".join((decoded(public) or public).split())
        if len(line.split(" ")) < 2 or not line.isprintable():
            raise click.UsageError("--public-key: this is neither a public key nor the base64 of one.")
        return line
    if private.strip():
        from vsphere.host.ssh_keys import public_key  # noqa: PLC0415 - slow, and not needed above

        return public_key(decoded(private))
    raise click.UsageError("There is no key: give --public-key, SSH_PUBLIC_KEY or SSH_PRIVATE_KEY.")
