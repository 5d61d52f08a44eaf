"""Gathers the licences of all that the image holds: `licences.py FOLDER OWN`.

FOLDER gets OWN (our licence), `python/PACKAGE-VERSION/` for each package of this interpreter, with the files that it
brings or else the licence that its metadata state, and `base/` with what the base image says of its own packages.
"""

import re
import shutil
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

FILE = re.compile(r"(licen[cs]e|copying|notice|authors)[^/]*$", re.IGNORECASE)
OF_THE_BASE = ("/usr/share/licenses/*", "/usr/share/doc/*/copyright")
"""RPM's and Debian's"""


def of_package(package: Distribution, folder: Path) -> None:
    """Copy a package's licence files into the folder."""
    folder.mkdir(parents=True)
    for file in package.files or ():
        source = Path(str(file.locate()))
        if ".dist-info" in file.parts[0] and FILE.search(str(file)) and source.is_file():
            target = folder.joinpath(*file.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    if not any(folder.iterdir()):
        header = str(package.read_text("METADATA")).partition("\n\n")[0].splitlines()
        stated = [
            line
            for line in header
            if line.startswith(("License: ", "License-Expression: ", "Classifier: License"))
        ]
        if not stated:
            sys.exit(f"licences: {package.name} has no licence file and states no licence.")
        (folder / "LICENSE").write_text(
            "\n".join((f"{package.name} has no licence file. It states:", *stated, ""))
        )


def main() -> None:
    """Gather them all."""
    target, own = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(parents=True)
    shutil.copyfile(own, target / own.name)
    for package in distributions():
        of_package(package, target / "python" / f"{package.name}-{package.version}")
    for pattern in OF_THE_BASE:
        for found in sorted(Path("/").glob(pattern.lstrip("/"))):
            if found.is_dir():
                shutil.copytree(found, target / "base" / found.name)
            else:
                (target / "base" / found.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found, target / "base" / found.parent.name / found.name)


if __name__ == "__main__":
    main()
