"""What the image holds, and what it does not."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.image.container import Container, Image
from tests.lab.program import ROOT

PYTHON = ["/opt/populator/bin/python"]
EVERY_MODULE = """
import importlib, pkgutil, lease, populator, vsphere
names = [module.name for package in (lease, populator, vsphere)
         for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
from lease.kube.library import _library
_library("incluster_config"), _library("kube_config")
print(len(names))
"""


def locked() -> set[str]:
    """Return the names in the lock, as PyPI spells them."""
    lines = (ROOT / "deploy/requirements.txt").read_text().splitlines()
    return {line.partition("==")[0].lower() for line in lines if "==" in line}


def test_every_module_can_be_imported(image: Image) -> None:
    done = Container(image).run("-c", EVERY_MODULE, entrypoint=PYTHON)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


def test_it_holds_no_tool_that_builds_or_installs(image: Image) -> None:
    for name in ("pip", "setuptools", "wheel", "hatchling", "cyclonedx_py"):
        assert Container(image).run("-c", f"import {name}", entrypoint=PYTHON).returncode == 1
    tools = re.compile(r"(pip[\d.]*|gcc.*|cc|c\+\+|g\+\+.*|ld|as|make)")
    folders = ("usr/bin", "usr/local/bin", "opt/populator/bin")
    files = [file.name for folder in folders for file in (image.rootfs / folder).glob("*")]
    assert files
    assert not [name for name in files if tools.fullmatch(name)]


def test_it_writes_nothing_even_where_it_could(image: Image) -> None:
    """Stale or missing bytecode would be compiled and written now: root may write, and bytecode is asked for."""
    before = tree(image.rootfs)
    done = Container(image, uid=0, writable=True).run(
        "-u", "PYTHONDONTWRITEBYTECODE", *image.config["process"]["args"][1:], "--help", entrypoint=["env"]
    )
    assert done.returncode == 0, done.stderr
    assert tree(image.rootfs) == before


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of each file but those that runc makes to mount on."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    return {str(file.relative_to(folder)): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def test_no_bytecode_depends_on_a_time_of_change(image: Image) -> None:
    """One that was written by an import during the build would be stale, and tell one build from the next."""
    files = list((image.rootfs / "opt/populator").rglob("*.pyc"))
    assert len(files) > 1000
    unchecked = 1
    assert [file for file in files if int.from_bytes(file.read_bytes()[4:8], "little") != unchecked] == []


def test_licences_of_all_that_it_holds(image: Image) -> None:
    licences = image.rootfs / "licenses"
    assert (licences / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    folders = {
        folder.name.rpartition("-")[0].lower().replace("_", "-") for folder in (licences / "python").iterdir()
    }
    assert folders == locked() | {"xcopy-populator"}
    assert all(any(folder.rglob("*")) for folder in (licences / "python").iterdir())
    assert list((licences / "base").glob("*python3*"))


def test_the_sbom_names_every_locked_package(archive: Path) -> None:
    sbom = json.loads(archive.with_suffix(".cdx.json").read_text())
    assert locked() <= {part["name"].lower().replace("_", "-") for part in sbom["components"]}
    assert sbom["bomFormat"] == "CycloneDX"


def test_labels_and_user(archive: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-C", tmp_path, "-xf", archive], check=True)

    def blob(name: str) -> dict[str, dict[str, str]]:
        return dict(json.loads((tmp_path / "blobs" / name.replace(":", "/")).read_text()))

    index = json.loads((tmp_path / "index.json").read_text())
    config = blob(str(blob(index["manifests"][0]["digest"])["config"]["digest"]))["config"]
    labels: dict[str, str] = config["Labels"]  # type: ignore[assignment]
    assert labels["org.opencontainers.image.version"] == labels["version"] == "1.2.3"
    assert labels["org.opencontainers.image.revision"] == "abc"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["User"] == "107:107"


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
