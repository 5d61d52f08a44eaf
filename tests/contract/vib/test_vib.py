"""The VIB, judged by tools that know nothing of ours: ar, tar, gzip, sha256sum, sha1sum, xmllint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.esxi.vibs import PLUGIN_FILE, SCRIPT_FILE, plugin, run, script, stock_vib
from tests.lab.program import ROOT
from vsphere.errors import VsphereError
from vsphere.vib.build import SUMMARY_LIMIT, VENDOR, build_vib, check_limits
from vsphere.vib.package import parse_package
from vsphere.wrapper import files as wrapper

SCRIPT = script("0.4.0") + b"# " + b"long " * 40_000 + b"\n"
"""longer than one stored block of deflate"""
PLUGIN = plugin("clone", "version")
BUILD = "import sys; from tests.contract.vib import test_vib as t; sys.stdout.buffer.write(t.build())"


def build() -> bytes:
    return build_vib(SCRIPT, PLUGIN, "0.4.0")


def gunzip(data: bytes) -> bytes:
    return subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True).stdout


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """The package, taken apart by ar."""
    (tmp_path / "it.vib").write_bytes(build())
    run(tmp_path, "ar", "x", "it.vib")
    return tmp_path


def query(folder: Path, xpath: str) -> str:
    return run(folder, "xmllint", "--xpath", f"string({xpath})", "descriptor.xml").strip()


def test_ar_finds_descriptor_signature_and_payload_in_this_order(unpacked: Path) -> None:
    assert run(unpacked, "ar", "t", "it.vib").split() == ["descriptor.xml", "sig.pkcs7", "vmkfsw"]
    for line in run(unpacked, "ar", "tvO", "it.vib").splitlines():
        assert line.startswith("rw-r--r-- 0/0 ")
    assert (unpacked / "sig.pkcs7").read_bytes() == b"", "it is not signed"


def test_tar_finds_the_files_and_every_folder_above_them(unpacked: Path) -> None:
    listed = [line.split() for line in run(unpacked, "tar", "-tvzf", "vmkfsw").splitlines()]
    assert {words[1] for words in listed} == {"root/root"}
    folders = "opt opt/redhat usr usr/lib usr/lib/vmware usr/lib/vmware/esxcli usr/lib/vmware/esxcli/ext"
    assert [(words[0], words[-1]) for words in listed] == [
        *(("drwxr-xr-x", f"{folder}/") for folder in folders.split()),
        ("-rwxr-xr-x", SCRIPT_FILE),
        ("-rw-r--r--", PLUGIN_FILE),
    ]
    run(unpacked, "tar", "-xzf", "vmkfsw")
    assert (unpacked / SCRIPT_FILE).read_bytes() == SCRIPT
    assert (unpacked / PLUGIN_FILE).read_bytes() == PLUGIN


def test_the_descriptors_checksums_are_those_of_the_tools(unpacked: Path) -> None:
    (unpacked / "tar").write_bytes(gunzip((unpacked / "vmkfsw").read_bytes()))
    for tool, file, condition in (
        ("sha256sum", "vmkfsw", "@checksum-type='sha-256' and not(@verify-process)"),
        ("sha256sum", "tar", "@checksum-type='sha-256' and @verify-process='gunzip'"),
        ("sha1sum", "tar", "@checksum-type='sha-1' and @verify-process='gunzip'"),
    ):
        assert query(unpacked, f"//payload/checksum[{condition}]") == run(unpacked, tool, file).split()[0]
    assert query(unpacked, "//payload/@size") == str((unpacked / "vmkfsw").stat().st_size)


def test_the_descriptor_says_what_a_host_asks(unpacked: Path) -> None:
    assert query(unpacked, "count(//payload)") == "1"
    for path, value in {
        "/vib/@version": "5.0",
        "/vib/type": "bootbank",
        "/vib/name": "vmkfstools-wrapper",
        "/vib/version": "0.4.0",
        "/vib/vendor": VENDOR,
        "/vib/relationships/replaces/constraint/@name": "vmkfstools-wrapper",
        "/vib/relationships/replaces/constraint/@relation": "<<",
        "/vib/relationships/replaces/constraint/@version": "0.4.0",
        "/vib/system-requires/maintenance-mode": "false",
        "/vib/file-list/file[1]": SCRIPT_FILE,
        "/vib/file-list/file[2]": PLUGIN_FILE,
        "/vib/acceptance-level": "community",
        "/vib/live-install-allowed": "true",
        "/vib/live-remove-allowed": "true",
        "/vib/stateless-ready": "true",
        "/vib/payloads/payload/@name": "vmkfsw",
        "/vib/payloads/payload/@type": "tgz",
    }.items():
        assert query(unpacked, path) == value, path
    assert len(query(unpacked, "/vib/summary")) <= SUMMARY_LIMIT


def test_a_rebuild_elsewhere_gives_the_same_bytes() -> None:
    """Another process, time zone, umask, hash seed, clock; and the bytes that other machines get."""
    environment = os.environ | {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    other = subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=ROOT,
        env=environment,
        umask=0o077,
        capture_output=True,
        check=True,
    ).stdout
    assert other == build()
    assert parse_package(other).digest == "0f942025a7d10b05dbc1df256799a942c72966d6347095d267817de3c7fdb12f"


@pytest.mark.parametrize("version", ["", "0.4.0 beta", "0.4.0\n", "0,4", "1" * 36, "0.4.0/..", "ä"])
def test_versions_that_a_host_refuses_are_refused(version: str) -> None:
    with pytest.raises(VsphereError, match="cannot be the version of a VIB"):
        build_vib(SCRIPT, PLUGIN, version)


@pytest.mark.parametrize("summary", ["x" * 81, "two\nlines"])
def test_summaries_that_a_host_refuses_are_refused(summary: str) -> None:
    with pytest.raises(VsphereError, match="one line of 80 characters"):
        check_limits("0.4.0", summary)


def test_a_package_made_by_others_is_read(tmp_path: Path) -> None:
    data = stock_vib(tmp_path)
    package = parse_package(data)
    assert (package.version, package.vendor) == ("0.3.3", "REDHAT")
    assert package.commands == ("clone", "taskGet", "taskClean", "version")
    for digest, file in (
        (package.digest, "it.vib"),
        (package.script_digest, f"root/{SCRIPT_FILE}"),
        (package.plugin_digest, f"root/{PLUGIN_FILE}"),
    ):
        assert digest == run(tmp_path, "sha256sum", file).split()[0]


def test_what_is_no_package_of_the_wrapper_is_refused(tmp_path: Path) -> None:
    good = build()
    payload_damaged = good[:3000] + b"XX" + good[3002:]
    with pytest.raises(VsphereError, match="The VIB is 'esx-ui'"):
        parse_package(stock_vib(tmp_path, name="esx-ui"))
    for data in (
        b"",
        b"PK\3\4 a zip file",
        good[:5000],
        good[:70],
        payload_damaged,
        build_vib(SCRIPT, b"<plugin/>", "0.4.0"),
        build_vib(SCRIPT, plugin("clone; reboot"), "0.4.0"),
    ):
        with pytest.raises(VsphereError, match="is not a VIB of vmkfstools-wrapper"):
            parse_package(data)


def test_a_version_always_means_the_same_package() -> None:
    """Two hosts that tell the same version have the same wrapper; so has whoever compares checksums."""
    lines = Path(__file__).with_name("vib_versions.txt").read_text().splitlines()
    recorded = dict(line.split() for line in lines if not line.startswith("#"))
    digest = parse_package(build_vib(wrapper.SCRIPT, wrapper.PLUGIN_XML, wrapper.VERSION)).digest
    assert recorded.get(wrapper.VERSION) == digest, (
        f"Version {wrapper.VERSION} was another package, or none. Raise VERSION in the wrapper if that one was given "
        f"away. Then tests/contract/vib/vib_versions.txt needs this line: {wrapper.VERSION} {digest}"
    )
