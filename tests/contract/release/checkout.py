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

from tests.lab.program import ROOT

VERSION = "9.8.7"
DATE = "2026-11-28"
NOTHING_OF_IT = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "dist")
IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com"}
ENVIRONMENT = os.environ | IDENTITY | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


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
        """The folder of an image that was built before."""
        return self.root.parent / f"{self.root.name}-image"

    def command(self) -> list[str]:
        """Return the command, for the commit as it is and an image of it."""
        if not self.image.exists():
            write_image(self.image, self.git("rev-parse", "HEAD"))
        options = [f"--image={self.image / 'image.tar'}", f"--sbom={self.image / 'sbom.json'}"]
        return [sys.executable, str(self.root / "deploy/release"), *options]

    def release(self, *without: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, without some options."""
        return subprocess.run(
            [word for word in self.command() if word.partition("=")[0] not in without],
            cwd=self.root.parent,
            env=ENVIRONMENT,
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


def write_image(folder: Path, commit: str, version: str = VERSION, sbom: str = "CycloneDX") -> None:
    """Write an OCI archive with one image and no layers, and its SBOM."""
    folder.mkdir(exist_ok=True)
    labels = {"version": version, "revision": commit}
    members = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(content: object) -> dict[str, object]:
        data = json.dumps(content).encode()
        digest = hashlib.sha256(data).hexdigest()
        members[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    named = {f"org.opencontainers.image.{name}": value for name, value in labels.items()}
    config = blob({"config": {"Labels": named}})
    manifest = blob({"schemaVersion": 2, "config": config, "layers": []})
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    with tarfile.open(folder / "image.tar", "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    (folder / "sbom.json").write_text(json.dumps({"bomFormat": sbom, "specVersion": "1.6", "components": []}))
