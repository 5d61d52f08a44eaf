"""govmomi's own command line against the lab's vCenter: a client that knows nothing of ours."""

import json
import subprocess
from pathlib import Path

from tests.lab.tools import tool


class Failed(Exception):
    """govc ended with an error; the text is what it said."""


class Govc:
    """Runs commands of govc, each in a session of its own."""

    def __init__(self, url: str, username: str, password: str, ca_file: Path) -> None:
        self._environment = {
            "GOVC_URL": url,
            "GOVC_USERNAME": username,
            "GOVC_PASSWORD": password,
            "GOVC_TLS_CA_CERTS": str(ca_file),
            "GOVC_PERSIST_SESSION": "false",
        }

    def run(self, *words: str) -> str:
        """Return what a command prints; raises Failed."""
        done = subprocess.run(
            [str(tool("govc")), *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise Failed(done.stderr.strip())
        return done.stdout

    def esxcli(self, host: str, *words: str) -> list[dict[str, list[str]]]:
        """Run an esxcli command on a host, by its managed object id; govc asks for the command's description first."""
        text = self.run("host.esxcli", "-json", "-host", f"HostSystem:{host}", "--", *words)
        if not text.startswith("{"):
            return []  # a command that answers with a bare value, or with nothing
        rows: list[dict[str, list[str]]] = json.loads(text)["values"] or []
        return rows

    def table(self, host: str, *words: str) -> list[str]:
        """Return the lines that people see of the same."""
        return self.run("host.esxcli", "-host", f"HostSystem:{host}", "--", *words).splitlines()
