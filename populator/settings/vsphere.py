"""How to reach vCenter, and the ESXi hosts over SSH: read the same way for every command."""

import re
from pathlib import Path

from populator.address import HIGHEST_PORT
from populator.pem import decoded
from populator.settings.reading import LONGEST_TIMEOUT, Reader, short
from populator.settings.values import SshSettings, VsphereSettings

SSH_PORT = "SSH_PORT_NUMBER"
"""not SSH_PORT, which Kubernetes sets to `tcp://…` in a namespace that has a Service called ssh"""
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")


def read_vsphere(reader: Reader) -> VsphereSettings:
    """Read how to reach vCenter."""
    address = reader.address("vsphere-hostname", reader.required("vsphere-hostname"))
    return VsphereSettings(
        host=address.host,
        port=address.port or 443,
        username=reader.required("vsphere-username"),
        password=reader.required_password("vsphere-password"),
        ca_pem=reader.certificates("cacert"),
        insecure=reader.flag("--vsphere-insecure", reader.text("vsphere-insecure")),
    )


def read_ssh(reader: Reader, private_key: str, seconds: int) -> SshSettings:
    """Read how to reach hosts over SSH with a key; `seconds` is the timeout of each command."""
    fingerprints = [text for text in re.split(r"[\s,]+", reader.variable("SSH_HOST_FINGERPRINTS")) if text]
    for text in fingerprints:
        if not FINGERPRINT.fullmatch(text):
            reader.problems.append(f"SSH_HOST_FINGERPRINTS: {short(text)} is not of the form SHA256:….")
    return SshSettings(
        private_key=private_key,
        known_hosts=reader.variable("SSH_KNOWN_HOSTS"),
        fingerprints=frozenset(text.rstrip("=") for text in fingerprints),
        port=reader.number(SSH_PORT, reader.variable(SSH_PORT, "22"), HIGHEST_PORT),
        seconds=seconds,
    )


def read_ssh_timeout(reader: Reader) -> int:
    """Read the timeout as Forklift gives it."""
    name = "SSH_TIMEOUT_SECONDS"
    return reader.number(name, reader.variable(name, "30"), LONGEST_TIMEOUT)


def read_private_key(reader: Reader) -> str:
    """Read the key that Forklift gives, base64 of PEM; its kind is looked at when it is used."""
    value = reader.variable("SSH_PRIVATE_KEY")
    pem = decoded(value)
    if not value:
        reader.problems.append("SSH_PRIVATE_KEY is missing.")
    elif "PRIVATE KEY" not in pem:
        reader.problems.append("SSH_PRIVATE_KEY: this is not the base64 of a private key in PEM.")
    return pem


def read_key_file(reader: Reader) -> str:
    """Read a key from a file: of somebody who may install software, as Forklift's key may not."""
    path = reader.required("ssh-key-file")
    try:
        return Path(path).read_text(encoding="utf-8") if path else ""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        reader.problems.append(f"--ssh-key-file: cannot read {path}: {reason}.")
        return ""
