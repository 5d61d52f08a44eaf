"""Keys of SSH: our private one, and which keys a host may show.

With known_hosts lines or fingerprints a host is trusted only when it shows one of them. Without either, the key that it
shows first is trusted for as long as the process lives, and its fingerprint is logged.
"""

import base64
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

from vsphere.errors import HostKeyRefused, Setting, VsphereError

if TYPE_CHECKING:
    import paramiko

log = logging.getLogger(__name__)

NEW_KEY = (
    "There may be a man in the middle, or the host was reinstalled. Compare with what the host itself says "
    "(ssh-keygen -lf /etc/ssh/ssh_host_rsa_key.pub), then correct what is expected."
)


def load_private_key(pem: str) -> "paramiko.PKey":
    """Read a private key of any kind that SSH knows, in PEM (PKCS#1, PKCS#8, SEC 1) or in OpenSSH's own form.

    Raises `VsphereError`, which quotes nothing of it.
    """
    import paramiko  # noqa: PLC0415 - late, as in `ssh`
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    openssh = "OPENSSH PRIVATE KEY" in pem
    load: Any = forms.load_ssh_private_key if openssh else forms.load_pem_private_key
    try:
        key = load(pem.strip().encode() + b"\n", password=None)
    except Exception as error:  # noqa: BLE001 - the library has a dozen kinds, and all mean the same
        raise VsphereError(
            f"The private key for SSH cannot be read ({type(error).__name__}).",
            "Give an unencrypted key in PEM.",
            Setting.PRIVATE_KEY,
        ) from None
    text = key.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, forms.NoEncryption()
    ).decode()  # the one form that paramiko takes of every kind
    classes: tuple[tuple[Any, Any], ...] = (
        (rsa.RSAPrivateKey, paramiko.RSAKey),
        (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
        (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
    )
    for kind, of_paramiko in classes:
        if isinstance(key, kind):
            made: paramiko.PKey = of_paramiko.from_private_key(StringIO(text))
            return made
    raise VsphereError(
        "The private key for SSH is of a kind that SSH does not know.",
        "Make one with: ssh-keygen -t rsa -b 4096 -m PEM -N '' -f key",
    )


def public_key(pem: str) -> str:
    """Return the public half of a private key as it stands in authorized_keys: type and base64."""
    key = load_private_key(pem)
    return f"{key.get_name()} {key.get_base64()}"


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as OpenSSH shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


@dataclass
class HostTrust:
    """Which keys hosts may show; one for all connections of a process."""

    known_hosts: str = ""
    """lines of a known_hosts file, hashed names too"""
    fingerprints: frozenset[str] = frozenset()
    """`SHA256:…` of any host"""
    _seen: dict[str, str] = field(default_factory=dict)

    def order(self, names: Sequence[str], offered: Iterable[str]) -> tuple[str, ...]:
        """Return the host key algorithms with those first of which we know a key of the host, as ssh does."""
        known = {key.get_name() for key in self._known(names)}
        return tuple(sorted(offered, key=lambda name: _kind(name) not in known))

    def check(self, names: Sequence[str], key: "paramiko.PKey") -> None:
        """Raise `HostKeyRefused` unless this key may be shown by a host of these names."""
        shown = fingerprint(key.asbytes())
        if self.fingerprints and shown in self.fingerprints:
            return
        if self.known_hosts and any(known.asbytes() == key.asbytes() for known in self._known(names)):
            return
        if self.known_hosts or self.fingerprints:
            raise HostKeyRefused(
                f"Host {names[0]} shows an SSH key that is not the expected one: {key.get_name()} {shown}.",
                NEW_KEY,
                Setting.KNOWN_HOSTS if self.known_hosts else Setting.FINGERPRINTS,
            )
        if names[0] not in self._seen:
            log.info("trusting the SSH key that host %s shows first: %s", names[0], shown)
        first = self._seen.setdefault(names[0], shown)
        if first != shown:
            raise HostKeyRefused(
                f"Host {names[0]} shows another SSH key ({shown}) than a while ago ({first}).",
                NEW_KEY,
                Setting.FINGERPRINTS,
            )

    def _known(self, names: Sequence[str]) -> list["paramiko.PKey"]:
        """Return the keys that known_hosts has for any of the names."""
        from paramiko.hostkeys import HostKeys  # noqa: PLC0415

        def means(pattern: str) -> bool:
            hashed = pattern.startswith("|1|")
            return any(pattern == (HostKeys.hash_host(name, pattern) if hashed else name) for name in names)

        entries = [_entry(line) for line in self.known_hosts.splitlines() if _counts(line)]
        return [entry.key for entry in entries if any(map(means, entry.hostnames))]


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _entry(line: str) -> Any:
    """Parse a line of known_hosts."""
    from paramiko import SSHException  # noqa: PLC0415
    from paramiko.hostkeys import HostKeyEntry, InvalidHostKey  # noqa: PLC0415

    try:
        entry = HostKeyEntry.from_line(" ".join(line.split()))
    except (InvalidHostKey, SSHException):
        entry = None
    if entry is None:
        raise VsphereError(
            f"A line of the known SSH hosts cannot be used: {line[:60]}",
            "Known hosts are lines as ssh-keyscan prints them, without markers.",
            Setting.KNOWN_HOSTS,
        )
    return entry


def _kind(algorithm: str) -> str:
    """Return the type of key that an algorithm works with."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm
