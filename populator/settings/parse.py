"""What the program was told, checked in this one place; every problem is reported, not just the first.

The names are those of the contract with Forklift: arguments, and the Secret's keys as environment variables.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lease.decision import SHORTEST, Scope, check_settings
from lease.record import TEMPLATE
from populator import log
from populator.address import Address, parse_endpoint
from populator.errors import SettingsError
from populator.settings.names import BY_HOST
from populator.settings.reading import LARGEST, LONGEST_TIMEOUT, Reader, short
from populator.settings.values import (
    ANY_HOST,
    OWN_HOST,
    SLOTS,
    KubernetesSettings,
    LeaseSettings,
    MetricsSettings,
    PageSettings,
    Settings,
    SourceSettings,
    SshSettings,
    StorageSettings,
    TargetSettings,
)
from populator.settings.vsphere import read_private_key, read_ssh, read_ssh_timeout, read_vsphere
from populator.storage.access import Access
from populator.storage.registry import VENDORS, Credentials
from vsphere.errors import VsphereError
from vsphere.model import CloneMethod
from vsphere.paths import VmdkPath, parse_vmdk

LEASE_NAMESPACE = "openshift-mtv"
LEASE_DEFAULTS = {
    "HOST_LEASE_NAMESPACE": LEASE_NAMESPACE,
    "HOST_LEASE_NAME_TEMPLATE": TEMPLATE,
    "HOST_LEASE_SCOPE": Scope.COPY.value,
}
LEASE_VARIABLES = {
    "duration": "HOST_LEASE_DURATION_SECONDS",
    "template": "HOST_LEASE_NAME_TEMPLATE",
    "scope": "HOST_LEASE_SCOPE",
}
"""by the parameter of `check_settings` that each one sets"""
HOST_ID = r"host-[0-9]+"
EVERYTHING, DEFAULT_SAMPLES = "all", "64"
NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
OBJECT_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
OF_A_SERVICE = re.compile(r"(tcp|udp|sctp)://.*")
"""what Kubernetes puts into STORAGE_PORT, a setting of ours, where the namespace has a Service `storage`"""


def parse_settings(arguments: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Check all values and return them; raise `SettingsError` with every problem found.

    `arguments` are the flags by their long names without the dashes, with the environment's defaults filled in.
    """
    return Parser(arguments, environment).settings()


def parse_page(arguments: Mapping[str, str | None]) -> PageSettings | None:
    """Return what the page needs, to show there that other values are wrong; None where these are, too."""
    parser = Parser(arguments, {})
    vendor, method = (
        parser.text("storage-vendor-product"),
        parser.text("esxi-clone-method") or CloneMethod.VIB,
    )
    page = PageSettings(parser.uid(), vendor, method, parser.metrics())
    return None if parser.problems else page


class Parser(Reader):
    """Reads what belongs together."""

    def settings(self) -> Settings:
        """Return the settings, or raise with all problems."""
        settings = Settings(
            source=self.source(),
            target=TargetSettings(
                namespace=self.matching("target-namespace", NAMESPACE, "the name of a namespace"),
                pvc=self.matching("owner-name", OBJECT_NAME, "the name of a PersistentVolumeClaim"),
                uid=self.uid(),
            ),
            **self.site(),
            metrics=self.metrics(),
            verify_samples=self.verify_samples(),
            termination_message=Path(self.text("termination-message-path")),
            warnings=tuple(self.warnings),
        )
        if size := self.text("pvc-size"):
            self.number("--pvc-size", size, LARGEST)
        self.finish()
        return settings

    def site(self) -> dict[str, Any]:
        """Read how to reach all that there is, by the names of the fields of `SiteSettings`."""
        return {
            "vsphere": read_vsphere(self),
            "ssh": self.ssh() if self.clone_method() == CloneMethod.SSH else None,
            "storage": self.storage(),
            "kubernetes": self.kubernetes(),
            "lease": self.lease(),
            "identity": self.variable("HOSTNAME", "populator"),
        }

    def finish(self) -> None:
        """Read what is about the log, and raise if there was any problem."""
        self.choice("log-level", log.LEVELS)
        self.choice("log-format", log.FORMS)
        if self.problems:
            raise SettingsError(self.problems)

    def uid(self) -> str:
        """Read the PVC's UID; it becomes part of the metrics page and of an object's name."""
        return self.matching("owner-uid", r"[0-9A-Za-z.-]+", "a UID")

    def source(self) -> SourceSettings:
        """Read the disk to copy."""
        vm, path = self.required("source-vm-id"), self.required("source-vmdk")
        vmdk = VmdkPath("", "")
        if path:
            try:
                vmdk = parse_vmdk(path)
            except VsphereError as error:
                self.problems.append(f"--source-vmdk: {error.text} {error.hint}")
        return SourceSettings(vm, vmdk, self.text("migration-host"), self.copy_hosts())

    def copy_hosts(self) -> tuple[str, ...]:
        """Read which hosts may copy."""
        words = [word.strip() for word in self.text("copy-hosts").split(",")]
        hosts = tuple(dict.fromkeys(word for word in words if word)) or OWN_HOST
        for host in hosts if hosts not in {OWN_HOST, ANY_HOST} else ():
            if not re.fullmatch(HOST_ID, host):
                self.problems.append(
                    f"--copy-hosts: {short(host)} is no host's id like host-12; else it is vm or any, alone."
                )
        if self.text("migration-host") and hosts != OWN_HOST:
            self.warnings.append("--copy-hosts (COPY_HOSTS) does not count beside --migration-host.")
        return hosts

    def storage(self) -> StorageSettings:
        """Read how to reach the array."""
        vendor = self.vendor()
        skip = self.text("storage-skip-ssl-verification")
        username, password, token = self.array_login(vendor)
        access = Access(
            hostname=str(self.address("storage-hostname", self.required("storage-hostname"))),
            username=username,
            password=password,
            token=token,
            verify=not self.flag("--storage-skip-ssl-verification", skip),
            timeout=self.number(
                "--storage-http-timeout-seconds", self.text("storage-http-timeout-seconds"), LONGEST_TIMEOUT
            ),
            options=self.vendor_options(vendor),
        )
        by_host = (kind for kind, name in BY_HOST.items() if self.flag(name, self.variable(name)))
        return StorageSettings(vendor, access, frozenset(by_host))

    def array_login(self, vendor: str) -> tuple[str, str, str]:
        """Read user, password and token, and return what the vendor's arrays let us in by; a token before the rest."""
        username, password = self.text("storage-username"), self.password("storage-password")
        token = self.text("storage-token")
        takes = VENDORS[vendor].credentials if vendor in VENDORS else Credentials.PASSWORD
        if token and takes != Credentials.PASSWORD:
            return "", "", token
        if takes == Credentials.TOKEN:
            self.problems.append("--storage-token (STORAGE_TOKEN) is missing.")
        elif not (username and password):
            missing = (
                "--storage-username and --storage-password (STORAGE_USERNAME, STORAGE_PASSWORD) are missing"
            )
            self.problems.append(f"{missing}; {vendor} takes no token." if token else f"{missing}.")
        elif token:
            self.warnings.append(
                f"--storage-token (STORAGE_TOKEN) is not used: {vendor} takes user and password."
            )
        return username, password, ""

    def vendor_options(self, vendor: str) -> dict[str, str]:
        """Read what the vendor has beside the common settings."""
        found = {}
        for option in VENDORS[vendor].options if vendor in VENDORS else ():
            value = self.variable(option.variable)
            if value and not OF_A_SERVICE.fullmatch(value):
                found[option.variable] = value
            elif option.required:
                self.problems.append(f"{option.variable} is missing: {option.help}")
        return found

    def vendor(self) -> str:
        """Read the vendor."""
        vendor = self.required("storage-vendor-product").strip()
        if vendor and vendor not in VENDORS:
            known = ", ".join(sorted(VENDORS))
            self.problems.append(f"--storage-vendor-product: {short(vendor)} is none of {known}.")
        return vendor

    def kubernetes(self) -> KubernetesSettings:
        """Read how to reach the API server; the address of a master may have a path behind it."""
        master = self.text("master")
        address = self.address("master", master)
        if address.host and "//" not in master:
            master = f"https://{address}"
        return KubernetesSettings(self.text("kubeconfig"), master)

    def lease(self) -> LeaseSettings:
        """Read the host lease's variables."""
        name = "HOST_LEASE_DURATION_SECONDS"
        duration = self.number(name, self.variable(name, "10"), LARGEST)
        namespace, template, scope = (
            self.variable(name, default) for name, default in LEASE_DEFAULTS.items()
        )
        found = check_settings(duration or SHORTEST, SLOTS, template, scope)
        self.problems += [f"{LEASE_VARIABLES[name]}: {problem}" for name, problem in found.items()]
        if not re.fullmatch(NAMESPACE, namespace):
            self.problems.append(
                f"HOST_LEASE_NAMESPACE: {short(namespace)} cannot be the name of a namespace."
            )
        return LeaseSettings(
            namespace, duration, template, Scope(scope) if scope in set(Scope) else Scope.COPY
        )

    def metrics(self) -> MetricsSettings:
        """Read where to serve the metrics page."""
        given, path = self.text("http-endpoint"), self.text("metrics-path")
        endpoint = Address("")
        try:
            endpoint = parse_endpoint(given)
        except ValueError as error:
            self.problems.append(f"--http-endpoint: {short(given)} {error}.")
        if not path.startswith("/"):
            self.problems.append(f"--metrics-path: {short(path)} does not begin with a slash.")
        return MetricsSettings(endpoint.host, endpoint.port or 0, path)

    def clone_method(self) -> str:
        """Read how the host is told to clone."""
        return self.choice("esxi-clone-method", tuple(CloneMethod)) or CloneMethod.VIB

    def verify_samples(self) -> str:
        """Read how much of source and volume is compared."""
        value = self.text("verify-samples") or DEFAULT_SAMPLES
        if value != EVERYTHING and not re.fullmatch(r"[0-9]{1,4}", value):
            self.problems.append(
                f"--verify-samples: {short(value)} is neither {EVERYTHING} nor a whole number from 0 to 9999."
            )
        return value.lstrip("0") or "0"

    def ssh(self) -> SshSettings:
        """Read how to reach hosts over SSH; of no interest to the other method, which gets the key all the same."""
        return read_ssh(self, read_private_key(self), read_ssh_timeout(self))
