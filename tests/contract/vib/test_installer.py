"""The installer on one host: real SSH, a real shell, a package that is judged and unpacked for real.

The host's esxcli, hostd and ps are programs with state (`tests/lab/esxi/packages.py`); what they cannot show is how a
real host words things.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from populator.clock import Clock
from tests.lab.esxi.packages import PackageHost
from tests.lab.esxi.sandbox import SHELLS
from tests.lab.esxi.sshd import Sshd, make_key
from tests.lab.esxi.vibs import plugin, script, stock_vib
from tests.lab.waiting import wait_until
from vsphere.errors import HostKeyRefused, LoginRefused, Unreachable, VsphereError
from vsphere.host.ssh import Login, Ssh
from vsphere.host.ssh_keys import HostTrust
from vsphere.vib.build import VENDOR, build_vib
from vsphere.vib.installer import HostOutcome, Options, Story, carry_out, install, remove, status
from vsphere.vib.package import Package, parse_package
from vsphere.vib.software import HostSoftware, Limits
from vsphere.wrapper.files import PLUGIN_XML, SCRIPT, VERSION

OURS = parse_package(build_vib(SCRIPT, PLUGIN_XML, VERSION))
LARGE = parse_package(build_vib(SCRIPT + b"# long\n" * 500_000, PLUGIN_XML, VERSION))
"""more than the buffers on its way hold"""
DEFAULTS, LIMITS = Options(), Limits()
SHORT = Options(hostd_seconds=1.0)
OURS_NOW = [(VERSION, VENDOR)]
BEFORE = f"{VERSION} ({VENDOR})"


class Site:
    """One host with its SSH server, and a way to it."""

    def __init__(self, folder: Path, *, shell: str = "busybox", room: int = 0) -> None:
        self.folder = folder
        self.host = PackageHost(folder / "host", shell, room)
        self.sshd = Sshd(self.host.sandbox)
        self.key = make_key(folder / "key")
        self.sshd.authorize(Path(f"{self.key}.pub").read_text().strip())
        self.ssh = self.connect()

    def connect(self, trust: HostTrust | None = None, seconds: float = 10.0) -> Ssh:
        login = Login("esx-1.lab", "127.0.0.1", self.key.read_text(), self.sshd.port)
        return Ssh(login, trust or HostTrust(), Clock(), seconds)

    def do(
        self,
        story: Story,
        package: Package = OURS,
        options: Options = DEFAULTS,
        limits: Limits = LIMITS,
    ) -> HostOutcome:
        return carry_out(story, HostSoftware(self.ssh, limits), package, options, Clock())

    def stock(self, version: str = "0.3.3", vendor: str = "REDHAT") -> bytes:
        folder = self.folder / f"stock {version} {vendor}"
        folder.mkdir()
        return stock_vib(folder, version, vendor=vendor)

    @property
    def told(self) -> list[str]:
        """All lines of all commands that the host was sent."""
        return self.host.lab("commands").read_text().splitlines()

    def commands(self, part: str) -> list[str]:
        return [line for line in self.told if part in line]

    def is_untouched(self) -> bool:
        """Whether nothing was copied, installed, removed or restarted by us."""
        touching = ("vib install", "vib remove", "hostd restart", "cat >")
        return not any(self.commands(part) for part in touching) and self.host.temporary == []

    def close(self) -> None:
        self.host.close()
        self.ssh.close()
        self.sshd.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    one = Site(tmp_path)
    yield one
    one.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_host_without_the_package_gets_it(tmp_path: Path, shell: str) -> None:
    site = Site(tmp_path, shell=shell)
    try:
        site.host.hostd_seconds = 2
        outcome = site.do(install)
        assert (outcome.before, outcome.after, outcome.failed) == ("none", BEFORE, False)
        assert site.host.installed == OURS_NOW
        assert site.host.hostd_restarts == 1
        assert VERSION in site.host.esxcli("vmkfstools", "version"), "called through hostd"
        assert site.host.temporary == []
        assert site.ssh.handshakes == 1

        again = site.do(install)
        assert (again.result, again.failed) == ("is up to date", False)
        assert (site.host.hostd_restarts, len(site.commands("vib install"))) == (1, 1)
    finally:
        site.close()


def test_the_acceptance_level_is_passed_only_where_it_must_and_never_changed(site: Site) -> None:
    site.host.level = "CommunitySupported"
    assert site.do(install).result == "installed"
    assert "--force" not in "".join(site.told)
    site.do(remove)
    site.host.level = "PartnerSupported"
    assert "past the acceptance level PartnerSupported, which stays as it is" in site.do(install).result
    assert "--force" in "".join(site.told)
    assert site.commands("acceptance set") == []
    assert site.host.level == "PartnerSupported"


def test_an_older_package_of_another_vendor_is_replaced(site: Site) -> None:
    site.host.put_in(site.stock())
    outcome = site.do(install)
    assert (outcome.before, outcome.after, outcome.failed) == ("0.3.3 (REDHAT)", BEFORE, False)
    assert site.host.installed == OURS_NOW
    assert site.host.hostd_restarts == 1
    assert "tasks" in site.host.esxcli("vmkfstools", "taskList"), "a command that 0.3.3 does not have"


def test_the_stock_package_can_be_installed_from_a_file_and_is_no_way_back(site: Site) -> None:
    stock = parse_package(site.stock())
    assert site.do(install, stock).after == "0.3.3 (REDHAT)"
    site.do(install)
    assert site.do(install, stock).result == f"has the newer version {VERSION}"
    assert site.host.installed == OURS_NOW


def test_a_newer_package_stays(site: Site) -> None:
    site.host.put_in(site.stock("0.10.0"))
    outcome = site.do(install)
    assert (outcome.result, outcome.failed) == ("has the newer version 0.10.0", False)
    assert site.host.installed == [("0.10.0", "REDHAT")]
    assert site.is_untouched()


def test_the_same_version_with_other_files_is_refused(site: Site) -> None:
    site.host.put_in(site.stock(VERSION))
    outcome = site.do(install)
    assert outcome.failed
    assert "other files" in outcome.result
    assert outcome.todo == "Remove it first."
    assert site.is_untouched()


def test_with_secure_boot_nothing_is_installed(site: Site) -> None:
    site.host.secure_boot = "Enabled"
    outcome = site.do(install)
    assert outcome.failed
    assert "would no longer boot" in outcome.result
    assert "Use the SSH method" in outcome.todo
    assert site.host.installed == []
    assert site.is_untouched()


def test_a_host_too_old_for_secure_boot_is_not_asked(site: Site) -> None:
    site.host.sandbox.path("/usr/lib/vmware/secureboot/bin/secureBoot.py").unlink()
    assert "Secure Boot unknown" in site.do(status).result
    assert not site.do(install).failed


def test_whether_secure_boot_is_on_is_never_guessed(site: Site) -> None:
    program = "/usr/lib/vmware/secureboot/bin/secureBoot.py"
    site.host.sandbox.add_program(program, "#!/bin/sh\necho Traceback >&2\nexit 1\n")
    with pytest.raises(VsphereError, match="does not report whether Secure Boot is on: Traceback"):
        site.do(install)
    assert site.is_untouched()
    site.host.sandbox.add_program(program, "#!/bin/sh\necho Disabled\nexit 1\n")
    assert not site.do(install).failed


def test_while_a_copy_runs_nothing_changes(site: Site) -> None:
    site.host.put_in(site.stock())
    with site.host.copying("naa.600a0980383030") as process:
        for story in (install, remove):
            outcome = site.do(story)
            assert outcome.failed
            assert "copying on the host, onto naa.600a0980383030;" in outcome.result
            assert outcome.after == outcome.before == "0.3.3 (REDHAT)"
        assert "copying onto naa.600a0980383030" in site.do(status).result
        assert site.is_untouched()
        os.kill(process, 0)
    assert not site.do(install).failed


def test_hostd_is_restarted_for_a_package_that_it_has_not_loaded(site: Site) -> None:
    left = site.do(install, options=Options(restart_hostd=False))
    assert (left.result, left.failed, site.host.hostd_restarts) == ("installed, not loaded", False, 0)
    assert "hostd restart" in left.todo
    outcome = site.do(install)
    assert (outcome.result, outcome.failed, site.host.hostd_restarts) == ("loaded", False, 1)
    assert len(site.commands("vib install")) == 1


def test_hostd_is_not_restarted_for_a_new_script_behind_the_same_plugin(site: Site) -> None:
    older = parse_package(build_vib(script("0.3.9"), plugin("version"), "0.3.9"))
    newer = parse_package(build_vib(script("0.4.1"), plugin("version"), "0.4.1"))
    site.do(install, older)
    assert site.do(install, newer).result.startswith("installed")
    assert site.host.hostd_restarts == 1


def test_a_dry_run_only_looks(site: Site) -> None:
    outcome = site.do(install, options=Options(dry_run=True))
    assert outcome.result.startswith(f"would install {VERSION}, past the acceptance level")
    assert site.is_untouched()
    site.host.put_in(site.stock())
    assert site.do(remove, options=Options(dry_run=True)).result == "would remove 0.3.3 (REDHAT)"
    assert site.is_untouched()
    assert site.host.installed == [("0.3.3", "REDHAT")]


def test_a_failing_installation_is_told_in_the_hosts_words(site: Site) -> None:
    site.host.put_in(site.stock())
    site.host.fail("install", "The pending transaction requires 98 MB free space")
    outcome = site.do(install)
    assert (outcome.failed, outcome.after) == (True, "0.3.3 (REDHAT)")
    assert "requires 98 MB free space" in outcome.result
    assert (site.host.temporary, site.host.hostd_restarts) == ([], 0)


def test_a_host_that_must_reboot_is_told_of(site: Site) -> None:
    site.host.fail("reboot")
    outcome = site.do(install)
    assert (outcome.failed, outcome.todo, site.host.hostd_restarts) == (True, "Reboot the host.", 0)


def test_a_full_tmp_is_told_as_such_and_left_empty(tmp_path: Path) -> None:
    site = Site(tmp_path, room=8192)
    try:
        outcome = site.do(install)
        assert outcome.failed
        assert "No space left on device" in outcome.result
        assert "vdf -h" in outcome.todo
        assert site.ssh.run("ls -A /tmp").stdout == ""
        assert site.host.installed == []
    finally:
        site.close()


def test_a_copy_that_arrives_damaged_is_not_installed(site: Site) -> None:
    site.host.sandbox.add_program("/bin/cat", "#!/bin/sh\n/usr/bin/busybox tr a b\n")
    outcome = site.do(install)
    assert outcome.failed
    assert "could not be copied" in outcome.result
    assert (site.host.installed, site.host.temporary) == ([], [])


@pytest.mark.parametrize("shell", SHELLS)
def test_a_connection_lost_in_mid_copy_leaves_nothing(tmp_path: Path, shell: str) -> None:
    site = Site(tmp_path, shell=shell)
    try:
        site.host.fail("hold")
        outcomes: list[HostOutcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(site.do(install, LARGE)))
        thread.start()
        wait_until(lambda: site.host.lab("copying").exists())
        assert len(site.host.temporary) == 1
        site.sshd.drop()
        thread.join(30)
        site.host.heal("hold")
        assert outcomes[0].failed
        assert "broke off the SSH connection" in outcomes[0].result
        wait_until(lambda: site.host.temporary == [])
        assert site.host.installed == []
        assert not site.do(install, LARGE).failed
    finally:
        site.close()


def test_a_lost_answer_is_made_good_by_the_next_run(site: Site) -> None:
    site.sshd.break_command("after", "software vib install")
    outcome = site.do(install)
    assert (outcome.failed, outcome.after) == (True, BEFORE)
    assert "broke off the SSH connection" in outcome.result
    assert site.host.temporary == []
    assert site.do(install).result == "loaded"


def test_a_command_that_hangs_is_given_up(site: Site) -> None:
    site.host.fail("install-hangs")
    outcome = site.do(install, limits=Limits(change=1.0))
    assert outcome.failed
    assert "did not end within 1 s" in outcome.result
    assert site.host.installed == []


def test_a_hostd_that_cannot_be_restarted_is_told_in_its_words(site: Site) -> None:
    site.host.fail("hostd-refuses")
    outcome = site.do(install)
    assert (outcome.failed, outcome.after) == (True, BEFORE)
    assert "hostd: cannot stop: busy" in outcome.result


@pytest.mark.parametrize("story", [install, remove])
def test_a_hostd_that_does_not_come_back_is_waited_for_and_told(site: Site, story: Story) -> None:
    site.host.put_in(site.stock())
    site.host.fail("hostd-dies")
    outcome = site.do(story, options=SHORT)
    assert outcome.failed
    assert "1 s after hostd was restarted" in outcome.result
    assert "/var/log/hostd.log" in outcome.todo


def test_a_namespace_that_hostd_does_not_load_is_no_success(site: Site) -> None:
    site.host.fail("namespace")
    outcome = site.do(install, options=SHORT)
    assert outcome.failed
    assert f"does not answer `esxcli vmkfstools version` with {VERSION}" in outcome.result
    assert site.host.temporary == []


def test_removing(site: Site) -> None:
    assert site.do(remove).result == "is not installed"
    assert site.is_untouched()
    site.do(install)
    outcome = site.do(remove)
    assert (outcome.before, outcome.after, outcome.failed) == (BEFORE, "none", False)
    assert (site.host.installed, site.host.temporary, site.host.hostd_restarts) == ([], [], 2)
    with pytest.raises(RuntimeError, match="Unknown command or namespace"):
        site.host.esxcli("vmkfstools", "version")
    assert not site.host.sandbox.path("/opt/redhat/vmkfstools-wrapper").exists()


def test_the_status_tells_what_installing_would_do(site: Site) -> None:
    outcome = site.do(status)
    assert (outcome.pending, outcome.failed) == (True, False), "a script can ask whether all hosts have it"
    assert outcome.result == "plugin not loaded, PartnerSupported, Secure Boot off"
    assert outcome.todo.startswith(f"install {VERSION}")
    assert site.is_untouched()
    site.do(install)
    outcome = site.do(status)
    assert (outcome.pending, outcome.before, outcome.todo) == (False, BEFORE, "is up to date")
    assert outcome.result.startswith(f"plugin {VERSION}, ")


def test_hosts_that_cannot_be_visited_are_told_of_and_nothing_is_sent(site: Site) -> None:
    right = HostTrust(known_hosts=f"127.0.0.1 {site.sshd.host_key}")
    site.ssh = site.connect(right)
    assert site.do(status).before == "none"
    site.ssh.close()
    sent = len(site.sshd.commands)

    site.sshd.change_host_key()
    with pytest.raises(HostKeyRefused):
        site.do(install)
    site.ssh = site.connect(seconds=1.0)
    site.sshd.authorize()
    with pytest.raises(LoginRefused):
        site.do(install)
    site.sshd.hanging = True
    with pytest.raises(Unreachable, match="did not answer over SSH within 1 s"):
        site.do(install)
    site.sshd.refuse()
    with pytest.raises(Unreachable, match="refuses SSH connections"):
        site.do(install)
    assert len(site.sshd.commands) == sent
    assert site.is_untouched()
