"""The line that lets the populator's key into an ESXi host: /etc/ssh/keys-root/authorized_keys. Pure.

A forced command: whatever a client asks for, the host runs what the line says, which starts the script on the datastore
that the request names (`DS=<datastore>;CMD=<operation> <arguments>`). Two forms. The compatible one runs whatever lies
there, for this program and the Go populator alike. The hardened one runs only a script with the checksum that the line
holds, from a copy that root alone can write to, and only from datastores that it names.

The shell of both is in `files/key-line-*.sh`. Neither evaluates anything of the request. `sh <file>` satisfies
`execInstalledOnly` of ESXi 8: what is executed is the host's own shell, which reads the script.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

from vsphere.errors import VsphereError
from vsphere.wrapper.files import key_line_shell

FILE = "/etc/ssh/keys-root/authorized_keys"
SCRIPT = "secure-vmkfstools-wrapper"
"""name of the script in a datastore's root"""
OPTIONS = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-pty"
READY = "SSH_OK"
"""what a host that is set up says to a request without a datastore"""
PIN = "pin"
"""the operation, without a datastore, to which the hardened form answers the checksum"""
RENAME = "Rename the datastore, or use the method vib."
REFUSAL = "key line: "
"""how messages of the line itself begin"""
NOT_PINNED = f"{REFUSAL}the script on the datastore is not the one that this line was made for"
NO_DATASTORE = f"{REFUSAL}this is no datastore"
NOT_LISTED = f"{REFUSAL}it does not allow this datastore"

WORDS = {
    "refusal": REFUSAL,
    "ready": READY,
    "pin": PIN,
    "script": SCRIPT,
    "not-pinned": NOT_PINNED,
    "no-datastore": NO_DATASTORE,
    "not-listed": NOT_LISTED,
}
"""what the shell has between at signs"""


def compatible(public_key: str) -> str:
    """Return the line that runs whatever script lies on the datastore."""
    return _line(_command("compatible", WORDS), public_key)


def hardened(public_key: str, script: bytes, datastores: Sequence[str] = ()) -> str:
    """Return the line that runs this script only, from these datastores only (from any where none is named)."""
    patterns = "|".join(_pattern(name) for name in datastores) or "*"
    words = {**WORDS, "sha256": checksum(script), "datastores": patterns}
    return _line(_command("hardened", words), public_key)


def checksum(script: bytes) -> str:
    """Return what a hardened line pins."""
    return hashlib.sha256(script).hexdigest()


def _pattern(datastore: str) -> str:
    """Return a datastore's name as a pattern of the shell that matches just this name."""
    if not datastore.strip(".") or not datastore.isprintable() or set(datastore) & set("/;"):
        raise VsphereError(f"{datastore!r} is no datastore's name that the SSH method can use.", RENAME)
    return "'" + datastore.replace("'", "'\"'\"'") + "'"


def _command(form: str, words: Mapping[str, str]) -> str:
    """Return the shell of a form as one line: without comments and indentation, with the words put in."""
    text = "".join(key_line_shell(part) for part in ("request", form))
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = " ".join(line for line in lines if line).replace("\\ ", "")
    return re.sub(r"@([a-z0-9-]+)@", lambda found: words[found[1]], joined)


def _line(command: str, public_key: str) -> str:
    # sshd undoes nothing but \" in the quoted text.
    quoted = command.replace('"', '\\"')
    return f'command="{quoted}",{OPTIONS} {public_key}'
