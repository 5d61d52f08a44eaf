"""The key lines to the byte: hosts have them installed, and a person compares them by eye."""

from pathlib import Path

import pytest

from vsphere.errors import VsphereError
from vsphere.wrapper.key_line import checksum, compatible, hardened

KEY = "ssh-rsa K"
COMPATIBLE, NAMED, ANY = (Path(__file__).with_name("key_lines.txt")).read_text().splitlines()


def test_the_lines_are_as_hosts_have_them() -> None:
    assert compatible(KEY) == COMPATIBLE
    assert hardened(KEY, b"x", ["ds one", "it's"]) == NAMED
    assert hardened(KEY, b"x") == ANY
    assert checksum(b"x") in ANY


@pytest.mark.parametrize("line", [COMPATIBLE, NAMED, ANY])
def test_a_line_is_one_line_of_plain_characters_without_a_word_left_open(line: str) -> None:
    assert line.isascii()
    assert line.isprintable()
    assert "@" not in line
    assert "#" not in line.replace("${C#", "")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a;b", "a\nb"])
def test_what_is_no_datastores_name_does_not_get_into_a_line(name: str) -> None:
    with pytest.raises(VsphereError, match="no datastore's name"):
        hardened(KEY, b"x", [name])
