"""IBM's Ansible collection for Storage Virtualize; each call is a process of its own, as `ansible` runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from speak import serve

ANSIBLE = Path(sys.executable).parent / "ansible"
HOME = Path.cwd()


class Failed(Exception):
    """A module says that it failed."""


class Unreachable(Exception):
    """A module was not let in."""


class Client:
    """Its modules, with where to go and who we are."""

    def __init__(self, host, ca_file, options):
        self._where = {"clustername": host, "validate_certs": True, "log_path": str(HOME / "log"), **options}
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(HOME),
            "LC_ALL": "C.UTF-8",
            "SSL_CERT_FILE": ca_file,
            "ANSIBLE_HOME": str(HOME / "ansible"),
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
        }

    def run(self, module, **arguments):
        """Return what a module answers."""
        given = {name: value for name, value in arguments.items() if value is not None}
        command = [ANSIBLE, "localhost", "-i", "localhost,", "-c", "local", "-o"]
        command += ["-e", f"ansible_python_interpreter={sys.executable}"]
        command += ["-m", f"ibm.storage_virtualize.{module}", "-a", json.dumps(self._where | given)]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=120, check=False
        )
        if "UNREACHABLE" in done.stdout:
            raise Unreachable(done.stdout)
        said, arrow, result = done.stdout.partition(" => ")
        if not arrow:
            raise RuntimeError(done.stdout + done.stderr)
        if "FAILED" in said:
            raise Failed(result)
        return json.loads(result)

    def token(self):
        return self.run("ibm_svc_auth")["token"]

    def info(self, what, name=None, only=None):
        return self.run("ibm_svc_info", gather_subset=what, objectname=name, filtervalue=only)

    def host(self, name, **arguments):
        return self.run("ibm_svc_host", name=name, state="present", **arguments)["changed"]

    def remove_host(self, name):
        return self.run("ibm_svc_host", name=name, state="absent")["changed"]

    def cluster(self, name):
        return self.run("ibm_svc_hostcluster", name=name, state="present")["changed"]

    def remove_cluster(self, name):
        answer = self.run("ibm_svc_hostcluster", name=name, state="absent", removeallhosts=True)
        return answer["changed"]

    def map(self, volume, scsi=None, **to):
        return self.run("ibm_svc_vol_map", volname=volume, state="present", scsi=scsi, **to)["changed"]

    def unmap(self, volume, **of):
        return self.run("ibm_svc_vol_map", volname=volume, state="absent", **of)["changed"]

    def flashcopy(self, name, **arguments):
        return self.run("ibm_svc_manage_flashcopy", name=name, state="present", **arguments)["changed"]

    def remove_flashcopy(self, name, force=None):
        return self.run("ibm_svc_manage_flashcopy", name=name, state="absent", force=force)["changed"]

    def start_flashcopy(self, name):
        return self.run("ibm_svc_start_stop_flashcopy", name=name, state="started")["changed"]

    def stop_flashcopy(self, name):
        return self.run("ibm_svc_start_stop_flashcopy", name=name, state="stopped")["changed"]


def by_name(name):
    return lambda client, **arguments: getattr(client, name)(**arguments)


serve(Client, {name: by_name(name) for name in vars(Client) if not name.startswith("_")})
