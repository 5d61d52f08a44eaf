"""The image of a release: built here or given, and what its archive says of it."""

import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import IO, Any

from commands import AGAIN, Refused, run

LABEL = "org.opencontainers.image."
SBOM = "opt/populator/sbom.cdx.json"


def build_image(tree: Path, version: str, commit: str) -> Path:
    """Build the image of a version from the tree, and return its archive, beside it."""
    archive = tree.with_name("image.tar")
    build = ("deploy/image/build.py", str(archive), f"--version={version}", f"--revision={commit}")
    print("Building the image: some minutes.", file=sys.stderr)
    run(tree, sys.executable, *build)
    return archive


def add_image(image: Path, version: str, commit: str, files: Path) -> str:
    """Add the image's archive and SBOM, and return the digest by which registries know it."""
    archive = files / f"xcopy-populator-{version}.oci.tar"
    shutil.copyfile(image, archive)
    try:
        digest, labels, sbom = read_image(archive)
    except (tarfile.TarError, LookupError, TypeError, ValueError) as error:
        raise Refused(f"{image} is no OCI archive of one image with its SBOM: {error}.", AGAIN) from error
    for label, wanted in (("version", version), ("revision", commit)):
        if (found := labels.get(f"{LABEL}{label}")) != wanted:
            raise Refused(f"{image} is the image of {label} {found}, not of {wanted}.", AGAIN)
    (files / f"xcopy-populator-{version}.cdx.json").write_bytes(sbom)
    return digest


def read_image(archive: Path) -> tuple[str, dict[str, str], bytes]:
    """Return digest, labels and SBOM of the one image of an OCI archive."""
    with tarfile.open(archive) as tar:
        (image,) = json.load(member(tar, "index.json"))["manifests"]
        manifest = json.load(member(tar, blob(image)))
        labels = json.load(member(tar, blob(manifest["config"])))["config"]["Labels"]
        for layer in reversed(manifest["layers"]):
            with tarfile.open(fileobj=member(tar, blob(layer))) as files:
                if SBOM in files.getnames():
                    return image["digest"], labels, member(files, SBOM).read()
    raise LookupError(f"no {SBOM}")


def blob(descriptor: dict[str, Any]) -> str:
    """Return the name under which an OCI archive has what is described."""
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    """Return a file of an archive, to be read."""
    if found := tar.extractfile(name):
        return found
    raise LookupError(f"{name} is no file")
