"""What it takes to add a vendor, tried with one that is made up: in a copy of the program, and nothing there is edited
but the registry's table. `deploy/docs/adding-a-vendor.md` has the same list.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOY = Path(__file__).parent / "toy"
LAST_ROW = '    "vantara": Vendor('
ROW = """    "toy": Vendor(
        "Toy",
        ("csi.toy.example",),
        SCSI,
        "toy",
        Credentials.TOKEN,
        options=(Option("TOY_SHELF", "The shelf on which the array stands.", required=True),),
    ),
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a copy of the project with the vendor in it."""
    target = tmp_path_factory.mktemp("added")
    for name in ("populator", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("vsphere", "lease", "deploy", "pyproject.toml"):
        (target / name).symlink_to(ROOT / name)
    shutil.copytree(TOY / "driver", target / "populator/storage/vendors/toy")
    shutil.copytree(TOY / "lab", target / "tests/lab/arrays/toy")
    registry = target / "populator/storage/registry.py"
    registry.write_text(registry.read_text().replace(LAST_ROW, ROW + LAST_ROW))
    yield target
    shutil.rmtree(target)


def run(copy: Path, *command: str) -> str:
    """Run a Python module there, and return what it prints; it has to succeed."""
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def differing(copy: Path) -> set[str]:
    """Return the folders that are new there, and the files that are new or not as they were."""
    found = set()
    for file in (
        file for top in ("populator", "tests") for file in (copy / top).rglob("*") if file.is_file()
    ):
        original = ROOT / file.relative_to(copy)
        if not original.parent.exists():
            found.add(str(original.parent.relative_to(ROOT)))
        elif not original.exists() or original.read_bytes() != file.read_bytes():
            found.add(str(original.relative_to(ROOT)))
    return {path for path in found if "__pycache__" not in path}


def test_a_vendor_is_a_folder_a_row_and_a_simulator(copy: Path) -> None:
    touched = {"populator/storage/vendors/toy", "populator/storage/registry.py", "tests/lab/arrays/toy"}
    assert differing(copy) == touched
    guide = (ROOT / "deploy/docs/adding-a-vendor.md").read_text()
    for path in touched:
        assert path.replace("toy", "<vendor>") in guide


def test_the_contract_holds_it_to_the_same_page_as_the_others(copy: Path) -> None:
    said = run(
        copy,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/contract/storage/test_array.py",
        "tests/contract/storage/test_array_faults.py",
        "-k",
        "toy and not eight_calls",
    )
    assert "failed" not in said
    assert int(said.split(" passed")[0].split()[-1]) > 50


def test_its_settings_are_checked_by_its_row(copy: Path) -> None:
    script = (
        "from populator.settings.parse import Parser\n"
        "parser = Parser({'storage-vendor-product': 'toy', 'storage-hostname': 'h', 'storage-username': 'u',\n"
        " 'storage-password': 'p', 'storage-http-timeout-seconds': '30'}, {})\n"
        "parser.storage(); print(*parser.problems, sep='\\n')\n"
        "parser = Parser({'storage-vendor-product': 'toy', 'storage-hostname': 'h', 'storage-token': 't',\n"
        " 'storage-http-timeout-seconds': '30'}, {'TOY_SHELF': 's', 'ONTAP_SVM': 'svm1'})\n"
        "access = parser.storage().access; print(parser.problems, access.token, access.options)\n"
    )
    assert run(copy, "-c", script).splitlines() == [
        "--storage-token (STORAGE_TOKEN) is missing.",
        "TOY_SHELF is missing: The shelf on which the array stands.",
        "[] t {'TOY_SHELF': 's'}",
    ]


def test_the_whole_program_runs_with_it(copy: Path) -> None:
    script = (
        "from tests.lab.lab import Lab\n"
        "with Lab(array='toy') as lab:\n"
        "    target = lab.add_target()\n"
        "    with lab.program(target) as program:\n"
        "        code = program.wait()\n"
        "    print(code, lab.copied(target), lab.leftovers(target), program.text() if code else '')\n"
    )
    assert run(copy, "-c", script).strip() == "0 True []"
