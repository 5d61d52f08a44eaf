"""What decides whether a host lets the array copy: VAAI of its devices, claim rules, settings of the data mover.

Field names of the VAAI status are those that PowerCLI's scripts read; those of settings are vcsim's own. The plugin and
the rules are of arrays that ESXi ships rules for.
"""

from collections.abc import Mapping

from tests.lab.esxi.host import EsxiHost
from tests.lab.esxi.wire import Row, Rows, failed

VAAI_COLUMNS = "VAAIStatus", "Device,VAAI Plugin Name,ATS Status,Clone Status,Zero Status,Delete Status"
RULE_COLUMNS = "ClaimRule", "Rule Class,Rule,Class,Type,Plugin,Matches"
SETTING_COLUMNS = "SettingsAdvancedOption", "Path,Type,Int Value,Default Int Value,Min Value,Max Value"
MAX_LUN = "/Disk/MaxLUN"


def vaai_status(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """Tell what of VAAI a device can do, or each that the host sees, datastores' included."""
    wanted = arguments.get("device")
    devices = [*host.stack.devices, *(naa for naa in host.extents if naa not in host.stack.devices)]
    if wanted and wanted not in devices:
        raise failed(f"Unknown device {wanted}")
    return Rows("VAAIStatus", [_status(host, naa) for naa in devices if wanted in {None, naa}])


def claim_rules(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """List the claim rules of a class, that of multipathing by default, as the kernel and as the file has them."""
    wanted = arguments.get("claimruleclass", "MP")
    vendors = [(65429 + n, "VAAI", vendor, f"VMW_VAAIP_{vendor}") for n, vendor in enumerate(host.claimed)]
    rows: list[Row] = [
        {
            "Class": where,
            "Matches": f"vendor={vendor} model=*",
            "Plugin": plugin,
            "Rule": str(number),
            "RuleClass": kind,
            "Type": "vendor",
        }
        for number, kind, vendor, plugin in (*vendors, (65535, "MP", "*", "NMP"))
        for where in ("runtime", "file")
        if wanted in {kind, "all"}
    ]
    return Rows("ClaimRule", rows)


def settings(host: EsxiHost, arguments: Mapping[str, str]) -> Rows:
    """List advanced settings, or one by its path."""
    known = host.settings | {MAX_LUN: host.max_lun}
    wanted = arguments.get("option")
    if wanted and wanted not in known:
        raise failed(f"Unable to find option {wanted.rpartition('/')[2]}")
    return Rows(
        "SettingsAdvancedOption",
        [_setting(path, value) for path, value in known.items() if wanted in {None, path}],
    )


def _status(host: EsxiHost, naa: str) -> Row:
    able = {f"{what}Status": "supported" for what in ("ATS", "Clone", "Delete", "Zero")}
    return {"Device": naa, "VAAIPluginName": "VMW_VAAIP_NETAPP"} | able | host.vaai.get(naa, {})


def _setting(path: str, value: int) -> Row:
    return {
        "DefaultIntValue": str(value),
        "DefaultStringValue": "",
        "Description": path.rpartition("/")[2],
        "IntValue": str(value),
        "MaxValue": "16384",
        "MinValue": "0",
        "Path": path,
        "StringValue": "",
        "Type": "integer",
        "ValidCharacters": "",
    }
