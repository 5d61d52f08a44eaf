"""The namespaces `system version` and `software vib`: what runs on the host."""

from collections.abc import Mapping

from tests.lab.esxi.host import EsxiHost
from tests.lab.esxi.wire import Rows, Structure, failed

VERSION_COLUMNS = "Version", "Product,Version,Build,Update,Patch"
SUMMARY_COLUMNS = "SummaryExt", "Name,Version,Vendor,Acceptance Level,Install Date,Platforms,Status,ID"
VIB_COLUMNS = (
    "VIBExt",
    (
        "Name,Version,Type,Vendor,Acceptance Level,Summary,Description,ID,Install Date,Creation Date,Status,"
        "Maintenance Mode Required,Live Install Allowed,Live Remove Allowed,Stateless Ready,Overlay,Payloads,Platforms"
    ),
)
_COMMON = {"InstallDate": "2026-03-28", "Type": "bootbank", "Platforms": "host"}


def version(host: EsxiHost, _arguments: Mapping[str, str]) -> Structure:
    """Tell product and version."""
    return Structure(
        "Version",
        {
            "Build": "Releasebuild-24280767",
            "Patch": "35",
            "Product": "VMware ESXi",
            "Update": host.product_version.rpartition(".")[2],
            "Version": host.product_version,
        },
    )


def vib_list(host: EsxiHost, _arguments: Mapping[str, str]) -> Rows:
    """List the packages in short."""
    short = ("AcceptanceLevel", "ID", "InstallDate", "Name", "Platforms", "Status", "Vendor", "Version")
    return Rows("SummaryExt", [{key: row[key] for key in short} for row in _vibs(host)])


def vib_get(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """Tell all of one package, or of every package."""
    wanted = arguments.get("vibname")
    found = [row for row in _vibs(host) if wanted in {None, row["Name"]}]
    if not found:
        raise failed("[NoMatchError]", f"id={wanted}")
    return Rows("VIBExt", found)


def _vibs(host: EsxiHost) -> list[dict[str, str]]:
    build = f"{host.product_version}-0.24280767"
    vibs = [_vib("esx-base", "VMware", build, "VMwareCertified", "ESXi base system")]
    if host.plugin_installed:
        # A package always has a version, also one whose script is too old to tell it.
        wrapper = _vib(
            "vmkfstools-wrapper", "REDHAT", host.plugin_version or "0.1.0", "CommunitySupported", "vmkfstools"
        )
        vibs.append(wrapper)
    return vibs


def _vib(name: str, vendor: str, version: str, level: str, summary: str) -> dict[str, str]:
    flags = dict.fromkeys(("LiveInstallAllowed", "LiveRemoveAllowed", "StatelessReady"), "True")
    return _COMMON | flags | {
        "AcceptanceLevel": level,
        "CreationDate": "2026-03-25",
        "Description": summary,
        "ID": f"{vendor}_bootbank_{name}_{version}",
        "MaintenanceModeRequired": "False",
        "Name": name,
        "Overlay": "False",
        "Payloads": name[:8],
        "Status": "",
        "Summary": summary,
        "Vendor": vendor,
        "Version": version,
    }  # fmt: skip
