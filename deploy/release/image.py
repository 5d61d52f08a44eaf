"""The image of a release: built here or given, and what its archive says of it."""

import json
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import AGAIN, Refused, run

LABEL = "org.opencontainers.image."


@dataclass(frozen=True)
class Image:
    """The files of an image that is built."""

    archive: Path
    sbom: Path


def build_image(tree: Path, version: str, commit: str) -> Image:
    """Build the image of a version, from the tree, beside it."""
    archive = tree.with_name("image.tar")
    build = ("deploy/image/build.py", str(archive), f"--version={version}", f"--revision={commit}")
    run(tree, sys.executable, *build)
    return Image(archive, archive.with_suffix(".cdx.json"))


def add_image(image: Image, version: str, commit: str, files: Path) -> str:
    """Add the image's files, and return the digest by which registries know it."""
    archive = files / f"xcopy-populator-{version}.oci.tar"
    sbom = files / f"xcopy-populator-{version}.cdx.json"
    shutil.copyfile(image.archive, archive)
    shutil.copyfile(image.sbom, sbom)
    try:
        digest, labels = read_image(archive)
        if json.loads(sbom.read_bytes())["bomFormat"] != "CycloneDX":
            raise ValueError("the SBOM is not CycloneDX")
    except (tarfile.TarError, LookupError, TypeError, ValueError) as error:
        raise Refused(
            f"{image.archive}, {image.sbom}: not what `make image` writes: {error}.", AGAIN
        ) from error
    for label, wanted in (("version", version), ("revision", commit)):
        if (found := labels.get(f"{LABEL}{label}")) != wanted:
            raise Refused(f"{image.archive} is the image of {label} {found}, not of {wanted}.", AGAIN)
    return digest


def read_image(archive: Path) -> tuple[str, dict[str, str]]:
    """Return digest and labels of the one image of an OCI archive."""
    with tarfile.open(archive) as tar:

        def content(name: str) -> dict[str, Any]:
            member = tar.extractfile(name)
            found: dict[str, Any] = json.load(member) if member else {}
            return found

        (image,) = content("index.json")["manifests"]
        manifest = content(blob(image))
        config = content(blob(manifest["config"]))
        return image["digest"], config["config"]["Labels"]


def blob(descriptor: dict[str, Any]) -> str:
    """Return the name under which an OCI archive has what is described."""
    return f"blobs/{descriptor['digest'].replace(':', '/')}"
