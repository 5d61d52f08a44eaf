"""The line that lets the populator's key into an ESXi host: /etc/ssh/keys-root/authorized_keys. Pure.

A forced command: whatever a client asks for, the host runs what the line says, which starts the script on the datastore
that the request names (`DS=<datastore>;CMD=<operation> <arguments>`). Two forms. The compatible one runs whatever lies
there, for this program and the Go populator alike. The hardened one runs only a script with the checksum that the line
holds, from a copy that root alone can write to, and only from datastores that it names.

Neither evaluates anything of the request. `sh <file>` satisfies `execInstalledOnly` of ESXi 8: what is executed is the
host's own shell, which reads the script.
"""

import hashlib
from collections.abc import Sequence

from vsphere.errors import VsphereError

FILE = "/etc/ssh/keys-root/authorized_keys"
SCRIPT = "secure-vmkfstools-wrapper"
"""name of the script in a datastore's root"""
OPTIONS = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-pty"
READY = "SSH_OK"
"""what a host that is set up says to a request without a datastore"""
PIN = "pin"
"""the operation, without a datastore, to which the hardened form answers the checksum"""
REFUSAL = "key line: "
"""how messages of the line itself begin"""
NOT_PINNED = f"{REFUSAL}the script on the datastore is not the one that this line was made for"
NO_DATASTORE = f"{REFUSAL}this is no datastore"
NOT_LISTED = f"{REFUSAL}it does not allow this datastore"

SPLIT = (
    'C=$SSH_ORIGINAL_COMMAND; D=${C#DS=}; D=${D%%;*}; A=${C#"DS=$D;CMD="}; '
    "no() { echo \"<output xmlns='http://www.vmware.com/Products/ESX/5.0/esxcli/'><structure typeName='result'>"
    "<field name='status'><string>1</string></field><field name='message'><string>$1</string></field>"
    '</structure></output>"; exit 1; }; '
    f"""[ "$A" != "$C" ] || no '{REFUSAL}this is not a request of the populator'; """
    'export SSH_ORIGINAL_COMMAND="$A"; '
)
"""takes a request apart: D is the datastore, A the rest"""
COMPATIBLE = (
    SPLIT + f"case $D in '') echo {READY}; exit;; */*|.|..) no '{NO_DATASTORE}';; esac; "
    f'exec sh "/vmfs/volumes/$D/{SCRIPT}"'
)
HARDENED = (
    SPLIT + f"P=@sha256@; case $D in '') case $A in {PIN}) echo $P;; *) echo {READY};; esac; exit;; "
    f"*/*|.|..) no '{NO_DATASTORE}';; @datastores@) ;; *) no '{NOT_LISTED}';; esac; "
    "umask 077; T=/tmp/.populator-$P; mkdir $T 2>/dev/null; "
    f"{{ [ -d $T ] && [ ! -h $T ] && [ -O $T ]; }} || no '{REFUSAL}somebody else made the folder for the script'; "
    'is() { set -- $(sha256sum $1 2>/dev/null); [ "$1" = $P ]; }; '
    f'is $T/script || {{ cp "/vmfs/volumes/$D/{SCRIPT}" $T/$$ 2>/dev/null; is $T/$$ && mv -f $T/$$ $T/script; '
    f"}} || {{ rm -f $T/$$; no '{NOT_PINNED}'; }}; exec sh $T/script"
)


def compatible(public_key: str) -> str:
    """Return the line that runs whatever script lies on the datastore."""
    return _line(COMPATIBLE, public_key)


def hardened(public_key: str, script: bytes, datastores: Sequence[str] = ()) -> str:
    """Return the line that runs this script only, from these datastores only (from any where none is named)."""
    patterns = "|".join(_pattern(name) for name in datastores) or "*"
    text = HARDENED.replace("@sha256@", checksum(script)).replace("@datastores@", patterns)
    return _line(text, public_key)


def checksum(script: bytes) -> str:
    """Return what a hardened line pins."""
    return hashlib.sha256(script).hexdigest()


def _pattern(datastore: str) -> str:
    """Return a datastore's name as a pattern of the shell that matches just this name."""
    if not datastore.strip(".") or not datastore.isprintable() or set(datastore) & set("/;"):
        raise VsphereError(f"{datastore!r} is no datastore's name that the SSH method can use.")
    return "'" + datastore.replace("'", "'\"'\"'") + "'"


def _line(command: str, public_key: str) -> str:
    # sshd undoes nothing but \" in the quoted text.
    quoted = command.replace('"', '\\"')
    return f'command="{quoted}",{OPTIONS} {public_key}'
