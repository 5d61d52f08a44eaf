"""Takes out of this interpreter's `kubernetes` package what `lease/kube/library.py` never imports.

That is the models and calls of every API, and the asynchronous client: nine tenths of the package. What is left knows
configuration and transport. Run in the image's build stage.
"""

import shutil
import sys
import sysconfig
from pathlib import Path

UNUSED = (
    "aio",
    "client/api",
    "client/models",
    "docs",
    "dynamic",
    "e2e_test",
    "leaderelection",
    "stream",
    "test",
    "watch",
)
KEPT = ("client/configuration.py", "client/rest.py", "config/incluster_config.py", "config/kube_config.py")


def main() -> None:
    """Prune, and stop the build if the package is not laid out as this file expects."""
    package = Path(sysconfig.get_path("purelib")) / "kubernetes"
    if missing := [name for name in (*KEPT, "client/api", "client/models") if not (package / name).exists()]:
        sys.exit(
            f"prune: {package} has no {', '.join(missing)}: see what lease/kube/library.py needs of it now."
        )
    for name in UNUSED:
        if (package / name).exists():
            shutil.rmtree(package / name)


if __name__ == "__main__":
    main()
