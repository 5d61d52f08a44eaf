"""A container of the image: unpacked by umoci, run by runc with no more than a restricted pod has.

`python -m tests.image.container BUNDLE OPTIONS… -- PYTHON -m populator ARGUMENTS…` becomes the container's runc, with
this process's environment for the program: so `Program` starts the image where it would start Python.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RANDOM_UID = 1000740000
ONLY = {"/proc", "/dev", "/dev/pts", "/sys"}
"""of umoci's mounts: no shared memory, no queues, no cgroups"""


@dataclass
class Image:
    """The unpacked image."""

    folder: Path

    @property
    def rootfs(self) -> Path:
        """Return the image's files."""
        return self.folder / "rootfs"

    @property
    def config(self) -> dict[str, Any]:
        """Return runc's configuration as umoci wrote it."""
        return dict(json.loads((self.folder / "config.json").read_text()))


def unpack(archive: Path, folder: Path) -> Image:
    """Unpack an OCI archive."""
    layout = folder / "layout"
    layout.mkdir(parents=True)
    subprocess.run(["tar", "-C", layout, "-xf", archive], check=True)
    index = json.loads((layout / "index.json").read_text())
    tag = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
    command = ["umoci", "unpack", "--image", f"{layout}:{tag}", str(folder / "bundle")]
    subprocess.run(command, check=True, capture_output=True)
    return Image(folder / "bundle")


@dataclass
class Container:
    """One run. `binds` are files of this machine by their path in the container, read-only but for the message."""

    image: Image
    binds: dict[str, Path] = field(default_factory=dict)
    message: Path | None = None
    """of this machine, for the termination message"""
    uid: int = RANDOM_UID
    writable: bool = False
    """whether the root file system may be written to"""

    def config(
        self, arguments: list[str], environment: dict[str, str], entrypoint: list[str] | None
    ) -> dict[str, Any]:
        """Return runc's configuration."""
        config = self.image.config
        process = config["process"]
        process["terminal"] = False
        process["user"] = {"uid": self.uid, "gid": 0}
        process["args"] = (process["args"] if entrypoint is None else entrypoint) + arguments
        process["env"] += [f"{name}={value}" for name, value in environment.items()]
        process["capabilities"] = {}
        process["noNewPrivileges"] = True
        process.pop("rlimits", None)
        config["root"] = {"path": str(self.image.rootfs), "readonly": not self.writable}
        config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] in ONLY]
        config["mounts"].append(
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}
        )
        for path, file in self.binds.items():
            config["mounts"].append(_bind(path, file, "ro"))
        if self.message:
            config["mounts"].append(_bind("/dev/termination-log", self.message, "rw"))
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [space for space in spaces if space["type"] != "network"]
        return config

    def command(
        self,
        arguments: list[str],
        environment: dict[str, str] | None = None,
        entrypoint: list[str] | None = None,
    ) -> list[str]:
        """Return the runc call that is the container."""
        bundle = Path(tempfile.mkdtemp(prefix="run-", dir=self.image.folder))
        bundle.joinpath("config.json").write_text(
            json.dumps(self.config(arguments, environment or {}, entrypoint))
        )
        name = f"{self.image.folder.parent.name}-{bundle.name}"
        return ["runc", "--root", str(self.image.folder / "runc"), "run", "--bundle", str(bundle), name]

    def run(self, *arguments: str, entrypoint: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        command = self.command(list(arguments), entrypoint=entrypoint)
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)

    def prefix(self) -> list[str]:
        """Return the words before a program's own by which it is run in here instead; see the module."""
        binds = [f"--bind={path}={file}" for path, file in self.binds.items()]
        words = [sys.executable, "-m", "tests.image.container", str(self.image.folder), *binds]
        return [
            *words,
            f"--message={self.message}",
            f"--uid={self.uid}",
            *["--writable"][: self.writable],
            "--",
        ]


def _bind(path: str, file: Path, mode: str) -> dict[str, Any]:
    return {"destination": path, "type": "bind", "source": str(file), "options": ["bind", mode]}


def main() -> None:
    """Become the container."""
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--message", type=Path)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--writable", action="store_true")
    given = parser.parse_args(sys.argv[1:split])
    binds = {path: Path(file) for path, _, file in (bind.partition("=") for bind in given.bind)}
    container = Container(Image(given.folder), binds, given.message, given.uid, given.writable)
    environment = {name: value for name, value in os.environ.items() if name != "PATH"}
    words = sys.argv[split + 1 :]
    arguments = words[words.index("populator") + 1 :]
    command = container.command(arguments, environment)
    os.execv(shutil.which("runc") or "runc", command)  # noqa: S606


if __name__ == "__main__":
    main()
