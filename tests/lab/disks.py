"""Virtual disks as a VMFS datastore holds them: a text descriptor and an extent, with known contents.

A disk's extent is flat. A delta's is a sparse file here: where it has data, that is the disk's; its holes are the
parent's bytes. (The real format, seSparse, keeps a table of grains instead.)

The lab copies them for real, so what a test puts in here can be read back from the LUN's file. No root, no
mounting: a file system is an ISO 9660 image written and read by pycdlib.
"""

import io
import os
import random
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pycdlib

from tests.lab.san import data_regions

MIB = 1 << 20
SECTOR = 512
GRAIN = 4096
"""bytes: the unit in which a delta holds what was written"""

Content = bytes | int | Callable[[int, int], bytes]

DESCRIPTOR = """# Disk DescriptorFile
version=1
encoding="UTF-8"
CID={cid}
parentCID={parent_cid}
createType="{kind}"
{hint}
# Extent description
RW {sectors} {extent_kind} "{extent}"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.virtualHWVersion = "19"
"""


def make_vmdk(folder: Path, name: str, size: int, content: Content = 0) -> Path:
    """Create `<name>` (`disk.vmdk`) and its flat extent; return the descriptor's path.

    `content` is all of the disk's first bytes (the rest stays zero), a seed of pseudo-random bytes of which
    no MiB equals another, or a function of offset and length.
    """
    descriptor, flat = _describe(folder, name, size)
    with flat.open("wb") as file:
        file.truncate(size)
        for piece in _pieces(content, size):
            file.write(piece)
    return descriptor


def make_sparse_vmdk(folder: Path, name: str, size: int, islands: Mapping[int, bytes]) -> Path:
    """Create a thin disk that is one hole, but for bytes at some offsets; of any size in no time."""
    descriptor, flat = _describe(folder, name, size)
    with flat.open("wb") as file:
        file.truncate(size)
        for offset, data in islands.items():
            file.seek(offset)
            file.write(data)
    return descriptor


def make_delta(
    folder: Path, name: str, parent: Path, size: int, writes: Mapping[int, bytes], hint: str = ""
) -> Path:
    """Create a link of a chain above `parent`: what was written at some offsets, in whole grains, since a snapshot.

    `hint` is where the descriptor says that the parent lies: beside it, or a path on the host.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = folder / name
    extent = extent_of(descriptor, delta=True)
    with extent.open("wb") as file:
        file.truncate(size)
        for offset, data in writes.items():
            if offset % GRAIN or len(data) % GRAIN:
                raise ValueError("a delta is written in whole grains")
            file.seek(offset)
            file.write(data)
    parent_cid = _field(parent, "CID")
    hint = f'parentFileNameHint="{hint or parent.name}"\n'
    text = _descriptor(size, extent.name, cid(descriptor), "seSparse", "SESPARSE", parent_cid, hint)
    descriptor.write_text(text, encoding="utf-8")
    return descriptor


def make_filesystem_disk(
    folder: Path, name: str, files: Mapping[str, bytes], size: int, seed: int = 0
) -> Path:
    """Create a disk that starts with a file system holding `files` (plain names) and ends in seeded noise."""
    image = _iso(files)
    if len(image) > size:
        raise ValueError(f"the file system takes {len(image)} bytes, the disk has {size}")

    def content(offset: int, length: int) -> bytes:
        head = image[offset : offset + length]
        return head + noise(seed, offset, length)[len(head) :]

    return make_vmdk(folder, name, size, content)


def noise(seed: int, offset: int, length: int) -> bytes:
    """Return pseudo-random bytes that depend on the seed and on the MiB they lie in."""
    first, last = offset // MIB, (offset + length - 1) // MIB
    blocks = (random.Random(f"{seed}:{n}").randbytes(MIB) for n in range(first, last + 1))
    return b"".join(blocks)[offset - first * MIB :][:length]


def flat_of(descriptor: Path) -> Path:
    """Return where the bytes of a disk without parents are."""
    return extent_of(descriptor, delta=False)


def extent_of(descriptor: Path, *, delta: bool) -> Path:
    """Return the file of a link's own bytes."""
    return descriptor.with_name(f"{descriptor.stem}-{'sesparse' if delta else 'flat'}.vmdk")


def cid(descriptor: Path) -> str:
    """Return a content id for a new disk, which its children will remember."""
    return f"{zlib.crc32(str(descriptor).encode()):08x}"


def shown_by(descriptor: Path, datastores: Path) -> bytes:
    """Return all bytes of a disk as seen at this link of its chain: its own, and what it inherits."""
    hint = _field(descriptor, "parentFileNameHint")
    if not hint:
        return flat_of(descriptor).read_bytes()
    absolute = hint.startswith("/vmfs/volumes/")
    parent = datastores / hint.removeprefix("/vmfs/volumes/") if absolute else descriptor.with_name(hint)
    extent = extent_of(descriptor, delta=True)
    size = extent.stat().st_size
    shown = bytearray(shown_by(parent, datastores)[:size].ljust(size, b"\0"))
    with extent.open("rb") as file:
        for start, end in data_regions(file.fileno(), 0, size):
            shown[start:end] = os.pread(file.fileno(), end - start, start)
    return bytes(shown)


def same_bytes(descriptor: Path, lun: Path) -> bool:
    """Whether a LUN's file starts with exactly the bytes of a disk without parents; holes equal zeros."""
    with flat_of(descriptor).open("rb") as left, lun.open("rb") as right:
        while ours := left.read(MIB):
            if right.read(len(ours)) != ours:
                return False
    return True


def read_files(path: Path) -> dict[str, bytes]:
    """Return the files of the file system at the start of a LUN's file or a flat extent."""
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    found = {}
    try:
        for directory, _, names in iso.walk(rr_path="/"):
            for name in names:
                data = io.BytesIO()
                iso.get_file_from_iso_fp(data, rr_path=f"{directory.rstrip('/')}/{name}")
                found[name] = data.getvalue()
    finally:
        iso.close()
    return found


def _describe(folder: Path, name: str, size: int) -> tuple[Path, Path]:
    if size % SECTOR:
        raise ValueError("a disk is made of whole sectors")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = folder / name
    flat = flat_of(descriptor)
    text = _descriptor(size, flat.name, cid(descriptor), "vmfs", "VMFS")
    descriptor.write_text(text, encoding="utf-8")
    return descriptor, flat


def _descriptor(
    size: int, extent: str, own: str, kind: str, extent_kind: str, parent: str = "ffffffff", hint: str = ""
) -> str:
    sectors = size // SECTOR
    return DESCRIPTOR.format(
        cid=own,
        parent_cid=parent,
        kind=kind,
        hint=hint,
        sectors=sectors,
        extent_kind=extent_kind,
        extent=extent,
        cylinders=max(1, sectors // (255 * 63)),
    )


def _field(descriptor: Path, name: str) -> str:
    found = re.search(rf'^{name}="?([^"\n]*)"?$', descriptor.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def _pieces(content: Content, size: int) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content[:size]
        return
    for offset in range(0, size, MIB):
        length = min(MIB, size - offset)
        yield noise(content, offset, length) if isinstance(content, int) else content(offset, length)


def _iso(files: Mapping[str, bytes]) -> bytes:
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09")
    for number, (name, data) in enumerate(files.items()):
        iso.add_fp(io.BytesIO(data), len(data), f"/F{number}.;1", rr_name=name)
    out = io.BytesIO()
    iso.write_fp(out)
    iso.close()
    return out.getvalue()
