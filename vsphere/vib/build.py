"""The VIB, ESXi's software package, of the vmkfstools wrapper: the same bytes each time, on any machine.

A VIB is an `ar` archive of a descriptor, a signature (empty, since ours is not signed: acceptance level community)
and payloads, here one gzipped tar. The package has the name of Forklift's own, so that installing either replaces the
other, and says so for older versions by a `replaces` relation too, since the vendor is another one.
"""

import hashlib
import io
import re
import struct
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from vsphere.errors import VsphereError

NAME = "vmkfstools-wrapper"
VENDOR = "xcopy-populator"
"""not REDHAT: what is not theirs does not carry their name; hosts replace by name"""
SUMMARY = "vmkfstools for the vSphere XCOPY volume populator"
DESCRIPTION = (
    "The esxcli namespace vmkfstools, with which a vSphere XCOPY volume populator has this host clone a virtual "
    "disk onto a LUN of its storage array."
)
RELEASED = "2026-11-25T00:00:00+00:00"
"""fixed, since the file must not depend on when it was built"""
SCRIPT_FILE = "opt/redhat/vmkfstools-wrapper"
PLUGIN_FILE = "usr/lib/vmware/esxcli/ext/esxcli-vmkfstools.xml"
PAYLOAD = "vmkfsw"
MAGIC = b"!<arch>\n"
TOKEN = re.compile(r"[0-9A-Za-z._-]{1,35}")
"""what a host takes as name, vendor and version"""
SUMMARY_LIMIT = 80
STORED_LIMIT = 0xFFFF


def build_vib(script: bytes, plugin: bytes, version: str) -> bytes:
    """Return the VIB of a script and its esxcli plugin; raise where a host would refuse it."""
    check_limits(version)
    tar = pack_tar({SCRIPT_FILE: (script, 0o755), PLUGIN_FILE: (plugin, 0o644)})
    payload = wrap_gzip(tar)
    descriptor = describe(version, tar, payload)
    # The host checks the order: descriptor, signature, then the payloads.
    return MAGIC + b"".join(
        pack_member(name, data)
        for name, data in (("descriptor.xml", descriptor), ("sig.pkcs7", b""), (PAYLOAD, payload))
    )


def check_limits(version: str, summary: str = SUMMARY) -> None:
    """Raise where a host would refuse the descriptor."""
    if not TOKEN.fullmatch(version):
        raise VsphereError(
            f"{version!r} cannot be the version of a VIB: 1 to 35 letters, digits, dots, dashes and underscores.",
            "Correct the version in the wrapper script.",
        )
    if len(summary) > SUMMARY_LIMIT or not summary.isprintable():
        raise VsphereError(
            f"A VIB's summary is one line of {SUMMARY_LIMIT} characters at most.", "Shorten it."
        )


def pack_tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    """Return a tar of files by path (bytes, mode), every folder above them as an entry: the host makes none itself."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in folders_of(files):
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
        for path, (data, mode) in files.items():
            entry = _entry(path, tarfile.REGTYPE, mode)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def folders_of(paths: Iterable[str]) -> list[str]:
    """Return all folders above the paths, outer ones first."""
    found = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    return sorted(found - {"."})


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.uname, entry.gname = kind, mode, "root", "root"
    return entry


def wrap_gzip(data: bytes) -> bytes:
    """Return the data as a gzip file of stored blocks.

    Not by `gzip`: what deflate makes of data depends on the zlib that Python was built with, stored blocks do not.
    """
    header = b"\x1f\x8b\x08\0" + b"\0\0\0\0" + b"\0\xff"  # deflate, no name, no time, no system
    blocks = []
    for at in range(0, len(data), STORED_LIMIT):
        piece, last = data[at : at + STORED_LIMIT], at + STORED_LIMIT >= len(data)
        blocks.append(struct.pack("<BHH", last, len(piece), len(piece) ^ 0xFFFF) + piece)
    return header + b"".join(blocks) + struct.pack("<II", zlib.crc32(data), len(data))


def describe(version: str, tar: bytes, payload: bytes) -> bytes:
    """Return the descriptor; the order of its elements is fixed."""
    vib = ET.Element("vib", version="5.0")
    _add(vib, ("type", "bootbank"), ("name", NAME), ("version", version), ("vendor", VENDOR))
    _add(vib, ("summary", SUMMARY), ("description", DESCRIPTION), ("release-date", RELEASED))
    ET.SubElement(vib, "urls")
    relations = ET.SubElement(vib, "relationships")
    for relation in ("depends", "conflicts", "replaces", "provides", "compatibleWith"):
        ET.SubElement(relations, relation)
    older = {"name": NAME, "relation": "<<", "version": version}
    ET.SubElement(_find(relations, "replaces"), "constraint", older)
    ET.SubElement(vib, "software-tags")
    _add(ET.SubElement(vib, "system-requires"), ("maintenance-mode", "false"))
    _add(ET.SubElement(vib, "file-list"), ("file", SCRIPT_FILE), ("file", PLUGIN_FILE))
    _add(vib, ("acceptance-level", "community"), ("live-install-allowed", "true"))
    _add(vib, ("live-remove-allowed", "true"), ("cimom-restart", "false"))
    _add(vib, ("stateless-ready", "true"), ("overlay", "false"))
    attributes = {"name": PAYLOAD, "type": "tgz", "size": str(len(payload))}
    element = ET.SubElement(ET.SubElement(vib, "payloads"), "payload", attributes)
    _checksum(element, hashlib.sha256(payload).hexdigest(), {"checksum-type": "sha-256"})
    # ESXi 8 refuses an image without this one.
    unpacked = {"checksum-type": "sha-256", "verify-process": "gunzip"}
    _checksum(element, hashlib.sha256(tar).hexdigest(), unpacked)
    old = {"checksum-type": "sha-1", "verify-process": "gunzip"}
    _checksum(element, hashlib.sha1(tar, usedforsecurity=False).hexdigest(), old)
    ET.indent(vib)
    return f"{ET.tostring(vib, encoding='unicode')}\n".encode()


def _add(parent: ET.Element, *facts: tuple[str, str]) -> None:
    for name, value in facts:
        ET.SubElement(parent, name).text = value


def _find(parent: ET.Element, name: str) -> ET.Element:
    return next(child for child in parent if child.tag == name)


def _checksum(payload: ET.Element, digest: str, attributes: dict[str, str]) -> None:
    ET.SubElement(payload, "checksum", attributes).text = digest


def pack_member(name: str, data: bytes) -> bytes:
    """Return a member of an ar archive, named as GNU ar does, which is how Forklift's VIBs are made."""
    header = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n"
    return header.encode("ascii") + data + b"\n" * (len(data) % 2)
