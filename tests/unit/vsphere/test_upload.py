"""Which script a host starts over SSH: put there when it has to be, left alone when it is newer, pinned or not ours."""

import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from vsphere.errors import LoginRefused, VsphereError, WrapperMissing
from vsphere.host.ssh import Output
from vsphere.wrapper import key_line
from vsphere.wrapper.by_ssh import Script
from vsphere.wrapper.upload import OurScript, ensure_script


def script(version: str) -> bytes:
    return f'#!/bin/sh\nVERSION="{version}"\n'.encode()


WRITER = "pod-1_0a1b2c3d"
OURS = OurScript(script("0.4.2"), "0.4.2", "ssh-rsa K")


@dataclass
class Place:
    """A host with a key line, and the datastore that it starts the script from; both shell and file manager."""

    files: dict[str, bytes] = field(default_factory=dict)
    says: str = key_line.READY
    """what the key line says to a request without a datastore"""
    pin: str = ""
    """checksum that a hardened key line holds"""
    kept: bytes = b""
    """the script that a hardened key line has copied before"""
    elsewhere: bytes = b""
    """what a line that does not look at the datastore starts"""
    listed: bool = True
    locked: bool = False
    uploads: int = 0
    name: str = "ds one"
    seconds: int = 30
    login: Any = field(default_factory=lambda: SimpleNamespace(host="esx-1"))

    def run(self, command: str, seconds: float | None = None, guard: Any = None) -> Output:
        if self.locked:
            raise LoginRefused("Host esx-1 does not accept our SSH key.")
        datastore, _, operation = command.removeprefix("DS=").partition(";CMD=")
        if not datastore:
            return Output(0, self.pin if self.pin and operation == key_line.PIN else self.says, "")
        assert operation == "--version"
        if self.pin and not self.listed:
            return self._answer("1", key_line.NOT_LISTED)
        content = self._started()
        if content is None:
            return Output(2, "", "sh: can't open the script: No such file or directory")
        found = re.search(rb'VERSION="(.*)"', content)
        version = found[1].decode() if found else ""
        return self._answer("0", f"{{&quot;version&quot;:&quot;{version}&quot;}}")

    def _started(self) -> bytes | None:
        there = self.elsewhere or self.files.get(key_line.SCRIPT)
        if self.pin:
            if there is not None and key_line.checksum(there) == self.pin:
                self.kept = there
            return self.kept or None
        return there

    def _answer(self, status: str, message: str) -> Output:
        space = "http://www.vmware.com/Products/ESX/5.0/esxcli/"
        fields = "".join(
            f'<field name="{name}"><string>{value}</string></field>'
            for name, value in (("status", status), ("message", message))
        )
        text = f'<output xmlns="{space}"><structure typeName="result">{fields}</structure></output>'
        return Output(int(status), text, "")

    def read(self, file: str) -> bytes | None:
        return self.files.get(file)

    def replace(self, file: str, content: bytes, writer: str) -> None:
        assert writer == WRITER
        self.uploads += 1
        self.files[file] = content


def ensure(place: Place) -> None:
    shell: Any = place
    ensure_script(Script(shell, place.name, lambda call, _: call()), shell, OURS, WRITER)


def test_it_is_put_there_once() -> None:
    place = Place()
    ensure(place)
    ensure(place)
    assert (place.files, place.uploads) == ({key_line.SCRIPT: OURS.content}, 1)


@pytest.mark.parametrize("older", ["0.3.3", "0.4.1", "0.4"])
def test_an_older_one_is_replaced(older: str) -> None:
    place = Place({key_line.SCRIPT: script(older)})
    ensure(place)
    assert place.files[key_line.SCRIPT] == OURS.content


@pytest.mark.parametrize("newer", ["0.4.10", "0.5.0", "1.0"])
def test_a_newer_one_is_left_alone(newer: str, caplog: pytest.LogCaptureFixture) -> None:
    place = Place({key_line.SCRIPT: script(newer)})
    ensure(place)
    assert place.files[key_line.SCRIPT] == script(newer)
    assert f"has a newer script ({newer})" in caplog.text


def test_one_of_the_same_version_but_other_content_is_replaced() -> None:
    place = Place({key_line.SCRIPT: OURS.content + b"exit 1\n"})
    ensure(place)
    assert place.files[key_line.SCRIPT] == OURS.content


def test_a_host_that_is_not_set_up_gets_nothing_and_the_user_the_line() -> None:
    place = Place(says="Welcome.")
    with pytest.raises(
        VsphereError, match=r"not set up for the SSH method: it answers 'Welcome\.'"
    ) as caught:
        ensure(place)
    assert key_line.compatible(OURS.public_key) in caught.value.hint
    assert not place.files


def test_a_key_that_is_refused_comes_with_the_line_that_lets_it_in() -> None:
    with pytest.raises(LoginRefused) as caught:
        ensure(Place(locked=True))
    assert key_line.compatible(OURS.public_key) in caught.value.hint


def test_a_pinned_script_that_runs_already_is_not_uploaded_again() -> None:
    place = Place(pin=key_line.checksum(OURS.content), kept=OURS.content)
    ensure(place)
    assert not place.uploads


def test_a_pinned_script_that_is_not_there_is_uploaded() -> None:
    place = Place(pin=key_line.checksum(OURS.content))
    ensure(place)
    assert place.kept == OURS.content


def test_a_line_that_pins_another_script_is_named_with_the_one_to_put_there() -> None:
    place = Place(pin=key_line.checksum(b"another"))
    with pytest.raises(VsphereError, match="pins another script") as caught:
        ensure(place)
    assert key_line.hardened(OURS.public_key, OURS.content, ["ds one"]) in caught.value.hint
    assert not place.uploads


def test_a_line_that_does_not_list_the_datastore() -> None:
    place = Place(pin=key_line.checksum(OURS.content), listed=False)
    with pytest.raises(WrapperMissing, match="does not allow datastore 'ds one'") as caught:
        ensure(place)
    assert key_line.hardened(OURS.public_key, OURS.content, ["ds one"]) in caught.value.hint
    assert not place.uploads


def test_a_line_that_starts_an_old_script_from_elsewhere_is_found_out() -> None:
    place = Place(elsewhere=script("0.3.3"))
    with pytest.raises(
        VsphereError, match=r"starts an old script over SSH \(version 0.3.3, not 0.4.2\)"
    ) as caught:
        ensure(place)
    assert key_line.compatible(OURS.public_key) in caught.value.hint
