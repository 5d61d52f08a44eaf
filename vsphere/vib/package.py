"""A VIB as the installer needs it: what is in it, and the digests by which a host is checked.

Reads our own as well as Forklift's; refuses anything else with a sentence.
"""

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from vsphere.errors import Setting, VsphereError
from vsphere.vib.build import MAGIC, NAME, PLUGIN_FILE, SCRIPT_FILE, TOKEN


@dataclass(frozen=True)
class Package:
    """A VIB of the vmkfstools wrapper; the digests are SHA-256."""

    version: str
    vendor: str
    data: bytes = field(repr=False)
    digest: str
    script_digest: str
    plugin_digest: str
    commands: tuple[str, ...]
    """of the esxcli namespace `vmkfstools`"""


def parse_package(data: bytes) -> Package:
    """Return what a VIB holds."""
    try:
        members = split_archive(data)
        descriptor = ET.fromstring(members["descriptor.xml"])  # noqa: S314 - no entities: expat limits them
        payloads = [each.get("name", "") for each in descriptor.iter("payload")]
        files = {name: content for each in payloads for name, content in unpack(members[each]).items()}
        facts = {name: descriptor.findtext(name) or "" for name in ("name", "version", "vendor")}
        script, plugin = files[SCRIPT_FILE], files[PLUGIN_FILE]
        commands = commands_of(plugin)
    except (ValueError, KeyError, ET.ParseError, tarfile.TarError, OSError, EOFError, zlib.error) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or "it is cut short"
        raise VsphereError(
            f"The file is not a VIB of {NAME}: {reason}.", "Build one.", Setting.VIB
        ) from error
    if facts["name"] != NAME or not all(map(TOKEN.fullmatch, facts.values())):
        raise VsphereError(f"The VIB is {facts['name']!r}, not {NAME}.", "Build one.", Setting.VIB)
    return Package(
        facts["version"], facts["vendor"], data, _sha256(data), _sha256(script), _sha256(plugin), commands
    )


def split_archive(data: bytes) -> dict[str, bytes]:
    """Return the members of an ar archive by name."""
    if not data.startswith(MAGIC):
        raise ValueError("it is no ar archive")
    members, at = {}, len(MAGIC)
    while at < len(data):
        header = data[at : at + 60].decode("ascii")
        size, at = int(header[48:58]), at + 60
        members[header[:16].rstrip().rstrip("/")] = data[at : at + size]
        at += size + size % 2
    return members


def unpack(payload: bytes) -> dict[str, bytes]:
    """Return the files of a gzipped tar by path."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(payload))) as tar:
        for entry in tar:
            if content := tar.extractfile(entry) if entry.isfile() else None:
                found[entry.name.removeprefix("./")] = content.read()
    return found


def commands_of(plugin: bytes) -> tuple[str, ...]:
    """Return the commands that an esxcli plugin's XML declares; their names go onto a command line."""
    paths = [each.get("path", "") for each in ET.fromstring(plugin).iter() if each.tag.endswith("}command")]  # noqa: S314 - see above
    names = tuple(path.rpartition(".")[2] for path in paths)
    if not names or not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", name) for name in names):
        raise ValueError("its plugin has no commands")
    return names


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
