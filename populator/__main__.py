"""The program's first lines: from here on no SIGTERM is lost.

Importing the rest takes some tenths of a second. Meanwhile SIGTERM and Ctrl-C are held back, to be heard as soon as
there is somebody to hear them: by default they would end the process without a termination message or, where it is a
container's first process, be ignored. What comes before the first line is held back by `env` (see the Dockerfile).
"""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the program and exit."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    from populator.cli import main as run  # noqa: PLC0415 - slow, see above

    run()


if __name__ == "__main__":
    main()
