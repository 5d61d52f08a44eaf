"""`make release` in a checkout of its own: real git, a real wheel; the image is one that was built before."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.release.checkout import (
    BILL,
    COMMITTED,
    DATE,
    ENVIRONMENT,
    VERSION,
    Checkout,
    identify,
    make_checkout,
    packed,
    write_image,
)
from tests.lab.program import ROOT
from vsphere.wrapper.files import VERSION as WRAPPER

TAG = f"v{VERSION}"
WHEEL = f"xcopy_populator-{VERSION}-py3-none-any.whl"
VIB = f"vmkfstools-wrapper-{WRAPPER}.vib"
ARCHIVE, SBOM_FILE = f"xcopy-populator-{VERSION}.oci.tar", f"xcopy-populator-{VERSION}.cdx.json"
SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
Edit = Callable[[Checkout], object]


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout that is ready; to be cloned, not changed."""
    return make_checkout(tmp_path_factory.mktemp("release") / "original")


def clone(original: Checkout, root: Path) -> Checkout:
    original.git("clone", "--quiet", str(original.root), str(root))
    copy = Checkout(root)
    identify(copy)
    return copy


@pytest.fixture
def checkout(original: Checkout, tmp_path: Path) -> Checkout:
    """A checkout that is ready."""
    return clone(original, tmp_path / "checkout")


def released(checkout: Checkout) -> Path:
    """Release, and return the folder."""
    done = checkout.run(checkout.command())
    assert done.returncode == 0, done.stderr
    return checkout.root / "dist" / TAG


def test_a_release_has_all_files_and_their_checksums_and_tags_the_commit(checkout: Checkout) -> None:
    done = checkout.run(checkout.command())
    assert done.returncode == 0, done.stderr
    folder = checkout.root / "dist" / TAG
    assert list((checkout.root / "dist").iterdir()) == [folder]
    assert {file.name for file in folder.iterdir()} == {
        WHEEL, VIB, ARCHIVE, SBOM_FILE, "RELEASE-NOTES.md", "SHA256SUMS",
    }  # fmt: skip
    checked = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, check=True
    )
    assert checked.stdout.count(b": OK") == 5
    assert checkout.git("cat-file", "-t", TAG) == "tag", "annotated"
    assert checkout.git("rev-parse", f"{TAG}^{{commit}}") == checkout.git("rev-parse", "HEAD")
    assert checkout.git("status", "--porcelain") == ""

    section = (checkout.root / "CHANGELOG.md").read_text().partition(f"## {VERSION} ({DATE})\n")[2]
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0].strip()
    notes = (folder / "RELEASE-NOTES.md").read_text()
    assert notes.startswith(f"# Version {VERSION} ({DATE})\n\n{section}\n\n")
    assert section in checkout.git("tag", "--list", TAG, "--format=%(contents)"), "headings too"
    with tarfile.open(folder / ARCHIVE) as tar:
        index = tar.extractfile("index.json")
        assert index
        digest = json.load(index)["manifests"][0]["digest"]
    assert digest in notes
    assert (folder / SBOM_FILE).read_bytes() == BILL
    assert digest in done.stdout
    assert f"git push origin main {TAG}\n" in done.stdout
    assert f"oci-archive:dist/{TAG}/{ARCHIVE} " in done.stdout


def test_two_checkouts_of_a_commit_release_the_same_bytes(
    original: Checkout, checkout: Checkout, tmp_path: Path
) -> None:
    other = clone(original, tmp_path / "elsewhere" / "other")
    for file in other.root.rglob("*.py"):
        os.utime(file, (10**9, 10**9))
        file.chmod(0o600)
    first = released(checkout)
    shutil.copyfile(first / ARCHIVE, other.image)
    second = released(other)
    assert (first / "SHA256SUMS").read_bytes() == (second / "SHA256SUMS").read_bytes()
    assert (first / WHEEL).read_bytes() == (second / WHEEL).read_bytes()


def test_the_wheel_is_the_program_as_it_is_committed(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.root / ".git/info/exclude").write_text("local.py\n")
    (checkout.root / "populator/local.py").write_text("PASSWORD = 'secret'\n")
    wheel = released(checkout) / WHEEL
    members = zipfile.ZipFile(wheel).infolist()
    packed = {member.filename for member in members if ".dist-info/" not in member.filename}
    assert packed == set(checkout.git("ls-files", "populator", "vsphere", "lease").splitlines())
    assert {member.date_time for member in members} == {COMMITTED}

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    site = subprocess.check_output([python, "-c", SITE], text=True)
    (Path(site.strip()) / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    said = subprocess.check_output([tmp_path / "venv/bin/populator", "--version"], cwd=tmp_path, text=True)
    assert said.strip().endswith(f" {VERSION}")


def heading(text: str) -> Edit:
    return lambda checkout: checkout.edit("CHANGELOG.md", f"## {VERSION} ({DATE})", text)


def version(text: str) -> Edit:
    return lambda checkout: checkout.edit("populator/__init__.py", f'"{VERSION}"', f'"{text}"')


def new_file(checkout: Checkout) -> None:
    (checkout.root / "notes.txt").write_text("not committed")


def unnamed(checkout: Checkout) -> None:
    checkout.git("config", "user.useConfigOnly", "true")
    checkout.git("config", "--unset", "user.email")


def half_a_release(checkout: Checkout) -> None:
    (checkout.root / "dist" / TAG).mkdir(parents=True)


IN_THE_CHECKOUT: dict[str, tuple[Edit, str]] = {
    "changed": (
        version("9.8.8"),
        r"Not everything is committed:\n ?M populator/__init__.py\nhint: Commit it",
    ),
    "new": (new_file, r"Not everything is committed:\n\?\? notes.txt\nhint: Commit it"),
    "branch": (
        lambda checkout: checkout.git("switch", "-qc", "work"),
        r"this is work\.\nhint: git switch main",
    ),
    "detached": (lambda checkout: checkout.git("switch", "-q", "--detach"), r"this is no branch\."),
    "tagged": (lambda checkout: checkout.git("tag", TAG), rf"{TAG} is tagged already.*\nhint: Raise it in"),
    "newer": (
        lambda checkout: checkout.git("tag", "v10.0.0"),
        r"v10.0.0 is tagged already, and 9.8.7 is no newer",
    ),
    "nobody": (unnamed, r"(?s)user\.email.*'git var GIT_COMMITTER_IDENT' failed"),
    "folder": (half_a_release, rf"dist/{TAG} is there, but no tag\.\nhint: Move it away"),
}
IN_THE_COMMIT: dict[str, tuple[Edit, str]] = {
    "no section": (heading("## Unreleased"), rf'no section for {VERSION}\.\nhint: Rename "## Unreleased" to'),
    "no date": (heading(f"## {VERSION}"), rf'"## {VERSION}" of CHANGELOG.md has no date'),
    "no day": (heading(f"## {VERSION} (2026-11-31)"), r"has no date"),
    "left": (
        heading(f"## Unreleased\n\n### Added\n\n- One thing.\n\n## {VERSION} ({DATE})"),
        rf'entries under "## Unreleased":\n- One thing\.\nhint: Move them to "## {VERSION} \({DATE}\)"',
    ),
    "empty": (
        heading(f"## {VERSION} ({DATE})\n\n## 0.0.1 ({DATE})"),
        r'\(2026-11-28\)" of CHANGELOG.md is empty',
    ),
    "version": (version("9.8.7.dev1"), r"9\.8\.7\.dev1 is not a version X\.Y\.Z"),
    "vib": (
        lambda checkout: checkout.edit(
            "tests/contract/vib/vib_versions.txt", f"\n{WRAPPER} ", f"\n{WRAPPER} 0"
        ),
        rf'{re.escape(VIB)} is not the VIB .*\nhint: Add the line "{WRAPPER} [0-9a-f]{{64}}"',
    ),
}


def refused(checkout: Checkout, error: str, command: list[str] | None = None) -> None:
    """Make sure that there is no release, nothing of it, and the one reason."""
    before = checkout.traces()
    done = checkout.run(command or checkout.command())
    assert done.returncode == 1, done.stderr
    assert re.search(error, done.stderr), done.stderr
    assert re.search(r"^error: (.*\n)+hint: .*\n\Z", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert checkout.traces() == before


@pytest.mark.parametrize("case", IN_THE_CHECKOUT)
def test_a_checkout_that_is_not_ready_is_refused(checkout: Checkout, case: str) -> None:
    edit, error = IN_THE_CHECKOUT[case]
    edit(checkout)
    refused(checkout, error)


@pytest.mark.parametrize("case", IN_THE_COMMIT)
def test_a_commit_that_is_not_ready_is_refused(checkout: Checkout, case: str) -> None:
    edit, error = IN_THE_COMMIT[case]
    edit(checkout)
    checkout.commit()
    refused(checkout, error)


def test_an_empty_section_of_what_is_unreleased_may_stay(checkout: Checkout) -> None:
    heading(f"## Unreleased\n\n### Added\n\n## {VERSION} ({DATE})")(checkout)
    checkout.commit()
    released(checkout)


def test_an_older_version_s_tag_and_tags_of_others_are_in_nobody_s_way(checkout: Checkout) -> None:
    for tag in ("v9.8.6", "v9.10", "vendor", "nightly"):
        checkout.git("tag", tag)
    released(checkout)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (
            lambda image, commit: write_image(image, commit, version="9.8.6"),
            r"checkout\.tar is the image of version 9\.8\.6, not of 9\.8\.7",
        ),
        (lambda image, _: write_image(image, "0" * 40), r"is the image of revision 0{40}, not of [^0]"),
        (
            lambda image, commit: write_image(image, commit, sbom="sbom.json"),
            r"with its SBOM: no opt/populator/sbom\.cdx\.json",
        ),
        (lambda image, _: image.write_bytes(b"no tar" * 99), r"checkout\.tar is no OCI archive of one image"),
        (
            lambda image, _: image.write_bytes(packed({"manifest.json": b"[]"}, "w:")),
            r"'index\.json' not found",
        ),
        (lambda image, _: image.unlink(), r"No such file or directory: '.*checkout\.tar'"),
    ],
    ids=["version", "commit", "sbom", "archive", "docker", "missing"],
)
def test_what_is_no_image_of_this_commit_is_refused(
    checkout: Checkout, damage: Callable[[Path, str], object], error: str
) -> None:
    write_image(checkout.image, commit := checkout.git("rev-parse", "HEAD"))
    words = checkout.command()
    damage(checkout.image, commit)
    refused(checkout, error, words)


def build_hook(checkout: Checkout, *lines: str) -> None:
    """Commit something that the wheel's build does at its start."""
    head = """
import os, pathlib, signal
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
"""
    text = head + "".join(f"        {line}\n" for line in lines)
    (checkout.root / "hatch_build.py").write_text(text)
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("[tool.hatch.build.hooks.custom]\n")
    checkout.commit("Do more while the wheel is built")


def test_a_tag_that_git_refuses_leaves_no_folder(checkout: Checkout) -> None:
    hook = checkout.root / ".git/hooks/reference-transaction"
    hook.write_text(
        f"#!/bin/sh\nls {checkout.root}/dist >>{checkout.root.parent}/seen\ntest $1 != prepared\n"
    )
    hook.chmod(0o755)
    refused(checkout, r"'git tag .* failed; see above")
    assert TAG in (checkout.root.parent / "seen").read_text().split(), "the folder was there already"
    hook.unlink()
    released(checkout)


def test_a_folder_that_somebody_else_has_meanwhile_leaves_no_tag(checkout: Checkout) -> None:
    other = checkout.root / "dist" / TAG / "other"
    build_hook(checkout, f"pathlib.Path({str(other)!r}).mkdir(parents=True)")
    done = checkout.run(checkout.command())
    assert done.returncode == 1
    assert re.search(
        r"^error: .*Directory not empty.*\nhint: Nothing was released", done.stderr, re.MULTILINE
    )
    assert list((checkout.root / "dist").rglob("*")) == [other.parent, other]
    assert checkout.git("tag") == ""


def test_a_wheel_that_cannot_be_built_leaves_nothing(checkout: Checkout) -> None:
    build_hook(checkout, "raise SystemExit('no wheel today')")
    refused(checkout, r"(?s)no wheel today.*hatchling build .* failed; see above")


def test_an_image_that_cannot_be_built_leaves_nothing(checkout: Checkout, tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(git)
    before = checkout.traces()
    done = checkout.run(checkout.command()[:2], path=str(tmp_path / "bin"))
    assert done.returncode == 1
    assert re.search(
        r"^image: .*\nerror: '.* deploy/image/build\.py .*' failed; see above\.\nhint: ",
        done.stderr,
        re.MULTILINE,
    ), done.stderr
    assert checkout.traces() == before


def test_what_is_committed_meanwhile_is_not_what_is_tagged(checkout: Checkout) -> None:
    build_hook(checkout, f"os.system('git -C {checkout.root} commit --quiet --allow-empty --message=Later')")
    before = checkout.git("rev-parse", "HEAD")
    released(checkout)
    assert checkout.git("rev-parse", f"{TAG}^{{commit}}") == before != checkout.git("rev-parse", "HEAD")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_stopped_ends_what_it_called_and_leaves_nothing(
    checkout: Checkout, tmp_path: Path, stop: signal.Signals
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    build_hook(checkout, f"pathlib.Path({str(pipe)!r}).write_text(str(os.getpid()))", "signal.pause()")
    command = checkout.command()
    before = checkout.traces()
    # A shell that puts it into the background would have it ignore SIGINT; a terminal sends that to all in front.
    fresh = ["env", "--default-signal=INT"]
    with subprocess.Popen(
        [*fresh, *command], env=ENVIRONMENT, stdout=subprocess.PIPE, process_group=0
    ) as process:
        try:
            builder = int(pipe.read_text())
            if stop == signal.SIGINT:
                os.killpg(process.pid, stop)
            else:
                process.send_signal(stop)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + stop
    assert said == b""
    assert checkout.traces() == before
    with pytest.raises(ProcessLookupError):
        os.kill(builder, 0)


def test_make_has_the_target() -> None:
    plan = [
        "make",
        "--dry-run",
        "--no-print-directory",
        "release",
    ]  # which a make above this one asks for, too
    said = subprocess.check_output(plan, cwd=ROOT, text=True)
    assert said.splitlines()[-1].split()[1:] == ["deploy/release"]
