"""`python -m tests.image ARCHIVE` prints how large the image is, unpacked, and how long it takes to start."""

import sys
import tempfile
import time
from pathlib import Path

from tests.image.container import Container, unpack


def main() -> None:
    """Unpack, measure and run."""
    with tempfile.TemporaryDirectory(prefix="populator-image-") as name:
        image = unpack(Path(sys.argv[1]), Path(name))
        files = [file for file in image.rootfs.rglob("*") if file.is_file() and not file.is_symlink()]
        print(f"unpacked: {sum(file.stat().st_size for file in files) / 1e6:.0f} MB, {len(files)} files")
        for word in ("--version", "--help"):
            took = []
            for _ in range(5):
                began = time.monotonic()
                Container(image).run(word).check_returncode()
                took.append(time.monotonic() - began)
            print(f"{word}: {min(took):.2f} s from runc's start to its end, best of {len(took)}")


if __name__ == "__main__":
    main()
