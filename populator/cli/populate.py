"""The flags that Forklift calls the program with, and what they start."""

import logging
import os
from pathlib import Path

from populator import process
from populator.cli.flags import KUBERNETES, LOG, VCENTER, Flag, FlagGroup, by_name
from populator.settings.parse import parse_page, parse_settings

log = logging.getLogger(__name__)

TERMINATION_MESSAGE = "/dev/termination-log"

DISK = FlagGroup(
    "Disk",
    (
        Flag(
            ("source-vm-id",),
            "VM",
            "VM whose disk it is: managed object id, name or inventory path.",
            needed=True,
        ),
        Flag(
            ("source-vmdk",),
            "'[DATASTORE] PATH'",
            "Disk to copy: the link of its chain that is named.",
            needed=True,
        ),
    ),
)

STORAGE = FlagGroup(
    "Storage array",
    (
        Flag(
            ("storage-vendor-product",), "VENDOR", "Kind of array, see below.", "STORAGE_VENDOR", needed=True
        ),
        Flag(
            ("storage-hostname",),
            "HOST[:PORT]",
            "Management address; a URL will do.",
            "STORAGE_HOSTNAME",
            needed=True,
        ),
        Flag(("storage-username",), "NAME", "User of the array's API.", "STORAGE_USERNAME"),
        Flag(
            ("storage-password",),
            "PASSWORD",
            "Password of that user; better given by the variable.",
            "STORAGE_PASSWORD",
        ),
        Flag(
            ("storage-token",),
            "TOKEN",
            "API token, where the array takes one; better given by the variable.",
            "STORAGE_TOKEN",
        ),
        Flag(
            ("storage-skip-ssl-verification",),
            "",
            "Accept any certificate of the array.",
            "STORAGE_SKIP_SSL_VERIFICATION",
            "false",
        ),
        Flag(
            ("storage-http-timeout-seconds",),
            "SECONDS",
            "Timeout of one request to the array.",
            "STORAGE_HTTP_TIMEOUT_SECONDS",
            "30",
        ),
    ),
)

VSPHERE = FlagGroup(
    "vSphere",
    (
        *VCENTER.flags,
        Flag(("migration-host",), "HOST-ID", "ESXi host to copy on (host-1234), instead of the VM's own."),
        Flag(
            ("copy-hosts",),
            "HOSTS",
            "Hosts that may copy: vm (the VM's own), any, or ids (host-12,host-34); the first that is free does.",
            "COPY_HOSTS",
            "vm",
        ),
        Flag(
            ("esxi-clone-method",),
            "METHOD",
            "How the host is asked to copy: vib or ssh.",
            "ESXI_CLONE_METHOD",
            "vib",
        ),
        Flag(
            ("verify-samples",),
            "NUMBER",
            "MiB at random places of source and volume that are compared after the copy; all, or 0 for nothing.",
            "VERIFY_SAMPLES",
            "64",
        ),
    ),
)

VOLUME = FlagGroup(
    "Kubernetes",
    (
        Flag(("target-namespace",), "NAMESPACE", "Namespace of the PVC to fill.", needed=True),
        Flag(("owner-name",), "NAME", "Name of the PVC.", needed=True),
        Flag(("owner-uid",), "UID", "UID of the PVC.", needed=True),
        Flag(("pvc-size",), "BYTES", "Size of the PVC; for information only."),
        Flag(("cr-name",), "NAME", "VSphereXcopyVolumePopulator; for information only."),
        Flag(("cr-namespace",), "NAMESPACE", "Its namespace; for information only."),
        Flag(("secret-name",), "NAME", "Secret behind the variables; for information only."),
        *KUBERNETES.flags,
    ),
)

POD = FlagGroup(
    "Pod",
    (
        Flag(("http-endpoint",), "[HOST]:PORT", "Where the metrics page is served.", None, ":8443"),
        Flag(("metrics-path",), "PATH", "Path of the metrics page.", None, "/metrics"),
        Flag(
            ("termination-message-path",),
            "FILE",
            "The pod's termination message; written only where the file exists.",
            None,
            TERMINATION_MESSAGE,
        ),
    ),
)

GROUPS = (DISK, STORAGE, VSPHERE, VOLUME, POD, LOG)

EXAMPLES = (
    r"""populator --source-vm-id=vm-1234 --source-vmdk='[ds1] my vm/disk.vmdk' \
    --target-namespace=vms --owner-name=my-disk \
    --owner-uid="$(oc get pvc my-disk -n vms -o jsonpath={.metadata.uid})" \
    --storage-vendor-product=ontap""",
    "populator leases -o wide",
)


def populate(arguments: dict[str, str | None]) -> int:
    """Populate one volume as the flags say; return the exit code, whatever happens."""
    values = by_name(arguments)
    try:
        settings = parse_settings(values, os.environ)
        for warning in settings.warnings:
            log.warning("%s", warning)
        return process.run(settings)
    except Exception as error:
        message = Path(values["termination-message-path"] or TERMINATION_MESSAGE)
        return process.refuse(error, message, parse_page(values))
