"""`populator ssh-key`: the line that lets the populator into an ESXi host by the SSH method."""

import os

import click

from populator.cli.failure import fail
from populator.pem import decoded
from vsphere.errors import VsphereError
from vsphere.wrapper import key_line
from vsphere.wrapper.files import SCRIPT


@click.command("ssh-key")
@click.option(
    "--public-key", envvar="SSH_PUBLIC_KEY", show_envvar=True, help="Public key: base64, or the line itself."
)
@click.option(
    "--hardened", is_flag=True, help="Run this program's script only, from a copy of the host's own."
)
@click.option(
    "--datastore", "datastores", multiple=True, metavar="NAME", help="With --hardened: allow only these."
)
@click.pass_context
def command(
    context: click.Context, /, public_key: str | None, hardened: bool, datastores: tuple[str, ...]
) -> None:
    """Print the line for /etc/ssh/keys-root/authorized_keys of each ESXi host.

    The key comes from SSH_PUBLIC_KEY or SSH_PRIVATE_KEY, as in the Secret that Forklift makes.
    """
    if datastores and not hardened:
        raise click.UsageError("--datastore needs --hardened: the compatible line allows every datastore.")
    try:
        key = find_key(public_key or "", os.environ.get("SSH_PRIVATE_KEY", ""))
        click.echo(key_line.hardened(key, SCRIPT, datastores) if hardened else key_line.compatible(key))
    except VsphereError as error:
        context.exit(fail(error))


def find_key(public: str, private: str) -> str:
    """Return the public key as it stands in authorized_keys."""
    if public.strip():
        line = " ".join((decoded(public) or public).split())
        if len(line.split(" ")) < 2 or not line.isprintable():
            raise click.UsageError("SSH_PUBLIC_KEY is neither a public key nor the base64 of one.")
        return line
    if private.strip():
        from vsphere.host.ssh_keys import public_key  # noqa: PLC0415 - slow, and not needed above

        return public_key(decoded(private))
    raise click.UsageError("SSH_PUBLIC_KEY and SSH_PRIVATE_KEY are both missing; give one of them.")
