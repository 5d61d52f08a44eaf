"""Our script, where the host's key line starts it: is the host set up, is the script there, does it answer?

Nothing is written before the host has shown that it is set up. A script of a newer version is left alone: populators of
two versions may be at work, and each newer one serves the older.
"""

import logging
import re
from dataclasses import dataclass

from vsphere.errors import LoginRefused, Unreadable, VsphereError, WrapperMissing
from vsphere.vcenter.datastore import Datastore
from vsphere.wrapper import key_line
from vsphere.wrapper.answers import parse_version
from vsphere.wrapper.by_ssh import Script
from vsphere.wrapper.contract import version_order

log = logging.getLogger(__name__)

TEST = "status test-task-id"
VERSION = re.compile(rb'^(?:SCRIPT_)?VERSION="?([0-9.]+)', re.MULTILINE)


@dataclass(frozen=True)
class OurScript:
    """What shall run on the host, and the key that the host lets in."""

    content: bytes
    version: str
    public_key: str


def ensure_script(script: Script, datastore: Datastore, ours: OurScript, writer: str) -> None:
    """Let the host start our script or a newer one from the datastore; raise what to do where it does not.

    `writer` is who puts it there; no two at once have the same name.
    """
    pinned = _ask(script, ours)
    if not (pinned and _runs(script, ours)):
        _upload(datastore, ours, writer)
        _check(script, ours)


def look_for_script(script: Script, datastore: Datastore, ours: OurScript) -> str:
    """Say what `ensure_script` would find; raise what it would raise, as far as that shows with nothing written."""
    if _ask(script, ours) and _runs(script, ours):
        return f"the host keeps this program's script, version {ours.version}"
    found = datastore.read(key_line.SCRIPT)
    if found is None or version_order(_version_in(found)) < version_order(ours.version):
        before = f" in place of version {_version_in(found) or 'unknown'}" if found else ""
        return f"version {ours.version} will be put onto datastore {datastore.name}{before}"
    _check(script, ours)
    return f"version {_version_in(found)} is on datastore {datastore.name}, and the host starts it"


def _ask(script: Script, ours: OurScript) -> bool:
    """Return whether the host's key line pins our script; raise where it is no key line of ours at all."""
    line = key_line.compatible(ours.public_key)
    try:
        said = script.ask_key_line(TEST)
    except LoginRefused as error:
        raise LoginRefused(error.text, _renew(line)) from error
    if said != key_line.READY:
        raise VsphereError(
            f"Host {script.host} is not set up for the SSH method: it answers {said[:80]!r}, not {key_line.READY}.",
            _renew(line),
        )
    pin = script.ask_key_line(key_line.PIN)
    if pin not in {key_line.READY, key_line.checksum(ours.content)}:
        raise VsphereError(
            f"The key line of host {script.host} pins another script (sha256 {pin[:64]}) than this program's, "
            f"version {ours.version}.",
            _renew_hardened(script, ours),
        )
    return pin != key_line.READY


def _runs(script: Script, ours: OurScript) -> bool:
    """Whether the host runs our script already, from the copy that a hardened line keeps."""
    try:
        return parse_version(script.version()).number == ours.version
    except (WrapperMissing, Unreadable) as error:
        if key_line.NOT_LISTED in error.text:
            raise WrapperMissing(
                f"The key line of host {script.host} does not allow datastore {script.datastore!r}.",
                _renew_hardened(script, ours),
            ) from error
        return False


def _upload(datastore: Datastore, ours: OurScript, writer: str) -> None:
    found = datastore.read(key_line.SCRIPT)
    if found == ours.content:
        log.debug("the script is on datastore %s already", datastore.name)
    elif found is not None and version_order(_version_in(found)) > version_order(ours.version):
        log.warning("datastore %s has a newer script (%s); using it", datastore.name, _version_in(found))
    else:
        datastore.replace(key_line.SCRIPT, ours.content, writer)
        log.info("uploaded the script, version %s, to datastore %s", ours.version, datastore.name)


def _check(script: Script, ours: OurScript) -> None:
    line = key_line.compatible(ours.public_key)
    try:
        answer = script.version()
    except (WrapperMissing, Unreadable) as error:
        raise type(error)(error.text, _renew(line)) from error
    number = parse_version(answer).number
    if version_order(number) < version_order(ours.version):
        raise VsphereError(
            f"Host {script.host} starts an old script over SSH (version {number or 'unknown'}, not {ours.version}): "
            "its key line leads to another place than the datastore.",
            _renew(line),
        )


def _renew(line: str) -> str:
    return f"Put this line into {key_line.FILE} on the host, in place of the populator's old one: {line}"


def _renew_hardened(script: Script, ours: OurScript) -> str:
    line = key_line.hardened(ours.public_key, ours.content, [script.datastore])
    return f"{_renew(line)} Add the other datastores to it, which the host does not tell: see the old line."


def _version_in(script: bytes) -> str:
    found = VERSION.search(script)
    return found[1].decode() if found else ""
