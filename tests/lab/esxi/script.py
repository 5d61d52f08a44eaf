"""Our wrapper on a host of the lab: the real script, run by the host's own shell in the host's own root.

hostd is taken to be naive: it puts the arguments into the plugin's command line as text and gives that to a shell. So
what the plugin's quotes do not hold is executed here as it would be there, and leaves its traces in the sandbox.
"""

import re
import shutil
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from tests.lab.esxi.copies import Copies
from tests.lab.esxi.sandbox import Sandbox
from tests.lab.esxi.stubs import Acceleration, Programs
from vsphere.wrapper.files import PLUGIN_XML, SCRIPT, VERSION

SCRIPT_PATH = "/opt/redhat/vmkfstools-wrapper"
PLUGIN_PATH = "/usr/lib/vmware/esxcli/ext/esxcli-vmkfstools.xml"
PREFIX = "vmkfstools-wrapper-"
VERIFICATION = "vmkfstools-verify-"
_NS = "{http://www.vmware.com/Products/ESX/5.0/esxcli/}"


@cache
def parse_plugin(xml: bytes) -> dict[str, tuple[dict[str, str], str]]:
    """Return the plugin's commands: long and short names of what they take, and the command line."""
    return {
        command.attrib["path"].partition(".")[2]: (
            {each.attrib["name"]: each.attrib["shortname"] for each in command.iter(f"{_NS}parameter")},
            command.findtext(f"{_NS}execute", "").strip(),
        )
        for command in ElementTree.fromstring(xml).iter(f"{_NS}command")  # noqa: S314 - ours
    }


def substitute(execute: str, arguments: Mapping[str, str]) -> str:
    """Put arguments, by their API names, into a command line as text."""
    return re.sub(r"\$val\{([^}]+)\}", lambda match: arguments.get(match[1].replace("-", ""), ""), execute)


class Script:
    """The wrapper, and what it leaves in the host's /tmp; the host's root lies below `root`."""

    version: str | None = VERSION

    def __init__(self, copies: Copies, root: Path, shell: str) -> None:
        self.copies = copies
        self.sandbox = Sandbox(root, copies.datastores, shell)
        self.sandbox.add_program(SCRIPT_PATH, SCRIPT.decode())
        self.programs = Programs(self.sandbox, copies)
        plugin = parse_plugin(PLUGIN_XML)
        self.commands = {name: options for name, (options, _) in plugin.items()}
        self._execute = {name: line for name, (_, line) in plugin.items()}

    @property
    def acceleration(self) -> Acceleration:
        """What the host tells of the array's part."""
        return self.programs.acceleration

    @property
    def tasks(self) -> list[str]:
        """The ids of the tasks whose folders exist."""
        return [each.removeprefix(PREFIX) for each in self.temporary if each.startswith(PREFIX)]

    @property
    def verifications(self) -> list[str]:
        """The same of comparisons."""
        return [each.removeprefix(VERIFICATION) for each in self.temporary if each.startswith(VERIFICATION)]

    @property
    def temporary(self) -> list[str]:
        """What lies in /tmp."""
        return sorted(each.name for each in self.sandbox.path("/tmp").iterdir())

    def answer(self, command: str, arguments: Mapping[str, str]) -> str:
        """Run a command of the plugin as hostd does; return what the script prints."""
        self.programs.publish()
        done = self.sandbox.run("/bin/sh", "-c", substitute(self._execute[command], arguments))
        text = done.stdout.decode(errors="surrogateescape")
        if command.startswith("clone") and done.returncode == 0:
            self._await(text)
        return text

    def _await(self, answer: str) -> None:
        """Wait until the new task's vmkfstools is at work or over: a lab wants to look at once."""
        match = re.search(r'"taskId": "([0-9a-f-]+)"', answer)
        folder = self.sandbox.path(f"/tmp/{PREFIX}{match[1]}") if match else None
        deadline = time.monotonic() + 10
        while folder and folder.exists() and match and time.monotonic() < deadline:
            if match[1] in self.copies.seen or (folder / "exitcode").exists():
                return
            time.sleep(0.002)

    def power_off(self) -> None:
        """End all that runs on the host."""
        self.sandbox.kill()

    def reboot(self) -> None:
        """Lose what is in memory: processes and /tmp."""
        self.power_off()
        for each in self.sandbox.path("/tmp").iterdir():
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()

    def close(self) -> None:
        """End all processes of the host, and the service for its stubs."""
        self.power_off()
        self.programs.close()
