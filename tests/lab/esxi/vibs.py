"""VIBs made by the usual tools, ar, tar and gzip, as Forklift's are: other versions and other people's packages."""

import hashlib
import subprocess
from pathlib import Path

NS = "http://www.vmware.com/Products/ESX/5.0/esxcli/"
SCRIPT_FILE = "opt/redhat/vmkfstools-wrapper"
PLUGIN_FILE = "usr/lib/vmware/esxcli/ext/esxcli-vmkfstools.xml"


def script(version: str) -> bytes:
    """Return a script that can tell its version, and nothing else."""
    return f"""#!/bin/sh
cat <<'END'
<?xml version="1.0"?>
<output xmlns="{NS}"><structure typeName="result"><field name="status"><string>0</string></field>
<field name="message"><string>{{"version":"{version}"}}</string></field></structure></output>
END
""".encode()


def plugin(*commands: str) -> bytes:
    """Return a plugin that runs the script for all of its commands."""
    declared = "".join(
        f'<command path="vmkfstools.{name}"><execute>/{SCRIPT_FILE} --version</execute></command>'
        for name in commands
    )
    return f'<plugin xmlns="{NS}"><commands>{declared}</commands></plugin>'.encode()


def stock_vib(
    folder: Path, version: str = "0.3.3", name: str = "vmkfstools-wrapper", vendor: str = "REDHAT"
) -> bytes:
    """Make a package in a folder as Forklift does, whose plugin has the four commands of 0.3.x."""
    content = {SCRIPT_FILE: script(version), PLUGIN_FILE: plugin("clone", "taskGet", "taskClean", "version")}
    for path, data in content.items():
        file = folder / "root" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755 if path == SCRIPT_FILE else 0o644)
    run(folder, "tar", "-C", "root", "--owner=root", "--group=root", "-cf", "payload1.tar", "opt", "usr")
    tar = (folder / "payload1.tar").read_bytes()
    run(folder, "gzip", "-f", "payload1.tar")
    (folder / "payload1.tar.gz").replace(folder / "payload1")
    payload = (folder / "payload1").read_bytes()
    (folder / "descriptor.xml").write_text(describe(name, version, vendor, tar, payload))
    (folder / "sig.pkcs7").write_bytes(b"")
    (folder / "it.vib").unlink(missing_ok=True)
    run(folder, "ar", "rc", "it.vib", "descriptor.xml", "sig.pkcs7", "payload1")
    return (folder / "it.vib").read_bytes()


def run(folder: Path, *command: str) -> str:
    """Run a tool in a folder; return what it prints."""
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def describe(name: str, version: str, vendor: str, tar: bytes, payload: bytes) -> str:
    """Return a descriptor."""
    return f"""<vib version="5.0">
<type>bootbank</type><name>{name}</name><version>{version}</version><vendor>{vendor}</vendor>
<summary>stock</summary><description>stock</description><release-date>2026-01-01T00:00:00Z</release-date>
<file-list><file>{SCRIPT_FILE}</file><file>{PLUGIN_FILE}</file></file-list>
<acceptance-level>community</acceptance-level>
<payloads><payload name="payload1" type="tgz" size="{len(payload)}">
<checksum checksum-type="sha-256">{hashlib.sha256(payload).hexdigest()}</checksum>
<checksum checksum-type="sha-256" verify-process="gunzip">{hashlib.sha256(tar).hexdigest()}</checksum>
</payload></payloads></vib>
"""
