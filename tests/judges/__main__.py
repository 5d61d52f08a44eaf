"""`python -m tests.judges [NAME …]` installs the judges, or those named, and prints where their Pythons are."""

import sys

from tests.judges import JudgeError, environment, names
from tests.lab.tools import ToolError

if __name__ == "__main__":
    try:
        for judge in sys.argv[1:] or names():
            print(environment(judge))
    except (JudgeError, ToolError) as error:
        sys.exit(f"judges: {error}")
