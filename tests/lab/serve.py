"""The lab as a place to try things by hand: stays up, and prints how to reach everything in it."""

import shlex
import signal
import sys
import threading
from pathlib import Path

from populator.storage.registry import VENDORS
from tests.lab import arrays, world
from tests.lab.esxi import OURS, STOCK, sandbox
from tests.lab.lab import Lab
from tests.lab.program import ROOT
from vsphere.model import DiskKind

SCRIPT = ROOT / "vsphere/wrapper/files/vmkfstools-wrapper"
OF_THE_ARRAY = {
    DiskKind.VVOL: (world.VVOL_VM, world.VVOL_DISK),
    DiskKind.RDM: (world.RDM_VM, world.RDM_DISK),
}
COPY_SECONDS = 10.0
"""of a copy by the array, where that takes time: there should be something to watch"""
SSH_PORT = 22
"""where every program but ours looks for SSH; another one where we may not listen there"""


def run(kube: str, vendor: str) -> None:
    """Start a lab, print its environment as shell lines, and stay until Ctrl-C or SIGTERM."""
    with Lab(kube, proxied=False, wrapper=OURS if sandbox.usable() else STOCK, array=vendor) as lab:
        _print_lab(lab)
        print("\nThe lab is up; Ctrl-C ends it.", file=sys.stderr, flush=True)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()


def _print_lab(lab: Lab) -> None:
    print("# The populator's environment, as Forklift would give it:")
    for name, value in lab.environment().items():
        _export(name, f'"$(cat {lab.pki.ca_file})"' if name == "cacert" else shlex.quote(value))
    print("\n# Its call, for a disk with ordinary names:")
    _print_disk(lab, world.SIMPLE_DISK, world.SIMPLE_VM)
    print("\n# The same, for one with blanks in its names:")
    _print_disk(lab, world.PLAIN_DISK, world.PLAIN_VM)
    for kind, (vm, disk) in OF_THE_ARRAY.items():
        if kind in VENDORS[lab.array.vendor].copies:
            print(f"\n# For one that the array copies by itself ({kind}):")
            arrays.copying(lab.array).copy_seconds = COPY_SECONDS
            lab.add_source(disk)
            _print_disk(lab, disk, vm)
    if lab.wrapper == OURS:
        print("\n# With this, a host copies over SSH instead of vCenter:")
        for name, setting in lab.start_ssh(SSH_PORT).items():
            _export(name, shlex.quote(setting or ""))
        print(f"# The script for the hosts' datastores: {SCRIPT}")
    print("\n# As the cluster's administrator:")
    print(f"kubectl --kubeconfig={lab.kube.kubeconfig(lab.directory / 'admin')} get leases,pvc -A")
    print("\n# Any vSphere client, such as govc:")
    print(
        f"export GOVC_URL={lab.vcenter.url} GOVC_USERNAME=$GOVMOMI_USERNAME GOVC_PASSWORD=$GOVMOMI_PASSWORD"
    )
    _export("GOVC_TLS_CA_CERTS", str(lab.pki.ca_file))
    access = lab.array.access
    secret = access.token or f"{access.username}:{access.password}"
    print(
        f"\n# Any client of {VENDORS[lab.array.vendor].product}, with {lab.pki.ca_file} and the secret {secret}:"
    )
    print(f"https://{access.hostname}")


def _print_disk(lab: Lab, disk: str, vm: str) -> None:
    target = lab.add_target()
    arguments = lab.arguments(target, disk, vm) | {"http-endpoint": "127.0.0.1:8443"}
    call = [str(ROOT / ".venv/bin/python"), "-m", "populator"]
    print(shlex.join([*call, *(f"--{name}={value}" for name, value in arguments.items())]))
    print(f"# from {world.file_of(lab.datastores, disk)}")
    print(f"# to   {target.lun}")


def _export(name: str, value: str | Path) -> None:
    print(f"export {name}={value}")
