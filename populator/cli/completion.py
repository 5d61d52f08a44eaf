"""`populator completion`: what makes a shell complete this program's commands and options."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from populator.cli import COMPLETE, NAME, cli
from populator.cli.flags import LOG, Choice, add
from populator.cli.help import Command

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = (
    'eval "$(populator completion bash)"',
    "populator completion fish >~/.config/fish/completions/populator.fish",
)


@click.command("completion", cls=Command, examples=EXAMPLES)
@click.argument("shell", type=Choice(SHELLS), metavar="bash|zsh|fish")
@add(LOG)
def command(shell: str, **_: str) -> None:
    """Print what makes a shell complete commands and options; the shell has to read it.

    For every new shell, write the first example into ~/.bashrc, or the same with zsh into ~/.zshrc.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows all of SHELLS
    click.echo(ShellComplete.source(kind(cli, {}, NAME, COMPLETE)))
