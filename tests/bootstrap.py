"""Sets up the virtual environment in `.venv` with exactly the locked packages; standard library only.

Run by every make target; does nothing when the lock and this interpreter are those of the last time.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "tests" / "requirements.txt"
STAMP = VENV / "lock.sha256"
MINIMUM = (3, 11)


def stamp() -> str:
    """Return what the environment depends on, as one hash."""
    return hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()


def fail(text: str) -> None:
    """Say what is wrong and end."""
    sys.exit(f"bootstrap: {text}")


def run(*command: str) -> None:
    """Run one step; its own output tells what went wrong."""
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        fail(f"'{' '.join(command)}' failed; see above.")


def main() -> None:
    """Make the environment what the lock says."""
    if sys.version_info < MINIMUM:
        fail(f"Python {sys.version.split()[0]} is too old; 3.11 or newer is needed.")
    if STAMP.exists() and STAMP.read_text() == stamp():
        return
    print("bootstrap: setting up .venv (once; downloads packages)", file=sys.stderr)
    try:
        import ensurepip  # noqa: F401, PLC0415
    except ImportError:
        fail("this Python has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv).")
    run(sys.executable, "-m", "venv", "--clear", str(VENV))
    python = str(VENV / "bin" / "python")
    quiet = ("--quiet", "--disable-pip-version-check")
    run(python, "-m", "pip", "install", *quiet, "--require-hashes", "--requirement", str(LOCK))
    run(python, "-m", "pip", "install", *quiet, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    # Else the first start of every program here would compile what it imports, and be slow and large.
    run(python, "-m", "compileall", "-q", "-j", "0", str(VENV / "lib"))
    STAMP.write_text(stamp())


if __name__ == "__main__":
    main()
