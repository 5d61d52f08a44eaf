"""The flags that Forklift calls the program with, and what they start."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from populator import log, process
from populator.errors import SettingsError
from populator.settings import decoded, parse_settings

TERMINATION_MESSAGE = "/dev/termination-log"

# Long name, environment default, fixed default, help. Values stay text here: settings.py checks them all at once.
OPTIONS: tuple[tuple[str, str | None, str | None, str], ...] = (
    ("source-vm-id", None, None, "Source VM: managed object id (vm-1234), name or inventory path."),
    ("source-vmdk", None, None, "Source disk: '[datastore] folder/disk.vmdk'."),
    ("target-namespace", None, None, "Namespace of the target PVC."),
    ("owner-name", None, None, "Name of the target PVC."),
    ("owner-uid", None, None, "UID of the target PVC."),
    ("cr-name", None, None, "Name of the VSphereXcopyVolumePopulator (informational)."),
    ("cr-namespace", None, None, "Namespace of the VSphereXcopyVolumePopulator (informational)."),
    ("secret-name", None, None, "Secret that the environment comes from (informational)."),
    ("storage-vendor-product", "STORAGE_VENDOR", None, "Storage array: ontap."),
    ("migration-host", None, None, "ESXi host to copy on (host-1234); else the VM's own."),
    ("pvc-size", None, None, "Size of the PVC in bytes (informational)."),
    ("storage-hostname", "STORAGE_HOSTNAME", None, "Management address of the array."),
    ("storage-username", "STORAGE_USERNAME", None, "User of the array's API."),
    ("storage-password", "STORAGE_PASSWORD", None, "Password; rather give it in the environment."),
    ("storage-token", "STORAGE_TOKEN", None, "API token; rather give it in the environment."),
    ("storage-skip-ssl-verification", "STORAGE_SKIP_SSL_VERIFICATION", "false", "Trust any certificate."),
    ("storage-http-timeout-seconds", "STORAGE_HTTP_TIMEOUT_SECONDS", "30", "Time-out of one array request."),
    ("vsphere-hostname", "GOVMOMI_HOSTNAME", None, "vCenter: host, host:port or URL."),
    ("vsphere-username", "GOVMOMI_USERNAME", None, "vCenter user."),
    ("vsphere-password", "GOVMOMI_PASSWORD", None, "Password; rather give it in the environment."),
    ("esxi-clone-method", "ESXI_CLONE_METHOD", "vib", "How the host is told to clone: vib or ssh."),
    ("kubeconfig", "KUBECONFIG", None, "Kubeconfig file; in a pod the service account is used."),
    ("master", None, None, "URL of the API server, instead of the kubeconfig's."),
    ("http-endpoint", None, ":8443", "Address of the metrics page."),
    ("metrics-path", None, "/metrics", "Path of the metrics page."),
    ("termination-message-path", None, TERMINATION_MESSAGE, "The pod's termination message file."),
)


def add_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all flags of the populator."""
    for name, variable, default, text in reversed(OPTIONS):
        # `--name` alone means true for the one flag that Go's flag package takes both ways.
        bare = "true" if name == "storage-skip-ssl-verification" else None
        command = click.option(
            f"--{name}",
            envvar=variable,
            default=default,
            help=text,
            show_default=default is not None,
            show_envvar=True,
            is_flag=False,
            flag_value=bare,
        )(command)
    levels = click.Choice(["debug", "info", "warning", "error"])
    command = click.option("--log-format", envvar="LOG_FORMAT", type=click.Choice(["lines", "json"]))(command)
    return click.option("--log-level", envvar="LOG_LEVEL", type=levels)(command)


def populate(arguments: dict[str, str | None]) -> int:
    """Populate one volume as the flags say; return the exit code."""
    by_name = {name.replace("_", "-"): value for name, value in arguments.items()}
    level, form = by_name.pop("log-level"), by_name.pop("log-format")
    secrets = [value or "" for name, value in by_name.items() if name.endswith(("-password", "-token"))]
    log.set_up(level or "info", form or "lines", [*secrets, *key_texts(os.environ)])
    try:
        settings = parse_settings(by_name, os.environ)
    except SettingsError as error:
        return process.refuse(error, Path(by_name["termination-message-path"] or TERMINATION_MESSAGE))
    return process.run(settings)


def key_texts(environment: Mapping[str, str]) -> list[str]:
    """Return the SSH key in all forms in which it might be logged: as given, decoded, and each of its lines."""
    given = environment.get("SSH_PRIVATE_KEY", "")
    pem = decoded(given)
    return [given, pem, *(line for line in pem.splitlines() if line and not line.startswith("-----"))]
