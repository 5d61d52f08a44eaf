"""The command line: flags and environment in, exit code out. The only user of click."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from populator import __version__, log, process
from populator.errors import SettingsError
from populator.settings import parse_settings

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
    ("esxi-clone-method", "ESXI_CLONE_METHOD", "vib", "How the host is told to clone: vib."),
    ("kubeconfig", "KUBECONFIG", None, "Kubeconfig file; in a pod the service account is used."),
    ("master", None, None, "URL of the API server, instead of the kubeconfig's."),
    ("http-endpoint", None, ":8443", "Address of the metrics page."),
    ("metrics-path", None, "/metrics", "Path of the metrics page."),
    ("termination-message-path", None, TERMINATION_MESSAGE, "The pod's termination message file."),
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--log-level", envvar="LOG_LEVEL", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", envvar="LOG_FORMAT", type=click.Choice(["lines", "json"]), default="lines")
@click.version_option(__version__, prog_name="populator")
@click.pass_context
def cli(context: click.Context, /, log_level: str | None, log_format: str, **arguments: str | None) -> None:
    """Copy one vSphere disk onto the LUN behind one PVC, by the storage array (SCSI XCOPY).

    Started by Forklift, once per disk; every flag with an environment variable may be given there instead.
    """
    by_name = {name.replace("_", "-"): value for name, value in arguments.items()}
    secrets = [value or "" for name, value in by_name.items() if name.endswith(("-password", "-token"))]
    log.set_up(log_level or "info", log_format, secrets)
    try:
        settings = parse_settings(by_name, os.environ)
    except SettingsError as error:
        context.exit(process.refuse(error, Path(by_name["termination-message-path"] or TERMINATION_MESSAGE)))
    context.exit(process.run(settings))


for name, variable, default, text in reversed(OPTIONS):
    # `--name` alone means true for the one flag that Go's flag package takes both ways.
    bare = "true" if name == "storage-skip-ssl-verification" else None
    cli = click.option(
        f"--{name}",
        envvar=variable,
        default=default,
        help=text,
        show_default=default is not None,
        show_envvar=True,
        is_flag=False,
        flag_value=bare,
    )(cli)


def main() -> NoReturn:
    """Run the program and exit; an unknown flag ends as every other error does, with a termination message."""
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        log.set_up("info", "lines", ())
        code = process.refuse(SettingsError([error.format_message()]), Path(TERMINATION_MESSAGE))
    sys.exit(code)
