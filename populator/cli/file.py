"""A file that is written whole or not at all."""

import os
import tempfile
from pathlib import Path

from populator.errors import SettingsError


def write_whole(file: Path, data: bytes, option: str = "--file") -> None:
    """Write a file by way of another one beside it; what was there stays until all of the new one is.

    `option` is what named it, for the error.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as part:
            beside = Path(part.name)
            try:
                part.write(data)
                part.flush()
                os.fsync(part.fileno())
                beside.chmod(0o644)
                beside.replace(file)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise SettingsError([f"{option}: cannot write {file}: {error.strerror}."]) from error
