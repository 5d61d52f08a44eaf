"""A release, by one command: `make release` builds all of it from the commit, and tags that commit.

`dist/vX.Y.Z` has the wheel, the VIB, the image's archive and SBOM, the notes, and the checksums of all. It is there at
the end, with the tag, or nothing is. Nothing is pushed; `deploy/docs/releasing.md` has the steps before and behind it.
"""

import argparse
import hashlib
import os
import signal
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from checks import check_checkout, check_version, notes_of
from commands import AGAIN, ROOT, Refused, git, run
from image import add_image, build_image

VIB_VERSIONS = "tests/contract/vib/vib_versions.txt"
NEXT = """dist/v{version} is complete, and v{version} is tagged. Nothing has been pushed. Next:
  git push origin main v{version}
  skopeo copy --preserve-digests oci-archive:dist/v{version}/xcopy-populator-{version}.oci.tar \\
      docker://REGISTRY/xcopy-populator:{version}
  The registry must now show {digest}; manifests name the image by it.
  Upload all files of dist/v{version}; RELEASE-NOTES.md is the text.
deploy/docs/releasing.md has the rest."""


def main() -> None:
    """Make the release, or say what is in the way."""
    parser = argparse.ArgumentParser(prog="release", description="Build a release into dist, and tag it.")
    parser.add_argument("--image", type=Path, metavar="ARCHIVE", help="the image, where it is built already")
    built = parser.parse_args().image
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        release(built)
    except Refused as error:
        sys.exit(f"error: {error.text}\nhint: {error.hint}")
    except OSError as error:
        sys.exit(f"error: {error}\nhint: {AGAIN}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def release(built: Path | None) -> None:
    """Build everything, and then let it be seen: the folder and the tag, or neither."""
    check_checkout()
    commit, seconds = git("log", "-1", "--format=%H %ct").split()
    os.environ |= {"SOURCE_DATE_EPOCH": seconds, "PYTHONDONTWRITEBYTECODE": "1"}
    with workshop() as work:
        tree, files = work / "tree", work / "files"
        files.mkdir()
        export(commit, tree)
        version = run(tree, sys.executable, "-m", "hatchling", "version").strip()
        check_version(version)
        notes = notes_of(version, (tree / "CHANGELOG.md").read_text())
        add_vib(tree, files)
        run(tree, sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={files}")
        digest = add_image(built or build_image(tree, version, commit), version, commit, files)
        (files / "RELEASE-NOTES.md").write_text(f"{notes}\nImage: `{digest}`\n")
        write_checksums(files)
        publish(version, commit, notes, files)
    print(NEXT.format(version=version, digest=digest))


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder on the file system of `dist`, which can be moved there at once; no trace of it afterwards."""
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".release-", dir=dist) as folder:
            yield Path(folder)
    finally:
        with suppress(OSError):
            dist.rmdir()


def export(commit: str, tree: Path) -> None:
    """Write what is committed: no file that git ignores, and no change that it does not see."""
    archive = tree.with_suffix(".tar")
    git("archive", f"--output={archive}", commit)
    with tarfile.open(archive) as tar:
        tar.extractall(tree, filter="data")


def add_vib(tree: Path, files: Path) -> None:
    """Build the VIB, which has to be the one that is recorded for its version."""
    file = tree / run(tree, sys.executable, "-m", "populator", "vib", "build").strip()
    line = f"{file.stem.rpartition('-')[2]} {sha256(file)}"
    if line not in (tree / VIB_VERSIONS).read_text().splitlines():
        raise Refused(
            f"{file.name} is not the VIB that {VIB_VERSIONS} has for its version.",
            f'Add the line "{line}"; if that version was given away, raise VERSION in the wrapper first. Commit.',
        )
    file.rename(files / file.name)


def sha256(file: Path) -> str:
    """Return a file's checksum."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def write_checksums(files: Path) -> None:
    """Write `SHA256SUMS` for all files, as sha256sum reads it."""
    lines = [f"{sha256(file)}  {file.name}\n" for file in sorted(files.iterdir())]
    (files / "SHA256SUMS").write_text("".join(lines))


def publish(version: str, commit: str, notes: str, files: Path) -> None:
    """Move the files to their place and tag the commit: both, or neither. Signals come too late from here on."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)
    there = ROOT / "dist" / f"v{version}"
    files.rename(there)
    try:
        # Lines of the notes that begin with # are headings and no comments.
        git("tag", "--annotate", "--cleanup=whitespace", "--file=-", f"v{version}", commit, stdin=notes)
    except BaseException:
        there.rename(files)
        raise


if __name__ == "__main__":
    main()
