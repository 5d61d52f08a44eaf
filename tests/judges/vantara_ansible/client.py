"""Hitachi's Ansible modules for VSP One block arrays, each call a run of Ansible; they ask about jobs by polling.

They do not verify certificates. Their usage reports go nowhere: nobody has consented, and the address is a dead one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from speak import serve

COLLECTION = "hitachivantara.vspone_block.vsp"
QUIET = {
    "HV_APIG_URL": "https://127.0.0.1:9/",
    "HV_ENABLE_AUDIT_LOG": "false",
    "ANSIBLE_HOME": str(Path("ansible").resolve()),
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
    "ANSIBLE_NOCOLOR": "1",
    "LC_ALL": "C.UTF-8",
}


class AnsibleFailed(Exception):
    """A module ended with an error."""


class Client:
    """The modules, for one array."""

    def __init__(self, address, user, password):
        self.connection = {"address": address, "username": user, "password": password}

    def run(self, module, **arguments):
        """Return what a module says."""
        given = {"connection_info": self.connection, **arguments}
        ansible = str(Path(sys.executable).with_name("ansible"))
        command = [ansible, "localhost", "-i", "localhost,", "-c", "local"]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", f"{COLLECTION}.{module}"]
        done = subprocess.run(
            [*command, "-a", json.dumps(given)],
            env=os.environ | QUIET,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        _, arrow, said = done.stdout.partition("=> ")
        if not arrow:
            raise AnsibleFailed(done.stdout + done.stderr)
        said = json.loads(said)
        if done.returncode or said.get("failed"):
            raise AnsibleFailed(str(said.get("msg", said)))
        return said

    def ldev(self, ldev):
        return self.run("hv_ldev_facts", spec={"ldev_id": ldev})["ansible_facts"]

    def host_groups(self, port, name):
        spec = {"name": name, "ports": [port], "query": ["ldevs", "wwns"]}
        return self.run("hv_hg_facts", spec=spec)["ansible_facts"]

    def map(self, port, name, ldev):
        spec = {"state": "present_ldev", "name": name, "port": port, "ldevs": [ldev]}
        return self.run("hv_hg", state="present", spec=spec)

    def unmap(self, port, name, ldev):
        spec = {"state": "unpresent_ldev", "name": name, "port": port, "ldevs": [ldev]}
        return self.run("hv_hg", state="present", spec=spec)

    def pairs(self, ldev):
        return self.run("hv_snapshot_facts", spec={"primary_volume_id": str(ldev)})["ansible_facts"]

    def end_pairs(self, group):
        return self.run("hv_snapshot_group", state="absent", spec={"snapshot_group_name": group})


def connect(address, ca_file, options):
    return Client(address, options["user"], options["password"])


def by_name(name):
    return lambda client, **arguments: getattr(client, name)(**arguments)


PUBLIC = ("ldev", "host_groups", "map", "unmap", "pairs", "end_pairs")
serve(connect, {name: by_name(name) for name in PUBLIC})
