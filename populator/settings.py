"""What the program was told, checked in this one place; every problem is reported, not just the first.

The names are those of the contract with Forklift: arguments, and the Secret's keys as environment variables.
"""

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lease.decision import SHORTEST, check_settings
from lease.record import TEMPLATE
from populator.errors import SettingsError
from populator.storage.access import Access
from populator.storage.registry import BUILT, VENDORS
from vsphere.errors import VsphereError
from vsphere.vmdk import VmdkPath, parse_vmdk

TRUE, FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}
SLOTS = 2
"""per host: VMware costs a host at two concurrent clone operations"""
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
LEASE_NAMESPACE = "openshift-mtv"
LEASE_DEFAULTS = {
    "HOST_LEASE_NAMESPACE": LEASE_NAMESPACE,
    "HOST_LEASE_NAME_TEMPLATE": TEMPLATE,
    "HOST_LEASE_SCOPE": "copy",
}
LEASE_VARIABLES = {
    "duration": "HOST_LEASE_DURATION_SECONDS",
    "template": "HOST_LEASE_NAME_TEMPLATE",
    "scope": "HOST_LEASE_SCOPE",
}
"""by the parameter of `check_settings` that each one sets"""
VENDOR_KEYS = ("ONTAP_SVM",)
"""what vendors read beside the common STORAGE_ variables"""


@dataclass(frozen=True)
class SourceSettings:
    """The disk to copy."""

    vm: str
    """managed object id, name or inventory path"""
    vmdk: VmdkPath
    migration_host: str
    """managed object id of the host to copy on; empty: the VM's own"""


@dataclass(frozen=True)
class TargetSettings:
    """The volume to fill."""

    namespace: str
    pvc: str
    uid: str


@dataclass(frozen=True)
class VsphereSettings:
    """How to reach vCenter."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    ca_pem: str
    """PEM bundle; empty: the system's"""
    insecure: bool


@dataclass(frozen=True)
class SshSettings:
    """How to reach the ESXi hosts over SSH."""

    private_key: str = field(repr=False)
    """PEM"""
    known_hosts: str
    """lines of a known_hosts file; with no fingerprints either, a host's first key is trusted"""
    fingerprints: frozenset[str]
    """`SHA256:…` of host keys"""
    port: int
    seconds: int
    """time-out of the log-in and of each command"""


@dataclass(frozen=True)
class StorageSettings:
    """Which array, and how to reach it."""

    vendor: str
    access: Access


@dataclass(frozen=True)
class KubernetesSettings:
    """How to reach the API server; both empty: as a pod does."""

    kubeconfig: str
    master: str


@dataclass(frozen=True)
class LeaseSettings:
    """Where the host lease lives."""

    namespace: str
    duration: int
    """seconds a slot stays valid without a renewal"""
    template: str
    """names of the Leases, with `{host}` and `{slot}`"""
    scope: str
    """`copy`: the slot is held throughout; `rescan`: around each rescan, detach and removal of dead paths only"""


@dataclass(frozen=True)
class MetricsSettings:
    """Where the metrics page is served; an empty host means all interfaces."""

    host: str
    port: int
    path: str


@dataclass(frozen=True)
class Settings:
    """All of it."""

    source: SourceSettings
    target: TargetSettings
    vsphere: VsphereSettings
    ssh: SshSettings | None
    """None: the esxcli plugin is used"""
    storage: StorageSettings
    kubernetes: KubernetesSettings
    lease: LeaseSettings
    metrics: MetricsSettings
    identity: str
    """the pod's name, as other populators and people see it in the host lease"""
    termination_message: Path


def parse_settings(arguments: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Check all values and return them; raise `SettingsError` with every problem found.

    `arguments` are the flags by their long names without the dashes, with the environment's defaults filled in.
    """
    return Parser(arguments, environment).settings()


class Parser:
    """Reads one value after the other and gathers the problems."""

    def __init__(self, arguments: Mapping[str, str | None], environment: Mapping[str, str]) -> None:
        self.arguments, self.environment = arguments, environment
        self.problems: list[str] = []

    def settings(self) -> Settings:
        """Return the settings, or raise with all problems."""
        settings = Settings(
            source=self.source(),
            target=TargetSettings(
                namespace=self.required("target-namespace"),
                pvc=self.required("owner-name"),
                uid=self.uid("owner-uid"),
            ),
            vsphere=self.vsphere(),
            ssh=self.ssh() if self.clone_method() == "ssh" else None,
            storage=self.storage(),
            kubernetes=KubernetesSettings(self.text("kubeconfig"), self.text("master")),
            lease=self.lease(),
            metrics=self.metrics(),
            identity=self.environment.get("HOSTNAME", "") or "populator",
            termination_message=Path(self.text("termination-message-path")),
        )
        self.optional_number("pvc-size")
        if self.problems:
            raise SettingsError(self.problems)
        return settings

    def source(self) -> SourceSettings:
        """Read the disk to copy."""
        vm, path = self.required("source-vm-id"), self.required("source-vmdk")
        vmdk = VmdkPath("", "")
        if path:
            try:
                vmdk = parse_vmdk(path)
            except VsphereError as error:
                self.problems.append(f"--source-vmdk: {error.text} {error.hint}")
        return SourceSettings(vm, vmdk, self.text("migration-host"))

    def vsphere(self) -> VsphereSettings:
        """Read how to reach vCenter; a URL or host:port is taken too."""
        host, port = self.address("vsphere-hostname", self.required("vsphere-hostname"), 443)
        return VsphereSettings(
            host=host,
            port=port,
            username=self.required("vsphere-username"),
            password=self.required("vsphere-password"),
            ca_pem=self.ca_pem(),
            insecure=self.flag("GOVMOMI_INSECURE", self.environment.get("GOVMOMI_INSECURE", "")),
        )

    def ca_pem(self) -> str:
        """Read the PEM bundle that the Secret's `cacert` key holds."""
        pem = self.environment.get("cacert", "").strip()
        if pem:
            try:
                ssl.create_default_context(cadata=pem)
            except (ssl.SSLError, ValueError):
                self.problems.append("cacert: this is not a bundle of PEM certificates.")
                return ""
        return pem

    def storage(self) -> StorageSettings:
        """Read how to reach the array."""
        token, username = self.text("storage-token"), self.text("storage-username")
        password = self.arguments.get("storage-password") or ""
        if not token and not (username and password):
            self.problems.append(
                "--storage-username and --storage-password (STORAGE_USERNAME, STORAGE_PASSWORD) are missing."
            )
        skip = self.text("storage-skip-ssl-verification")
        access = Access(
            hostname=self.required("storage-hostname"),
            username=username,
            password=password,
            token=token,
            verify=not self.flag("--storage-skip-ssl-verification", skip),
            timeout=self.number("storage-http-timeout-seconds"),
            options={key: value for key in VENDOR_KEYS if (value := self.environment.get(key, "").strip())},
        )
        return StorageSettings(self.vendor(), access)

    def vendor(self) -> str:
        """Read the vendor; those that this version has no driver for are refused by name."""
        vendor = self.required("storage-vendor-product")
        if vendor and vendor not in VENDORS:
            known = ", ".join(sorted(VENDORS))
            self.problems.append(f"--storage-vendor-product: {vendor!r} is none of {known}.")
        elif vendor and vendor not in BUILT:
            built = ", ".join(sorted(BUILT))
            self.problems.append(
                f"--storage-vendor-product: {vendor} is not supported by this version (it has {built})."
            )
        return vendor

    def lease(self) -> LeaseSettings:
        """Read the host lease's variables."""
        duration = self.number("HOST_LEASE_DURATION_SECONDS", self.environment, default="10")
        namespace, template, scope = (
            self.environment.get(name, "").strip() or default for name, default in LEASE_DEFAULTS.items()
        )
        found = check_settings(duration or SHORTEST, SLOTS, template, scope)
        self.problems += [f"{LEASE_VARIABLES[name]}: {problem}" for name, problem in found.items()]
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
            self.problems.append(f"HOST_LEASE_NAMESPACE: {namespace!r} cannot be the name of a namespace.")
        return LeaseSettings(namespace, duration, template, scope)

    def metrics(self) -> MetricsSettings:
        """Read where to serve the metrics page: `:8443`, `127.0.0.1:0`, `[::1]:8443`."""
        endpoint, path = self.text("http-endpoint"), self.text("metrics-path")
        host, _, port = endpoint.rpartition(":")
        if not port.isdecimal() or int(port) > 65535:
            self.problems.append(f"--http-endpoint: {endpoint!r} is not an address like :8443.")
            port = "0"
        if not path.startswith("/"):
            self.problems.append(f"--metrics-path: {path!r} does not begin with a slash.")
        return MetricsSettings(host.strip("[]"), int(port), path)

    def clone_method(self) -> str:
        """Read how the host is told to clone."""
        method = self.text("esxi-clone-method") or "vib"
        if method not in {"vib", "ssh"}:
            self.problems.append(f"--esxi-clone-method: {method!r} is neither vib nor ssh.")
        return method

    def ssh(self) -> SshSettings:
        """Read how to reach hosts over SSH; of no interest to the other method, which gets the key all the same."""
        known_hosts = self.environment.get("SSH_KNOWN_HOSTS", "").strip()
        fingerprints = re.split(r"[\s,]+", self.environment.get("SSH_HOST_FINGERPRINTS", "").strip())
        for wrong in [one for one in fingerprints if one and not FINGERPRINT.fullmatch(one)]:
            self.problems.append(f"SSH_HOST_FINGERPRINTS: {wrong!r} is not of the form SHA256:….")
        return SshSettings(
            private_key=self.private_key(),
            known_hosts=known_hosts,
            fingerprints=frozenset(one.rstrip("=") for one in fingerprints if one),
            port=self.number("SSH_PORT", self.environment, default="22"),
            seconds=self.number("SSH_TIMEOUT_SECONDS", self.environment, default="30"),
        )

    def private_key(self) -> str:
        """Read the key that hosts let in; its kind is looked at when it is used."""
        value = self.environment.get("SSH_PRIVATE_KEY", "")
        pem = decoded(value)
        if not value.strip():
            self.problems.append("SSH_PRIVATE_KEY is missing.")
        elif "PRIVATE KEY" not in pem:
            self.problems.append("SSH_PRIVATE_KEY: this is not the base64 of a private key in PEM.")
        return pem

    def text(self, name: str) -> str:
        """Read a value that may be missing."""
        return (self.arguments.get(name) or "").strip()

    def required(self, name: str) -> str:
        """Read a value that may not be missing."""
        # Not stripped: a password may begin or end with a blank.
        value = self.arguments.get(name) or ""
        if not value.strip():
            self.problems.append(f"--{name} is missing.")
        return value

    def uid(self, name: str) -> str:
        """Read a UID; it becomes part of the metrics page and of an object's name."""
        value = self.required(name)
        if value and not re.fullmatch(r"[0-9A-Za-z.-]+", value):
            self.problems.append(f"--{name}: {value!r} is not a UID.")
        return value

    def number(
        self, name: str, values: Mapping[str, str | None] | Mapping[str, str] | None = None, default: str = ""
    ) -> int:
        """Read a whole number of at least 1; 0 stands for one that was wrong."""
        value = ((self.arguments if values is None else values).get(name) or default).strip()
        if value.isdecimal() and int(value) > 0:
            return int(value)
        shown = name if name.isupper() else f"--{name}"
        self.problems.append(f"{shown}: {value!r} is not a whole number of at least 1.")
        return 0

    def optional_number(self, name: str) -> None:
        """Check a number that may be missing."""
        if self.text(name):
            self.number(name)

    def flag(self, name: str, value: str) -> bool:
        """Read true or false."""
        if value.strip().lower() not in TRUE | FALSE:
            self.problems.append(f"{name}: {value!r} is neither true nor false.")
        return value.strip().lower() in TRUE

    def address(self, name: str, value: str, port: int) -> tuple[str, int]:
        """Read host, host:port or URL."""
        parts = urlsplit(value if "//" in value else f"//{value}")
        try:
            return parts.hostname or "", parts.port or port
        except ValueError:
            self.problems.append(f"--{name}: {value!r} is not a host name.")
            return "", port


def decoded(value: str) -> str:
    """Return the text that a variable holds as base64, as Forklift gives keys, or as it is; empty for nonsense."""
    if value.lstrip().startswith("-----BEGIN"):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode()
    except ValueError:
        return ""
