"""What all of a release's steps use: refusing it, and calling other programs."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AGAIN = "Nothing was released. Correct that, and run it again."


class Refused(Exception):
    """No release: `text` says why, `hint` what to do next."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.text, self.hint = text, hint


def run(folder: Path, *command: str, stdin: str = "") -> str:
    """Run a command in a folder and return what it prints; its complaints go where ours do."""
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            printed, _ = process.communicate(stdin)
        except BaseException as stopped:
            # Ctrl-C has reached it too, and it may be tidying up.
            if not isinstance(stopped, KeyboardInterrupt):
                process.terminate()
            process.communicate()
            raise
    if process.returncode:
        raise Refused(f"'{' '.join(command)}' failed; see above.", AGAIN)
    return printed


def git(*words: str, stdin: str = "") -> str:
    """Return what git prints."""
    return run(ROOT, "git", *words, stdin=stdin).strip()
