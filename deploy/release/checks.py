"""What has to be true before anything is built: of the checkout, the version and the changelog."""

import datetime
import re
from contextlib import suppress

from commands import ROOT, Refused, git

BRANCH = "main"
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def check_checkout() -> None:
    """Refuse what is not the committed branch, or has nobody who could tag it."""
    if (branch := git("branch", "--show-current")) != BRANCH:
        raise Refused(
            f"A release is made on {BRANCH}, and this is {branch or 'no branch'}.", f"git switch {BRANCH}"
        )
    if changed := git("status", "--porcelain"):
        raise Refused(f"Not everything is committed:\n{changed}", "Commit it, or put it away: git stash -u.")
    git("var", "GIT_COMMITTER_IDENT")


def check_version(version: str) -> None:
    """Refuse a version that was released, or is older than one that was."""
    if not VERSION.fullmatch(version):
        raise Refused(f"{version} is not a version X.Y.Z.", "Correct it in populator/__init__.py.")
    tags = [tag[1:] for tag in git("tag", "--list", "v*").split() if VERSION.fullmatch(tag[1:])]
    newest = max(tags, key=numbers, default="")
    if newest and numbers(version) <= numbers(newest):
        raise Refused(
            f"v{newest} is tagged already, and {version} is no newer.",
            "Raise it in populator/__init__.py, and commit.",
        )
    if (there := ROOT / "dist" / f"v{version}").exists():
        raise Refused(f"{there} is there, but no tag.", "Move it away.")


def numbers(version: str) -> list[int]:
    """Return what versions are compared by."""
    return [int(number) for number in version.split(".")]


def notes_of(version: str, changelog: str) -> str:
    """Return the version's section of the changelog; refuse one that is not ready."""
    _, *parts = re.split(r"^## (.*)$", changelog, flags=re.MULTILINE)
    sections = dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))
    wanted = f"## {version} ({datetime.date.today()})"
    heading = next((heading for heading in sections if heading.split()[:1] == [version]), None)
    if heading is None:
        raise Refused(
            f"CHANGELOG.md has no section for {version}.",
            f'Rename "## Unreleased" to "{wanted}", and commit.',
        )
    date = heading[len(version) :].strip(" ()")
    if heading != f"{version} ({date})" or not is_date(date):
        raise Refused(f'"## {heading}" of CHANGELOG.md has no date.', f'Write "{wanted}", and commit.')
    left = [line for line in sections.get("Unreleased", "").splitlines() if line and not line.startswith("#")]
    if left:
        raise Refused(
            f'CHANGELOG.md has entries under "## Unreleased":\n{left[0]}',
            f'Move them to "## {heading}", and commit.',
        )
    if not sections[heading]:
        raise Refused(f'"## {heading}" of CHANGELOG.md is empty.', "Say there what is new, and commit.")
    return f"# Version {heading}\n\n{sections[heading]}\n"


def is_date(text: str) -> bool:
    """Return whether it is a day, as 2026-11-28."""
    with suppress(ValueError):
        return str(datetime.date.fromisoformat(text)) == text
    return False
