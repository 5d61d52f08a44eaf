"""The commands that the installer has a host run, each with its timeout, and their answers as values.

Every word of a command is fixed here; nothing that a user or a host said becomes part of one. What a host itself
said to a failing command is in the error.
"""

import re
import secrets
import shlex
from dataclasses import dataclass

from vsphere.errors import VsphereError
from vsphere.host.ssh import Output
from vsphere.vib.build import NAME, PLUGIN_FILE, SCRIPT_FILE
from vsphere.vib.decision import Facts, Installed
from vsphere.vib.package import Package
from vsphere.vib.shell import Shell

SECURE_BOOT = "/usr/lib/vmware/secureboot/bin/secureBoot.py"
NOT_COPIED, CHANGED = 91, 92
"""exit codes of the installing script, before anything but a temporary file was touched"""
PUT_AND_INSTALL = """umask 077
trap 'rm -f {file}' EXIT
trap 'exit 1' HUP INT TERM PIPE
cat >{file} || exit {not_copied}
sum=$(sha256sum {file}) || exit {not_copied}
case $sum in "{digest} "*) ;; *) echo "copied as $sum" >&2; exit {changed} ;; esac
esxcli software vib install -v {file}{force}
exit $?
"""
"""One script, so that the temporary file goes whatever becomes of the connection: when that is lost the copy ends
early, its checksum differs, and the host's own shell removes it."""
COPYING = re.compile(r"vmkfstools\s+-i\s.*?(?:rdm:\S*/([\w.:-]+)|$)", re.MULTILINE)
ANSWERED = re.compile(r'"version"\s*:\s*"([^"]*)"')


@dataclass(frozen=True)
class Limits:
    """Seconds that a command may take."""

    ask: float = 60.0
    change: float = 600.0
    """an installation or removal: the host rewrites its boot bank"""
    restart: float = 180.0
    """the call that restarts hostd"""


class HostSoftware:
    """The packages of one host, by its shell."""

    def __init__(self, shell: Shell, limits: Limits = Limits()) -> None:
        self._shell, self._limits = shell, limits

    def look(self, package: Package) -> Facts:
        """Find out how the host stands to the package; changes nothing."""
        script, plugin = (self._digest(f"/{path}") for path in (SCRIPT_FILE, PLUGIN_FILE))
        answers = self.answers()
        return Facts(
            installed=self.installed(),
            level=self._ask("esxcli software acceptance get").stdout.strip(),
            secure_boot=self._secure_boot(),
            script_digest=script,
            plugin_digest=plugin,
            answers=answers,
            complete=bool(answers) and self.knows(package.commands),
            copies=self._copies(),  # last, right before something is done about the rest
        )

    def installed(self) -> Installed | None:
        """Return the package as the host lists it."""
        for line in self._ask("esxcli software vib list").stdout.splitlines():
            columns = line.split()
            if len(columns) > 2 and columns[0] == NAME:
                return Installed(columns[1], columns[2])
        return None

    def answers(self) -> str:
        """Return the version that the plugin reports through hostd; empty where it cannot be called."""
        output = self._shell.run("esxcli vmkfstools version", seconds=self._limits.ask)
        found = ANSWERED.search(output.stdout) if output.status == 0 else None
        return found[1] if found else ""

    def knows(self, commands: tuple[str, ...]) -> bool:
        """Whether hostd knows these commands of the plugin."""
        asked = " && ".join(f"esxcli vmkfstools {name} --help >/dev/null" for name in commands)
        return self._shell.run(asked, seconds=self._limits.ask).status == 0

    def hostd_answers(self) -> bool:
        """Whether hostd is there."""
        return self._shell.run("esxcli system version get", seconds=self._limits.ask).status == 0

    def install(self, package: Package, *, force: bool) -> Output:
        """Copy the package to the host, check it there, and install it; no copy of it is left."""
        file = f"/tmp/xcopy-populator-{secrets.token_hex(8)}.vib"  # noqa: S108 - the one place a host has for it
        script = PUT_AND_INSTALL.format(
            file=file,
            digest=package.digest,
            force=" --force" if force else "",
            not_copied=NOT_COPIED,
            changed=CHANGED,
        )
        output = self._shell.run(f"sh -c {shlex.quote(script)}", package.data, self._limits.change)
        if output.status in {NOT_COPIED, CHANGED}:
            raise VsphereError(
                f"The VIB could not be copied to /tmp: {said(output)}",
                "Make room in the host's /tmp (vdf -h shows it); nothing was changed.",
            )
        return require(output, "esxcli software vib install failed")

    def remove(self) -> Output:
        """Remove the package."""
        return self._do(f"esxcli software vib remove -n {NAME}", self._limits.change)

    def restart_hostd(self) -> None:
        """Restart hostd; returns before it answers again."""
        self._do("/etc/init.d/hostd restart", self._limits.restart)

    def _secure_boot(self) -> bool | None:
        """Return whether it is on; the words count, since nobody says what the exit code means."""
        output = self._shell.run(f"[ ! -e {SECURE_BOOT} ] || {SECURE_BOOT} -s", seconds=self._limits.ask)
        answer = output.stdout.strip().lower()
        if answer in {"enabled", "disabled"}:
            return answer == "enabled"
        if answer or output.status:
            raise VsphereError(
                f"The host does not report whether Secure Boot is on: {said(output)}",
                f"Ask it: {SECURE_BOOT} -s; nothing was changed.",
            )
        return None

    def _copies(self) -> tuple[str, ...]:
        """Return what is being copied onto, whoever began it: the stock wrapper cannot list its tasks."""
        found = {match[1] or "" for match in COPYING.finditer(self._ask("ps -c").stdout)}
        return tuple(sorted(found - {""})) or ("an unknown target",) * len(found)

    def _digest(self, file: str) -> str:
        output = self._ask(f"[ ! -e {file} ] || sha256sum {file}")
        return output.stdout.partition(" ")[0].strip()

    def _ask(self, command: str) -> Output:
        return self._do(command, self._limits.ask)

    def _do(self, command: str, seconds: float) -> Output:
        return require(self._shell.run(command, seconds=seconds), f"{command} failed")


def require(output: Output, text: str) -> Output:
    """Return the output of a command that succeeded; else raise with what the host said."""
    if output.status:
        raise VsphereError(
            f"{text} (exit code {output.status}): {said(output)}", "Try that command on the host."
        )
    return output


def said(output: Output) -> str:
    """Return what a host said, on one line."""
    text = " ".join(f"{output.stderr} {output.stdout}".split())
    return f"{text[:600] or 'the host says nothing'}."
