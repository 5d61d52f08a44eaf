"""Bodies of requests to the lab's servers: what Python's clients send, and what Go's do."""

from email.message import Message
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.body import read_body


def request(body: bytes, **headers: str) -> Any:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return SimpleNamespace(headers=message, rfile=BytesIO(body))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"12345NEXT", {"Content_Length": "5"}),
        (b"5\r\n12345\r\n0\r\n\r\nNEXT", {"Transfer_Encoding": "chunked"}),
        (
            b"3;some=extension\r\n123\r\n2\r\n45\r\n0\r\nA: trailer\r\n\r\nNEXT",
            {"Transfer_Encoding": "Chunked"},
        ),
    ],
)
def test_the_body_is_read_and_nothing_of_the_next_request(body: bytes, headers: dict[str, str]) -> None:
    given = request(body, **headers)
    assert read_body(given) == b"12345"
    assert given.rfile.read() == b"NEXT"


def test_a_request_may_have_no_body() -> None:
    given = request(b"NEXT")
    assert read_body(given) == b""
    assert given.rfile.read() == b"NEXT"
