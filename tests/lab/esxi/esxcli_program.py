"""`esxcli` as it runs on a host itself: packages, acceptance level, and the plugin as hostd has loaded it.

Runs in the sandbox, with the standard library alone. A package is judged and unpacked for real: checksums, sizes,
folders, file list, levels, files in use. State lies in the folder HOME: `packages.json`, `level`, `secure-boot`,
`hostd/` (what hostd read when it last started, and from when it answers); `faults/NAME` makes something go wrong.
"""

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from xml.etree import ElementTree

HOME = Path("/lab")
PLUGIN = Path("/usr/lib/vmware/esxcli/ext/esxcli-vmkfstools.xml")
NS = "{http://www.vmware.com/Products/ESX/5.0/esxcli/}"
LEVELS = {"community": "CommunitySupported", "partner": "PartnerSupported"}
COLUMNS = "{:<24}  {:<24}  {:<16}  {:<18}  {:<12}"


class Failed(Exception):
    """The command fails with this text."""


def main(words: list[str]) -> int:
    if seconds := fault("slow"):
        time.sleep(float(seconds))
    try:
        if time.time() < float((HOME / "hostd/up").read_text()):
            raise Failed("Connect to localhost failed: Connection failure.")
        print(run(words))
    except Failed as error:
        print(error)
        return 1
    return 0


def fault(name: str) -> str:
    file = HOME / "faults" / name
    return (file.read_text() or "1") if file.exists() else ""


def run(words: list[str]) -> str:
    match words:
        case ["software", "acceptance", "get"]:
            return (HOME / "level").read_text()
        case ["system", "version", "get"]:
            return "   Product: VMware ESXi\n   Version: 8.0.3"
        case ["software", "vib", "list"]:
            rows = [(each["name"], each["version"], each["vendor"], each["level"]) for each in packages()]
            head = COLUMNS.format("Name", "Version", "Vendor", "Acceptance Level", "Install Date")
            return "\n".join([head, *(COLUMNS.format(*row, "2026-03-28") for row in rows)])
        case ["software", "vib", "install", "-v", file, *flags]:
            return install(Path(file), force="--force" in flags or "-f" in flags)
        case ["software", "vib", "remove", "-n", name]:
            return remove(name)
        case ["vmkfstools", command, *arguments]:
            return plugin(command, arguments)
    raise Failed(f"Error: Unknown command or namespace {' '.join(words)}")


def packages() -> list[dict[str, str]]:
    return list(json.loads((HOME / "packages.json").read_text()))


def save(all_of_them: list[dict[str, str]]) -> None:
    (HOME / "packages.json").write_text(json.dumps(all_of_them))


def identity(package: dict[str, str]) -> str:
    return f"{package['vendor']}_bootbank_{package['name']}_{package['version']}"


def install(file: Path, *, force: bool) -> str:
    while fault("install-hangs"):
        time.sleep(0.05)
    if text := fault("install"):
        raise Failed(f" [InstallationError]\n {text}\n Please refer to the log file for more details.")
    package, files = open_vib(file.read_bytes())
    if package["level"] != (HOME / "level").read_text().strip() and not force:
        raise Failed(
            f" [AcceptanceConfigError]\n VIB {identity(package)}'s acceptance level is community, which is not "
            "compliant with the ImageProfile acceptance level partner"
        )
    same = [each for each in packages() if each["name"] == package["name"]]
    if any(identity(each) == identity(package) for each in same):
        return result(skipped=[identity(package)])
    for each in same:
        take_away(each)
    for path, (data, mode) in files.items():
        target = Path("/") / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)
    save([each for each in packages() if each not in same] + [package])
    return result(installed=[identity(package)], removed=[identity(each) for each in same])


def remove(name: str) -> str:
    found = [each for each in packages() if each["name"] == name]
    if not found:
        raise Failed(f" [NoMatchError]\n No VIB matching VIB search specification '{name}'.\n  id = {name}")
    for each in found:
        take_away(each)
    save([each for each in packages() if each not in found])
    return result(removed=[identity(each) for each in found])


def take_away(package: dict[str, str]) -> None:
    if subprocess.run(["/bin/ps", "-c"], capture_output=True, text=True, check=True).stdout.count(
        "vmkfstools -i"
    ):
        raise Failed(
            f" [LiveInstallationError]\n Error in running rm /tardisks/{package['name'][:8]}.t00:\n Return code: 1\n"
            " Output: rm: can't remove: Device or resource busy"
        )
    for path in package["files"].split():
        (Path("/") / path).unlink()


def result(installed: list[str] = [], removed: list[str] = [], skipped: list[str] = []) -> str:  # noqa: B006
    reboot = str(bool(fault("reboot"))).lower()
    rows = [("Message", "Operation finished successfully."), ("Reboot Required", reboot)]
    rows += [("VIBs Installed", ", ".join(installed)), ("VIBs Removed", ", ".join(removed))]
    rows += [("VIBs Skipped", ", ".join(skipped))]
    return "Installation Result\n" + "\n".join(f"   {name}: {value}" for name, value in rows)


def open_vib(data: bytes) -> tuple[dict[str, str], dict[str, tuple[bytes, int]]]:
    """Judge a package as a host does; return its facts and files."""
    names, members = archive(data)
    if names[:2] != ["descriptor.xml", "sig.pkcs7"]:
        raise Failed(" [VibFormatError]\n the descriptor must come first, then the signature")
    descriptor = ElementTree.fromstring(members["descriptor.xml"])  # noqa: S314 - a test's
    told = {name: descriptor.findtext(name) or "" for name in ("name", "version", "vendor")}
    wrong = [text for text in told.values() if not re.fullmatch(r"[0-9A-Za-z._-]{1,35}", text)]
    if wrong or len(descriptor.findtext("summary") or "") > 80:
        raise Failed(f" [VibFormatError]\n descriptor: {wrong}")
    level = descriptor.findtext("acceptance-level") or ""
    if (level == "community" and members["sig.pkcs7"]) or level not in LEVELS:
        raise Failed(" [VibValidationError]\n no such level, or a signature that nobody knows")
    if (HOME / "secure-boot").read_text().strip() == "Enabled":
        raise Failed(" [VibValidationError]\n Secure Boot is enabled: an unsigned VIB cannot be installed")
    files: dict[str, tuple[bytes, int]] = {}
    for payload in descriptor.iter("payload"):
        files |= open_payload(payload, members[payload.get("name", "")])
    if sorted(files) != sorted(each.text or "" for each in descriptor.iter("file")):
        raise Failed(" [VibFormatError]\n the file list is not what the payload holds")
    return {**told, "level": LEVELS[level], "files": "\n".join(files)}, files


def archive(data: bytes) -> tuple[list[str], dict[str, bytes]]:
    names, members, at = [], {}, 8
    if data[:8] != b"!<arch>\n":
        raise Failed(" [VibFormatError]\n not an ar archive")
    while at < len(data):
        header = data[at : at + 60]
        if header[58:] != b"`\n":
            raise Failed(" [VibFormatError]\n broken header")
        name, size, at = header[:16].decode().rstrip().rstrip("/"), int(header[48:58]), at + 60
        names.append(name)
        members[name] = data[at : at + size]
        at += size + size % 2
    return names, members


def open_payload(payload: ElementTree.Element, data: bytes) -> dict[str, tuple[bytes, int]]:
    tar = gzip.decompress(data)
    if len(payload.get("name", "")) > 8 or int(payload.get("size", "0")) != len(data):
        raise Failed(" [VibFormatError]\n name or size of the payload")
    seen = set()
    for checksum in payload.iter("checksum"):
        kind, process = checksum.get("checksum-type", ""), checksum.get("verify-process", "")
        seen.add((kind, process))
        digest = hashlib.new(kind.replace("-", ""), tar if process == "gunzip" else data).hexdigest()
        if digest != checksum.text:
            raise Failed(f" [VibValidationError]\n checksum {kind} {process}")
    if not {("sha-256", "gunzip"), ("sha-256", "")} <= seen:
        raise Failed(" [VibValidationError]\n a checksum that ESXi 8 asks for is missing")
    folders, files = {"."}, {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        for each in members:
            if str(Path(each.name).parent) not in folders or each.name.startswith("/"):
                raise Failed(f" [VibFormatError]\n the folder of {each.name} is missing")
            if each.isdir():
                folders.add(each.name.rstrip("/"))
            elif content := members.extractfile(each):
                files[each.name] = (content.read(), each.mode)
    return files


def plugin(command: str, arguments: list[str]) -> str:
    """Run a command of the plugin as it was when hostd started."""
    loaded = HOME / "hostd/plugin.xml"
    tree = ElementTree.fromstring(loaded.read_text()) if loaded.exists() else ElementTree.Element("none")  # noqa: S314
    found = [each for each in tree.iter(f"{NS}command") if each.get("path") == f"vmkfstools.{command}"]
    if not found or fault("namespace"):
        raise Failed(f"Error: Unknown command or namespace vmkfstools {command}")
    if arguments == ["--help"]:
        return f"Usage: esxcli vmkfstools {command} [cmd options]"
    line = found[0].findtext(f"{NS}execute") or ""
    output = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False).stdout
    if not output:
        raise Failed("Unable to run the plugin.")
    status, message = [each.text or "" for each in ElementTree.fromstring(output).iter(f"{NS}string")]  # noqa: S314
    return f"   message: {message}\n   status: {status}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
