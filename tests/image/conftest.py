"""One build of the image, unpacked, for all tests of this folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.image.container import Image, unpack
from tests.lab.program import ROOT


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's OCI archive, with its SBOM beside it."""
    file = tmp_path_factory.mktemp("image") / "image.tar"
    command = [
        sys.executable,
        str(ROOT / "deploy/image/build.py"),
        str(file),
        "--version=1.2.3",
        "--revision=abc",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture(scope="session")
def image(archive: Path) -> Image:
    """The unpacked image."""
    return unpack(archive, archive.parent / "unpacked")
