"""What is to be done on a host, by what was found there: every row of the table, without a host."""

from dataclasses import replace

import pytest

from vsphere.vib.decision import (
    COMMUNITY,
    Act,
    Facts,
    Installed,
    decide_install,
    decide_remove,
    needs_restart,
)
from vsphere.vib.package import Package

OURS = Package("0.4.0", "us", b"", "d", "script", "plugin", ("version",))
BARE = Facts(None, "PartnerSupported", False, (), "", "", "", False)
CURRENT = Facts(Installed("0.4.0", "us"), COMMUNITY, False, (), "script", "plugin", "0.4.0", True)
STOCK = replace(
    CURRENT, installed=Installed("0.3.3", "REDHAT"), script_digest="s", plugin_digest="p", answers="0.3.3"
)
COPYING = ("naa.1",)


@pytest.mark.parametrize(
    ("facts", "act", "force"),
    [
        (BARE, Act.INSTALL, True),
        (replace(BARE, level=COMMUNITY), Act.INSTALL, False),
        (replace(BARE, level="VMwareCertified"), Act.INSTALL, True),
        (replace(BARE, secure_boot=None), Act.INSTALL, True),
        (replace(BARE, secure_boot=True), Act.REFUSE, False),
        (replace(BARE, copies=COPYING), Act.REFUSE, False),
        (STOCK, Act.INSTALL, False),
        (replace(STOCK, copies=COPYING), Act.REFUSE, False),
        (replace(STOCK, secure_boot=True), Act.REFUSE, False),
        (CURRENT, Act.NOTHING, False),
        (replace(CURRENT, copies=COPYING), Act.NOTHING, False),
        (replace(CURRENT, secure_boot=True), Act.NOTHING, False),
        (replace(CURRENT, script_digest="other"), Act.REFUSE, False),
        (replace(CURRENT, plugin_digest="other"), Act.REFUSE, False),
        (replace(CURRENT, answers=""), Act.RESTART_HOSTD, False),
        (replace(CURRENT, answers="0.3.3"), Act.RESTART_HOSTD, False),
        (replace(CURRENT, complete=False), Act.RESTART_HOSTD, False),
        (replace(CURRENT, complete=False, copies=COPYING), Act.REFUSE, False),
        (replace(STOCK, installed=Installed("0.10.0", "REDHAT")), Act.NOTHING, False),
        (replace(STOCK, installed=Installed("0.10.0", "REDHAT"), copies=COPYING), Act.NOTHING, False),
    ],
)
def test_installing(facts: Facts, act: Act, force: bool) -> None:
    decision = decide_install(facts, OURS)
    assert (decision.act, decision.force) == (act, force)
    assert decision.hint or act is not Act.REFUSE, "who is refused is told what to do"


@pytest.mark.parametrize(
    ("facts", "act"),
    [
        (BARE, Act.NOTHING),
        (CURRENT, Act.REMOVE),
        (STOCK, Act.REMOVE),
        (replace(STOCK, secure_boot=True), Act.REMOVE),
        (replace(CURRENT, copies=COPYING), Act.REFUSE),
        (replace(BARE, copies=COPYING), Act.NOTHING),
    ],
)
def test_removing(facts: Facts, act: Act) -> None:
    assert decide_remove(facts).act is act


def test_hostd_restarts_unless_it_has_loaded_this_very_plugin() -> None:
    assert not needs_restart(CURRENT, OURS)
    assert not needs_restart(replace(CURRENT, answers="0.3.9"), OURS), "the script is read again each time"
    for facts in (BARE, STOCK, replace(CURRENT, complete=False), replace(CURRENT, plugin_digest="p")):
        assert needs_restart(facts, OURS)
