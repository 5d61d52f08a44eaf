"""Paths of virtual disks: vSphere's spelling, the host's, and what the host's plugin cannot be told safely.

Pure. A datastore path is `[datastore] folder/disk.vmdk`; names may hold spaces, brackets, quotes, `&<>`, Unicode.
"""

import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

from vsphere.errors import VsphereError

UNSAFE = {
    "'": "a single quote",
    '"': "a double quote",
    "\\": "a backslash",
    "$": "a dollar sign",
    "`": "a backtick",
    ";": "a semicolon",
}
"""The stock plugin puts the path between single quotes of a shell line, its script once more into another one."""


@dataclass(frozen=True)
class VmdkPath:
    """A virtual disk's place."""

    datastore: str
    file: str
    """`folder/disk.vmdk`, folders of any depth"""

    def __str__(self) -> str:
        """Return vSphere's spelling."""
        return f"[{self.datastore}] {self.file}"

    @property
    def host_path(self) -> str:
        """Return the path as the host's commands want it."""
        return f"/vmfs/volumes/{self.datastore}/{self.file}"


def parse_vmdk(text: str) -> VmdkPath:
    """Parse `[datastore] folder/disk.vmdk`; raise `VsphereError` saying what is wrong with it."""
    end = _end_of_datastore(text)
    path = VmdkPath(text[1:end], text[end + 1 :].lstrip(" ")) if end > 0 else VmdkPath("", "")
    reason = _malformed(path)
    if reason:
        raise VsphereError(
            f"{text!r} is not the path of a virtual disk: {reason}.",
            "It has the form [datastore] folder/disk.vmdk.",
        )
    return path


def _end_of_datastore(text: str) -> int:
    """Return where the bracket closes that the text begins with, or -1.

    A datastore's name may hold brackets: a closing one counts when no inner one is open and a space follows; where
    the name's brackets do not pair, the first one with a space after it.
    """
    if not text.startswith("["):
        return -1
    depth = 0
    for place, character in enumerate(text):
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "]" and depth <= 0 and text[place + 1 : place + 2] == " ":
            return place
    return text.find("] ")


def _malformed(path: VmdkPath) -> str:
    if not path.datastore.strip():
        return "it does not begin with a datastore's name in brackets and a space"
    if "/" in path.datastore:
        return "there is a slash in the datastore's name"
    if not path.file.endswith(".vmdk"):
        return "it does not end in .vmdk"
    parts = path.file.split("/")
    if "" in parts or "." in parts or ".." in parts or parts[-1] == ".vmdk":
        return "a folder's or the file's name is empty, '.' or '..'"
    return ""


def encode(path: VmdkPath) -> str:
    """Return the path on the host for a wrapper that decodes: plain letters only, whatever is in the names.

    Raises `VsphereError` where a name holds half a character, which has no bytes.
    """
    try:
        return "pct:" + quote(path.host_path, safe="/").replace("~", "%7E")
    except UnicodeEncodeError as error:
        raise _refusal(path, "half of a character in its name") from error


def refuse_unsafe(path: VmdkPath) -> None:
    """Raise `VsphereError` naming the character that the host's plugin cannot be told safely, if there is one."""
    for character in path.host_path:
        name = UNSAFE.get(character) or _unprintable(character)
        if name:
            raise _refusal(path, f"{name} in its name")
    if ".." in path.host_path:
        raise _refusal(
            path, "two dots in a row in its name, which the host's script takes for a parent folder"
        )


def _unprintable(character: str) -> str:
    """Name a control character, or half a character that cannot be sent at all."""
    if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return f"the control character U+{ord(character):04X}"
    return ""


def _refusal(path: VmdkPath, reason: str) -> VsphereError:
    return VsphereError(
        f"The disk {str(path)!r} cannot be copied by the host's plugin: it has {reason}.",
        "Rename the datastore or folder, or move the VM to one without it (Storage vMotion renames files).",
    )
