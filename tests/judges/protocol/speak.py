"""How a judge's client is spoken to: a JSON object a line, in its environment, so with the standard library alone.

The first line says where to connect to, each later one which function to call with which arguments. Each is answered by
one line, `{"result": …}` or `{"error": [class, text]}`.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


def serve(
    connect: Callable[[str, str, dict[str, Any]], Any], functions: Mapping[str, Callable[..., Any]]
) -> None:
    """Connect, and call functions (the client is their first argument) until the tests hang up."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the client's libraries print is no answer
    client = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "function" in question:
                result = functions[question["function"]](client, **question["arguments"])
            else:
                client, result = connect(question["address"], question["ca_file"], question["options"]), None
            answer = {"result": result}
        except Exception as error:
            answer = {"error": [type(error).__name__, str(error)]}
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()
