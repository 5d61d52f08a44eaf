"""A host whose comparison of source and volume takes a minute, so that something can happen to it meanwhile."""

from tests.lab.esxi.host import EsxiHost
from tests.lab.esxi.script import Script

SLOW = """#!/bin/sh
case $* in *count=34) exec /bin/busybox dd "$@" ;; esac
for each; do case $each in if=*) exec 3<"${each#if=}" ;; esac; done
/bin/busybox sleep 60
"""
"""a dd that reads the partition tables, and then keeps open what it is to read"""


def script_of(host: EsxiHost) -> Script:
    """Return the host's wrapper, which has to be our script."""
    assert isinstance(host.wrapper, Script)
    return host.wrapper


def be_slow(host: EsxiHost) -> None:
    """Let comparisons take a minute."""
    script_of(host).sandbox.add_program("/bin/dd", SLOW)


def be_quick(host: EsxiHost) -> None:
    """Let those that begin now take their time alone."""
    script_of(host).sandbox.path("/bin/dd").unlink()
    script_of(host).sandbox.path("/bin/dd").symlink_to("/usr/bin/busybox")
