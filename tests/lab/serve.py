"""The lab as a place to try things by hand: stays up, and prints how to reach everything in it."""

import shlex
import signal
import sys
import threading

from tests.lab import world
from tests.lab.esxi import OURS, STOCK, sandbox
from tests.lab.lab import ARRAY_PASSWORD, ARRAY_USER, Lab
from tests.lab.program import ROOT


def run(kube: str) -> None:
    """Start a lab, print its environment as shell lines, and stay until Ctrl-C or SIGTERM."""
    with Lab(kube, proxied=False, wrapper=OURS if sandbox.usable() else STOCK) as lab:
        target = lab.add_target()
        arguments = lab.arguments(target) | {"http-endpoint": "127.0.0.1:8443"}
        admin = lab.kube.kubeconfig(lab.directory / "admin")
        print("# The populator's environment and call, as Forklift would give them:")
        for name, value in lab.environment().items():
            print(
                f"export {name}="
                + (f'"$(cat {lab.pki.ca_file})"' if name == "cacert" else shlex.quote(value))
            )
        call = [str(ROOT / ".venv/bin/python"), "-m", "populator"]
        call += [f"--{name}={value}" for name, value in arguments.items()]
        print(shlex.join(call))
        print("\n# As the cluster's administrator:")
        print(f"kubectl --kubeconfig={admin} get leases,pvc -A")
        print("\n# Any vSphere client, such as govc:")
        print(
            f"export GOVC_URL={lab.vcenter.url} GOVC_USERNAME=$GOVMOMI_USERNAME GOVC_PASSWORD=$GOVMOMI_PASSWORD"
        )
        print(f"export GOVC_TLS_CA_CERTS={lab.pki.ca_file}")
        print("\n# Any ONTAP client:")
        url = f"https://{lab.array.address}/api/storage/luns"
        print(f"curl --cacert {lab.pki.ca_file} --user {ARRAY_USER}:{ARRAY_PASSWORD} {url}")
        print(f"\n# The source disk's bytes: {world.file_of(lab.datastores, world.PLAIN_DISK)}")
        print(f"# The LUN's bytes:         {target.lun}")
        print("\nThe lab is up; Ctrl-C ends it.", file=sys.stderr, flush=True)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()
