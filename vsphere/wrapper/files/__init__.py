"""What runs on the ESXi host: the wrapper around vmkfstools, the esxcli plugin that calls it, and what SSH starts.

The script is the one place of the version; whoever installs the files or speaks to them reads it from here.
"""

import re
from pathlib import Path

_FOLDER = Path(__file__).parent
SCRIPT = (_FOLDER / "vmkfstools-wrapper").read_bytes()
"""on the host: /opt/redhat/vmkfstools-wrapper, or on a datastore for the SSH method"""
PLUGIN_XML = (_FOLDER / "esxcli-vmkfstools.xml").read_bytes()
"""on the host: /usr/lib/vmware/esxcli/ext/esxcli-vmkfstools.xml"""


def key_line_shell(part: str) -> str:
    """Return a part of the shell of the key lines: `request`, `compatible` or `hardened`."""
    return (_FOLDER / f"key-line-{part}.sh").read_text(encoding="ascii")


def _constant(name: str) -> str:
    match = re.search(rf"^{name}=(.+)$", SCRIPT.decode(), re.MULTILINE)
    if not match:
        raise ValueError(f"the wrapper has no line {name}=…")
    return match[1].strip("'")


VERSION = _constant("VERSION")
CAPABILITIES = tuple(word.strip('"') for word in _constant("CAPABILITIES").split(","))
"""what `version` says the wrapper can do beyond version 0.3.3"""
