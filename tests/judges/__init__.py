"""Judges: clients of the vendors' APIs that others wrote. They drive our simulators, and tell us how true those are.

Each lives in a folder here: `requirements.in` and the lock `requirements.txt`, which is installed into an environment
of its own, since their dependencies clash with ours and with each other's; and `client.py`, which that environment's
Python runs (`protocol/speak.py` is how it is spoken to). A `prune.txt` names what of a huge one is deleted after its
installation: globs below `site-packages`, one a line, and after `!` what of that stays. `python -m tests.judges`
installs all of them beforehand.
"""

import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.lab.tools import cache, lock

HERE = Path(__file__).parent
SPEAK = HERE / "protocol"
DEADLINE = 1200.0
"""seconds for an installation"""


class JudgeError(Exception):
    """A judge's client raised: `kind` is the name of the class, `text` what it says."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text = kind, text


class Judge:
    """One judge's client, connected to a simulator; calling it calls one of its functions."""

    def __init__(
        self, name: str, address: str, ca_file: str, options: Mapping[str, Any] | None = None
    ) -> None:
        python = environment(name)
        self._folder = tempfile.TemporaryDirectory(prefix=f"judge-{name}-")
        self._errors = Path(self._folder.name) / "stderr"
        # The user's variables that name bundles of authorities are stronger than what a client is told.
        clean = {"PATH": os.environ["PATH"], "HOME": self._folder.name, "PYTHONPATH": str(SPEAK)}
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [python, HERE / name / "client.py"],
                cwd=self._folder.name,
                env=clean,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            self._ask({"address": address, "ca_file": ca_file, "options": dict(options or {})})
        except BaseException:
            self.close()
            raise

    def __call__(self, function: str, **arguments: Any) -> Any:
        """Return what the client's function returns; raises JudgeError."""
        return self._ask({"function": function, "arguments": arguments})

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ask(self, question: Mapping[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said before its end tells more
        line = self._process.stdout.readline()
        if not line:
            raise JudgeError("Ended", self._errors.read_text()[-2000:])
        answer = json.loads(line)
        if "error" in answer:
            raise JudgeError(*answer["error"])
        return answer["result"]


def environment(name: str) -> Path:
    """Return the Python of a judge's environment, made first where it is missing."""
    lock_file, prune = HERE / name / "requirements.txt", HERE / name / "prune.txt"
    globs = prune.read_text().splitlines() if prune.exists() else []
    made_of = f"{sys.version}\0{lock_file.read_text()}\0{globs}"
    folder = cache() / "judges" / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    ready = folder / "ready"
    if not ready.exists():
        with lock(folder.parent, folder.name):
            if not ready.exists():
                _install(name, folder, lock_file, globs)
                ready.touch()
    return folder / "bin" / "python"


def _install(name: str, folder: Path, lock_file: Path, globs: list[str]) -> None:
    print(f"judges: installing {name} (once)", file=sys.stderr, flush=True)
    uv = str(Path(sys.executable).parent / "uv")
    shutil.rmtree(folder, ignore_errors=True)
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    python = folder / "bin" / "python"
    _run([uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock_file)])
    for site in folder.glob("lib/python*/site-packages"):
        _prune(site, globs)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if done.returncode:
        raise JudgeError("Installation", f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def _prune(site: Path, globs: list[str]) -> None:
    """Delete what the globs name; a folder that is to stay is kept whole."""
    kept = [glob[1:] for glob in globs if glob.startswith("!")]
    for glob in filter(None, (glob for glob in globs if not glob.startswith("!"))):
        for path in site.glob(glob):
            if any(fnmatch.fnmatch(str(path.relative_to(site)), keep) for keep in kept):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def names() -> list[str]:
    """Return all judges."""
    return sorted(file.parent.name for file in HERE.glob("*/requirements.txt"))
