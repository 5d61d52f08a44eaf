"""The blocks of the docs that are marked `sh lab`, run as they stand: in bash, in the lab, with stock kubectl and govc.

Those of a page are run in one shell, in their order. Only names of VMs, disks and volumes are replaced by the lab's,
and what a Secret would bring is there already: a line that exports an address of example.com is left out.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import world
from tests.lab.lab import VCENTER_PASSWORD, VCENTER_USER, Lab
from tests.lab.program import ROOT
from tests.lab.tools import tool
from tests.unit.populator import fences

BLOCKS = [block for block in fences.blocks() if block.kind == "sh lab"]
PAGES = sorted({block.page for block in BLOCKS})
ON_LOOPBACK = 'case $1 in --*) set -- "$@" --http-endpoint=127.0.0.1:0;; esac'
"""a pod's port is open to its network"""
ENDS_WITH = {"populator preflight": {0, 10}}
"""exit codes beside 0 that are an answer of a command"""


@pytest.fixture
def programs(lab: Lab, tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the lab's programs are found by the names that the docs have."""
    admin = lab.kube.kubeconfig(tmp_path)
    shims = {
        "oc": f'exec {tool("kubectl")} --kubeconfig={admin} "$@"',
        "populator": f'{ON_LOOPBACK}; PYTHONPATH={ROOT} exec {sys.executable} -m populator "$@"',
        "govc": f'exec {tool("govc")} "$@"',
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in shims.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(stat.S_IRWXU)
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        **lab.environment(),
        "GOVC_URL": lab.vcenter.url,
        "GOVC_USERNAME": VCENTER_USER,
        "GOVC_PASSWORD": VCENTER_PASSWORD,
        "GOVC_TLS_CA_CERTS": str(lab.pki.ca_file),
        "GOVC_PERSIST_SESSION": "false",
    }


def in_the_lab(lab: Lab, script: str) -> str:
    """Return a block with the lab's names."""
    names = {
        "vm-1234": lab.vcenter.vms[world.PLAIN_VM],
        "[datastore1] my vm/my vm.vmdk": world.PLAIN_DISK,
        "[ds1] my vm/disk.vmdk": world.PLAIN_DISK,
        "my other vm": world.SIMPLE_VM,
        "107374182400": str(world.DISK_SIZE),
        "my-disk": lab.add_target().pvc,
    }
    for name, own in names.items():
        script = script.replace(name, own)
    return "\n".join(line for line in script.splitlines() if "example.com" not in line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_it_can_be_done_as_it_is_written(
    lab: Lab, programs: dict[str, str], tmp_path: Path, page: Path
) -> None:
    script = in_the_lab(lab, "\n".join(block.script for block in BLOCKS if block.page == page))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=programs,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    answers = next((codes for words, codes in ENDS_WITH.items() if words in script), {0})
    assert done.returncode in answers, done.stdout + done.stderr
