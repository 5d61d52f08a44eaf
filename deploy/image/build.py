"""Builds the image with buildah on a stand-in base, into an OCI archive, with its SBOM beside it.

The stand-in is Debian's Python, made by mmdebstrap and kept in the user's cache: for machines that reach no registry of
images, and for the tests. Users build on the Dockerfile's own base: `docker build .` (deploy/docs/image.md).
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
SBOM = "opt/populator/sbom.cdx.json"
SUITE = "bookworm"
PYTHON = "/usr/lib/python3.11"
PACKAGES = "base-files,dash,coreutils,libc-bin,python3-venv,ca-certificates"
BASE = [
    "mmdebstrap", "--quiet", "--mode=root", "--variant=extract",
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    # Unpacked packages only: what would compile Python's own library is a script that does not run.
    f'--extract-hook=chroot "$1" python3 -m compileall -q --invalidation-mode unchecked-hash -x lib2to3 {PYTHON}',
    f"--include={PACKAGES}", SUITE,
]  # fmt: skip
OF_THIS_MACHINE = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
"""by which its pip reaches an index; lent to the build, and not part of the image"""
EPOCH = "0"


class BuildError(Exception):
    """No image; the text says why."""


def run(*command: str, **options: Any) -> str:
    """Run a program and return what it prints; raises BuildError with the end of its complaint."""
    done = subprocess.run(command, cwd=ROOT, check=False, text=True, capture_output=True, **options)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise BuildError(f"`{command[0]}` failed with code {done.returncode}; its last words:\n{tail}")
    return str(done.stdout)


def base() -> Path:
    """Return the stand-in's archive, made when first asked for."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xcopy-populator"
    key = hashlib.sha256(json.dumps([os.uname().machine, *BASE]).encode()).hexdigest()
    archive = cache / key / "base.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as name:
            made = Path(name) / "base.tar"
            run(*BASE, str(made), env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH})
            made.replace(archive)
    return archive


@contextmanager
def builder() -> Iterator[list[str]]:
    """Yield the start of buildah's calls, with a store of its own that ends with the block."""
    if missing := [name for name in ("buildah", "mmdebstrap") if not shutil.which(name)]:
        raise BuildError(f"{' and '.join(missing)} missing: install them (tests/packages.sh image).")
    if os.geteuid():
        raise BuildError(
            "The stand-in base is made by root: run this as root, or build with `docker build .`."
        )
    with tempfile.TemporaryDirectory(prefix="populator-image-") as name:
        yield ["buildah", "--root", f"{name}/store", "--runroot", f"{name}/run", "--storage-driver", "vfs"]


def build(archive: Path, version: str, revision: str) -> None:
    """Build the image, without any cache, into an OCI archive."""
    with builder() as buildah:
        stand_in = base()
        made = run(*buildah, "from", "scratch").strip()
        run(*buildah, "add", "--quiet", made, str(stand_in), "/")
        run(*buildah, "commit", "--quiet", "--timestamp", EPOCH, "--rm", made, "localhost/base")
        lent = [f"--volume={file}:{file}:ro" for file in OF_THIS_MACHINE if Path(file).exists()]
        arguments = {"BASE": "localhost/base", "VERSION": version, "REVISION": revision}
        run(
            *buildah, "build", "--isolation", "chroot", "--pull-never", "--layers=false", "--timestamp", EPOCH, *lent,
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            "--tag", "localhost/populator", ".",
        )  # fmt: skip
        run(*buildah, "push", "--quiet", "localhost/populator", f"oci-archive:{archive}:{version}")


def digest(archive: Path) -> str:
    """Return the image's digest, by which a cluster names it."""
    with tarfile.open(archive) as tar:
        return str(json.load(_file(tar, "index.json"))["manifests"][0]["digest"])


def write_sbom(archive: Path, target: Path) -> int:
    """Take the SBOM out of an image's archive; return how many packages it names."""
    try:
        with tarfile.open(archive) as tar:
            text = _sbom(tar)
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise BuildError(f"{archive} is no OCI archive of one image.") from error
    if text is None:
        raise BuildError(f"{archive} holds no {SBOM}: it is no image of this program.")
    target.write_bytes(text)
    return len(json.loads(text)["components"])


def _sbom(image: tarfile.TarFile) -> bytes | None:
    manifest = json.load(_file(image, _path(json.load(_file(image, "index.json"))["manifests"][0]["digest"])))
    for layer in reversed(manifest["layers"]):
        with tarfile.open(fileobj=_file(image, _path(layer["digest"]))) as files:
            if SBOM in files.getnames():
                return _file(files, SBOM).read()
    return None


def _file(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    if found := tar.extractfile(name):
        return found
    raise KeyError(name)


def _path(name: str) -> str:
    return f"blobs/{name.replace(':', '/')}"


def main() -> None:
    """Build once or twice, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "archive", type=Path, help="OCI archive to write; the SBOM lies beside it as .cdx.json"
    )
    parser.add_argument("--version", default="unreleased", help="for the image's labels")
    parser.add_argument("--revision", default="unknown", help="the commit, for the image's labels")
    parser.add_argument("--twice", action="store_true", help="build again and compare the digests")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and tidy up on the way
    try:
        archive = given.archive.resolve()
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.unlink(missing_ok=True)
        build(archive, given.version, given.revision)
        packages = write_sbom(archive, archive.with_suffix(".cdx.json"))
        print(
            f"{archive}: {archive.stat().st_size / 1e6:.0f} MB, {packages} Python packages, {digest(archive)}"
        )
        if given.twice:
            with tempfile.TemporaryDirectory() as name:
                again = Path(name) / "again.tar"
                build(again, given.version, given.revision)
                if digest(again) != digest(archive):
                    raise BuildError(f"The second build has another digest: {digest(again)}.")
            print("The second build has the same digest.")
    except (BuildError, OSError) as error:
        sys.exit(f"image: {error}")


if __name__ == "__main__":
    main()
