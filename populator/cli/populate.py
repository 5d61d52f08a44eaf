"""The flags that Forklift calls the program with, and what they start."""

import logging
import os
from pathlib import Path

from populator import process
from populator.cli.flags import Flag
from populator.cli.log_flags import LOG_FLAGS
from populator.settings.parse import parse_page, parse_settings

log = logging.getLogger(__name__)

TERMINATION_MESSAGE = "/dev/termination-log"

FLAGS = (
    Flag(("source-vm-id",), None, None, "Source VM: managed object id (vm-1234), name or inventory path."),
    Flag(("source-vmdk",), None, None, "Source disk: '[datastore] folder/disk.vmdk'."),
    Flag(("target-namespace",), None, None, "Namespace of the target PVC."),
    Flag(("owner-name",), None, None, "Name of the target PVC."),
    Flag(("owner-uid",), None, None, "UID of the target PVC."),
    Flag(("cr-name",), None, None, "Name of the VSphereXcopyVolumePopulator (informational)."),
    Flag(("cr-namespace",), None, None, "Namespace of the VSphereXcopyVolumePopulator (informational)."),
    Flag(("secret-name",), None, None, "Secret that the environment comes from (informational)."),
    Flag(("storage-vendor-product",), "STORAGE_VENDOR", None, "Storage array: ontap."),
    Flag(("migration-host",), None, None, "ESXi host to copy on (host-1234); else the VM's own."),
    Flag(("pvc-size",), None, None, "Size of the PVC in bytes (informational)."),
    Flag(("storage-hostname",), "STORAGE_HOSTNAME", None, "Management address of the array."),
    Flag(("storage-username",), "STORAGE_USERNAME", None, "User of the array's API."),
    Flag(("storage-password",), "STORAGE_PASSWORD", None, "Password; rather give it in the environment."),
    Flag(("storage-token",), "STORAGE_TOKEN", None, "API token; rather give it in the environment."),
    Flag(
        ("storage-skip-ssl-verification",),
        "STORAGE_SKIP_SSL_VERIFICATION",
        "false",
        "Trust any certificate.",
        bare=True,
    ),
    Flag(
        ("storage-http-timeout-seconds",),
        "STORAGE_HTTP_TIMEOUT_SECONDS",
        "30",
        "Time-out of one array request.",
    ),
    Flag(("vsphere-hostname",), "GOVMOMI_HOSTNAME", None, "vCenter: host, host:port or URL."),
    Flag(("vsphere-username",), "GOVMOMI_USERNAME", None, "vCenter user."),
    Flag(("vsphere-password",), "GOVMOMI_PASSWORD", None, "Password; rather give it in the environment."),
    Flag(("esxi-clone-method",), "ESXI_CLONE_METHOD", "vib", "How the host is told to clone: vib or ssh."),
    Flag(("kubeconfig",), "KUBECONFIG", None, "Kubeconfig file; in a pod the service account is used."),
    Flag(("master",), None, None, "URL of the API server, instead of the kubeconfig's."),
    Flag(("http-endpoint",), None, ":8443", "Address of the metrics page."),
    Flag(("metrics-path",), None, "/metrics", "Path of the metrics page."),
    Flag(("termination-message-path",), None, TERMINATION_MESSAGE, "The pod's termination message file."),
    *LOG_FLAGS,
)


def populate(arguments: dict[str, str | None]) -> int:
    """Populate one volume as the flags say; return the exit code, whatever happens."""
    by_name = {name.replace("_", "-"): value for name, value in arguments.items()}
    try:
        settings = parse_settings(by_name, os.environ)
        for warning in settings.warnings:
            log.warning("%s", warning)
        return process.run(settings)
    except Exception as error:
        message = Path(by_name["termination-message-path"] or TERMINATION_MESSAGE)
        return process.refuse(error, message, parse_page(by_name))
