"""What the program shows of itself: its commands, their options, and the variables that it reads."""

import ast
import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from populator.cli import cli
from populator.settings.parse import parse_settings
from populator.storage.registry import VENDORS
from tests.lab.program import ROOT

PEM = "-----BEGIN RSA PRIVATE KEY-----\nsecret\n-----END RSA PRIVATE KEY-----\n"
CALL = {
    "source-vm-id": "vm-62",
    "source-vmdk": "[ds] vm/vm.vmdk",
    "target-namespace": "vms",
    "owner-name": "disk-1",
    "owner-uid": "6f1c8a52-0d0e-4c6b-9a57-1f2f3a4b5c6d",
    "storage-vendor-product": "ontap",
    "storage-hostname": "svm.example.com",
    "storage-username": "admin",
    "storage-password": "pass",
    "storage-http-timeout-seconds": "30",
    "vsphere-hostname": "vcenter.example.com",
    "vsphere-username": "root",
    "vsphere-password": "pass",
    "esxi-clone-method": "ssh",
    "http-endpoint": ":8443",
    "metrics-path": "/metrics",
}


def commands(command: click.Command = cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command with its name, such as `vib`, `install`; the program itself has none."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below
            yield from commands(below, *path, name)


def find_command(*path: str) -> click.Command:
    """Return a command by its name."""
    found = dict(commands()).get(path)
    assert found, f"there is no command {' '.join(path)}"
    return found


def options() -> Iterator[click.Option]:
    """Yield the options of all commands."""
    for _, command in commands():
        yield from (option for option in command.params if isinstance(option, click.Option))


class Noting(Mapping[str, str]):
    """An environment that notes what is asked of it."""

    def __init__(self, given: dict[str, str]) -> None:
        self.given, self.asked = given, set[str]()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


def read_variables() -> set[str]:
    """Return every variable that is a setting: those of options, and those that the parser reads itself."""
    noting = Noting({"SSH_PRIVATE_KEY": base64.b64encode(PEM.encode()).decode()})
    parse_settings(CALL, noting)
    of_vendors = {option.variable for vendor in VENDORS for option in VENDORS[vendor].options}
    return noting.asked | of_vendors | {str(option.envvar) for option in options() if option.envvar}


def variables_read_elsewhere() -> set[str]:
    """Return the variables that modules ask the environment for by a name that is written there."""
    return {name for file in sources() for name in _asked(ast.parse(file.read_text()))}


def _asked(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(place, "get" | "getenv"), [ast.Constant(str(name)), *_]):
                where = place
            case ast.Subscript(place, ast.Constant(str(name))):
                where = place
            case ast.Compare(ast.Constant(str(name)), [ast.In() | ast.NotIn()], [place]):
                where = place
            case _:
                continue
        if ast.unparse(where) in {"os", "os.environ", "environ", "environment"}:
            yield name


def sources() -> list[Path]:
    """Return the modules of the program and its two libraries."""
    return sorted(path for part in ("populator", "vsphere", "lease") for path in (ROOT / part).rglob("*.py"))
