"""A checkout of this project as a releaser has it: the working tree's files, committed as a made-up version."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.lab.program import ROOT

VERSION = "9.8.7"
DATE = "2026-11-28"
SBOM = "opt/populator/sbom.cdx.json"
BILL = b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}'
NOTHING_OF_IT = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "dist")
COMMITTED = (2026, 11, 27, 12, 34, 56)
ENVIRONMENT = os.environ | {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_COMMITTER_DATE": "2026-11-27T12:34:56Z",
}


@dataclass
class Checkout:
    """A repository of its own."""

    root: Path

    def git(self, *words: str) -> str:
        """Return what git prints."""
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE
        )
        return done.stdout.decode().strip()

    def edit(self, name: str, old: str, new: str) -> None:
        """Change the first such passage of a file."""
        text = (self.root / name).read_text()
        assert old in text, f"{name}: {old}"
        (self.root / name).write_text(text.replace(old, new, 1))

    def commit(self, subject: str = "Change it") -> None:
        """Commit all there is."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)

    @property
    def image(self) -> Path:
        """The archive of an image that was built before."""
        return self.root.parent / f"{self.root.name}.tar"

    def command(self) -> list[str]:
        """Return the command, for the commit as it is and an image of it."""
        if not self.image.exists():
            write_image(self.image, self.git("rev-parse", "HEAD"))
        return [sys.executable, str(self.root / "deploy/release"), f"--image={self.image}"]

    def run(self, command: list[str], path: str = os.environ["PATH"]) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end, with the programs in a path."""
        return subprocess.run(
            command,
            cwd=self.root.parent,
            env=ENVIRONMENT | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def traces(self) -> dict[str, str]:
        """Return what a release would leave: all files but git's own, and the tags."""
        files = [
            path
            for path in self.root.rglob("*")
            if ".git" not in path.parts and "__pycache__" not in path.parts
        ]
        return {str(path): "" for path in files} | {"tags": self.git("tag")}


def make_checkout(root: Path) -> Checkout:
    """Return the working tree's files as a repository, ready to be released as 9.8.7."""
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*NOTHING_OF_IT), symlinks=True)
    checkout = Checkout(root)
    checkout.git("init", "--quiet", "--initial-branch=main")
    identify(checkout)
    program, changelog = root / "populator/__init__.py", root / "CHANGELOG.md"
    program.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{VERSION}"', program.read_text()))
    heading = f"## {VERSION} ({DATE})"
    changelog.write_text(re.sub(r"^## .*$", heading, changelog.read_text(), count=1, flags=re.MULTILINE))
    checkout.commit(f"Version {VERSION}")
    return checkout


def identify(checkout: Checkout) -> None:
    """Say who commits and tags there."""
    checkout.git("config", "user.name", "Releaser")
    checkout.git("config", "user.email", "releaser@example.com")


def write_image(archive: Path, commit: str, version: str = VERSION, sbom: str = SBOM) -> None:
    """Write an OCI archive with one image, in whose second layer the SBOM has a name."""
    members = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        members[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    layers = [blob(packed({"etc/os-release": b"base"}, "w:gz")), blob(packed({sbom: BILL}, "w:gz"))]
    labels = {"version": version, "revision": commit}
    named = {f"org.opencontainers.image.{name}": value for name, value in labels.items()}
    config = blob(json.dumps({"config": {"Labels": named}}).encode())
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode())
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    archive.write_bytes(packed(members, "w:"))


def packed(members: dict[str, bytes], mode: Literal["w:", "w:gz"]) -> bytes:
    """Return a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
