"""The lab's ESXi hosts do what they say, seen from where vCenter calls them: the Unix socket."""

import http.client
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.lab import disks
from tests.lab.esxi import EsxcliServer, EsxiHost
from tests.lab.esxi.wrapper import Stock
from tests.lab.san import San

MIB = 1 << 20
NAA = "naa.600a098038303053455d463045727654"
OTHER = "naa.600a098038303053455d463045727655"
IQN = "iqn.1998-01.com.vmware:esx-1"
WWPN = "20000025b5aa0001"
ADAPTERS: list[dict[str, str]] = [
    {"device": "vmhba64", "kind": "iscsi", "initiator": IQN},
    {"device": "vmhba2", "kind": "fc", "wwnn": "20000025b5000001", "wwpn": WWPN},
]
DISK = "/vmfs/volumes/ds one/vm a/disk.vmdk"
DEVICE = f"/vmfs/devices/disks/{NAA}"
NOT_FOUND = "The object or item referred to could not be found."


class Fault(Exception):
    pass


class Unreachable(Exception):
    pass


class Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("esxi", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Lab:
    """One host behind its socket, and a client that speaks as the bridge does."""

    def __init__(self, directory: Path) -> None:
        self.san = San(directory / "luns")
        self.datastore = directory / "ds"
        self.disk = disks.make_vmdk(self.datastore / "vm a", "disk.vmdk", 4 * MIB, content=1)
        self.booted: list[EsxiHost] = []
        self.host = EsxiHost(
            "esx-1.lab",
            "host-21",
            ADAPTERS,
            self.san,
            {"ds one": self.datastore},
            on_boot=self.booted.append,
        )
        self.lun = self.san.create_lun(NAA, 4 * MIB)
        self.san.create_lun(OTHER, 4 * MIB)
        self.socket = directory / "esxcli.sock"

    def raw(
        self, moid: str, method: str, arguments: dict[str, str], *, escape: bool = True
    ) -> dict[str, Any]:
        values = {
            name: value.replace("&", "&amp;").replace("<", "&lt;") if escape else value
            for name, value in arguments.items()
        }
        body = {
            "host": "host-21",
            "moid": moid,
            "version": "urn:vim25/5.0",
            "method": method,
            "arguments": [
                {"name": name, "val": f'<{name} xmlns="urn:vim25">{value}</{name}>'}
                for name, value in values.items()
            ],
        }
        connection = Connection(self.socket)
        try:
            connection.request("POST", "/execute", json.dumps(body))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def esxcli(self, command: str, **arguments: str) -> list[dict[str, str]]:
        words = command.split()
        answer = self.raw(
            "ha-cli-handler-" + "-".join(words[:-1]), "vim.EsxCLI." + ".".join(words), arguments
        )
        if "soapFault" in answer:
            assert answer["soapFault"] == "HostCommunication"
            raise Unreachable(answer["message"])
        if "fault" in answer:
            detail = parse(answer["fault"]["faultDetail"])
            errors = [element.text or "" for element in detail]
            raise Fault(" ".join([answer["fault"]["faultMsg"], *errors]))
        tree = parse(answer["response"])
        rows = [tree] if tree.find("{urn:vim25}DataObject") is None else list(tree)
        if tree.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "xsd:boolean" or not len(tree):
            return []
        return [{field.tag.partition("}")[2]: field.text or "" for field in row} for row in rows]

    def rescan(self, kind: str = "add") -> None:
        self.esxcli("storage core adapter rescan", type=kind, all="1")

    def present(self, naa: str = NAA, lun_id: int = 1) -> None:
        self.san.map(naa, {IQN}, lun_id, "xcopy")
        self.rescan()

    def status(self, naa: str = NAA) -> str:
        return self.esxcli("storage core device list", device=naa)[0]["Status"]

    def clone(self, source: str = DISK, target: str = DEVICE) -> str:
        task = self.message(self.esxcli("vmkfstools clone", sourcevmdk=source, targetlun=target))
        return str(task["taskId"])

    def task(self, task_id: str) -> dict[str, Any]:
        return self.message(self.esxcli("vmkfstools taskGet", id=task_id))

    def finish(self, task_id: str) -> dict[str, Any]:
        wait_for(lambda: self.task(task_id)["exitCode"] != "")
        return self.task(task_id)

    @staticmethod
    def message(rows: list[dict[str, str]]) -> dict[str, Any]:
        assert rows[0]["status"] == "0", rows
        answer: dict[str, Any] = json.loads(rows[0]["message"])
        return answer


def parse(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314 - of our own simulator


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def lab() -> Iterator[Lab]:
    # Not tmp_path: the name of a Unix socket has room for 107 bytes only.
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory))
        with EsxcliServer(lab.socket, [lab.host]):
            yield lab


def test_a_device_appears_only_when_mapped_and_rescanned(lab: Lab) -> None:
    lab.rescan()
    lab.san.map(NAA, {IQN}, 1, "xcopy")
    with pytest.raises(Fault, match=f"Unable to find device with name {NAA}"):
        lab.status()
    lab.esxcli("storage core adapter rescan", type="add", adapter="vmhba2")
    with pytest.raises(Fault):
        lab.status()
    lab.esxcli("storage core adapter rescan", type="add", adapter="vmhba64")
    (row,) = lab.esxcli("storage core device list", device=NAA)
    assert (row["Device"], row["Size"], row["Status"], row["IsLocal"]) == (NAA, "4", "on", "false")
    assert {each["Device"] for each in lab.esxcli("storage core device list")} == {
        NAA,
        "mpx.vmhba0:C0:T0:L0",
    }


def test_a_rescan_of_type_delete_or_of_nothing_discovers_nothing(lab: Lab) -> None:
    lab.san.map(NAA, {IQN}, 1, "xcopy")
    lab.rescan("delete")
    with pytest.raises(Fault):
        lab.status()
    with pytest.raises(Fault, match="either an adapter or all"):
        lab.esxcli("storage core adapter rescan", type="add")
    with pytest.raises(Fault, match="Invalid data constraint for parameter 'type'"):
        lab.rescan("everything")
    with pytest.raises(Fault, match="vmhba9"):
        lab.esxcli("storage core adapter rescan", adapter="vmhba9")


def test_unmapping_leaves_dead_paths_until_a_rescan_deletes_them(lab: Lab) -> None:
    lab.present()
    lab.san.unmap(NAA, "xcopy")
    lab.rescan("add")
    assert lab.status() == "dead timeout"
    assert {path["State"] for path in lab.esxcli("storage core path list", device=NAA)} == {"dead"}
    lab.rescan("delete")
    with pytest.raises(Fault):
        lab.status()
    assert lab.host.unclean == [NAA]


def test_paths_of_both_adapters_are_shown_with_their_lun_id(lab: Lab) -> None:
    lab.san.map(NAA, {IQN, WWPN}, 7, "xcopy")
    lab.rescan("all")
    paths = lab.esxcli("storage core path list", device=NAA)
    assert {(path["Adapter"], path["RuntimeName"], path["State"]) for path in paths} == {
        (name, f"{name}:C0:T{target}:L7", "active") for name in ("vmhba64", "vmhba2") for target in (0, 1)
    }
    adapters = {row["HBAName"]: row["UID"] for row in lab.esxcli("storage core adapter list")}
    assert adapters == {"vmhba64": IQN, "vmhba2": f"fc.20000025b5000001:{WWPN}"}


def test_a_single_path_makes_the_device_degraded(lab: Lab) -> None:
    lab.host.stack.targets = 1
    lab.present()
    assert lab.status() == "degraded"


def test_lun_ids_beyond_max_lun_are_never_seen(lab: Lab) -> None:
    lab.host.max_lun = 256
    lab.present(lun_id=256)
    with pytest.raises(Fault):
        lab.status()
    lab.present(lun_id=255)
    assert lab.status() == "on"


def test_a_lun_id_used_again_behind_a_stale_path_is_refused(lab: Lab) -> None:
    lab.present(lun_id=3)
    lab.san.unmap(NAA, "xcopy")
    lab.present(OTHER, lun_id=3)
    with pytest.raises(Fault):
        lab.status(OTHER)
    assert "the UID of the device changed" in lab.host.stack.log[0]
    lab.rescan("all")
    lab.rescan("all")
    assert lab.status(OTHER) == "on"


def test_a_detached_device_stays_off_through_unmap_map_and_reboot(lab: Lab) -> None:
    lab.present()
    lab.esxcli("storage core device set", device=NAA, state="off")
    assert lab.status() == "off"
    lab.san.unmap(NAA, "xcopy")
    lab.rescan("delete")
    assert lab.esxcli("storage core device detached list") == [{"DeviceUID": NAA, "State": "off"}]
    lab.present()
    assert lab.status() == "off"
    lab.host.restart()
    assert lab.status() == "off"
    lab.esxcli("storage core device detached remove", device=NAA)
    assert lab.status() == "off"  # the device itself is as it was
    lab.san.unmap(NAA, "xcopy")
    lab.rescan("delete")
    lab.present()
    assert lab.status() == "on"
    assert lab.host.unclean == []
    with pytest.raises(Fault):
        lab.esxcli("storage core device detached remove", device=NAA)


def test_switching_on_takes_the_device_off_the_list(lab: Lab) -> None:
    lab.present()
    lab.esxcli("storage core device set", device=NAA, state="off")
    lab.esxcli("storage core device set", device=NAA, state="on")
    assert lab.status() == "on"
    assert lab.host.detached == set()
    with pytest.raises(Fault):
        lab.esxcli("storage core device set", device=OTHER, state="off")
    with pytest.raises(Fault, match=r"Missing required parameter -s\|--state"):
        lab.esxcli("storage core device set", device=NAA)


def test_a_clone_copies_bytes_and_reports_them_in_the_words_of_0_3_3(lab: Lab) -> None:
    lab.present()
    lab.host.copy_rate = 2 * MIB
    (row,) = lab.esxcli("vmkfstools clone", sourcevmdk=DISK, targetlun=DEVICE)
    started = json.loads(row["message"])
    assert set(started) == {"taskId", "pid", "xcopyUsed"}
    assert isinstance(started["pid"], int)
    wait_for(lambda: "%" in lab.task(started["taskId"])["lastLine"])
    assert lab.task(started["taskId"])["exitCode"] == ""
    worlds = lab.esxcli("storage core device world list", device=NAA)
    assert [(world["WorldID"], world["WorldName"]) for world in worlds] == [
        (str(started["pid"]), "vmkfstools")
    ]
    done = lab.finish(started["taskId"])
    assert list(done) == ["taskId", "pid", "exitCode", "lastLine", "xcopyUsed", "stdErr"]
    assert (done["exitCode"], done["lastLine"], done["xcopyUsed"], done["stdErr"]) == (
        "0",
        "Clone: 100% done.",
        True,
        "",
    )
    assert disks.same_bytes(lab.disk, lab.lun.path)
    assert lab.esxcli("storage core device world list", device=NAA) == []
    assert lab.esxcli("vmkfstools taskClean", id=started["taskId"]) == [{"status": "0", "message": ""}]
    assert sorted(path.name for path in lab.disk.parent.iterdir()) == ["disk-flat.vmdk", "disk.vmdk"]
    (row,) = lab.esxcli("vmkfstools taskGet", id=started["taskId"])
    assert row["status"] == "1"
    assert set(json.loads(row["message"])) == {"taskId", "stdErr", "xcopyUsed"}
    assert lab.host.clones_started == {NAA: 1}
    assert lab.host.harm == []


def test_a_copy_nobody_cleans_up_leaves_its_mapping_beside_the_source(lab: Lab) -> None:
    lab.present()
    lab.finish(lab.clone())
    names = sorted(path.name for path in lab.disk.parent.glob("*rdmdisk*"))
    assert len(names) == 2
    assert names[1] == names[0] + "-rdm.vmdk"
    assert f'VMFSRDM "{names[1]}"' in (lab.disk.parent / names[0]).read_text()


@pytest.mark.parametrize(
    ("xcopy", "told"), [(True, "true"), (False, "false"), (None, "null")], ids=["yes", "no", "unknown"]
)
def test_xcopy_used_has_three_values(lab: Lab, xcopy: bool | None, told: str) -> None:
    lab.host.xcopy = xcopy
    lab.present()
    task = lab.clone()
    lab.finish(task)
    (row,) = lab.esxcli("vmkfstools taskGet", id=task)
    assert f'"xcopyUsed": {told}' in row["message"]


def test_the_clone_counter_is_the_devices_not_the_tasks(lab: Lab) -> None:
    lab.present()
    lab.finish(lab.clone())
    lab.host.xcopy = False
    assert lab.finish(lab.clone())["xcopyUsed"] is True


def fail(lab: Lab) -> dict[str, Any]:
    done = lab.finish(lab.clone())
    assert done["exitCode"] == "255"
    return done


def test_a_locked_source_fails_at_once(lab: Lab) -> None:
    lab.present()
    lab.host.faults.locked.add("[ds one] vm a/disk.vmdk")
    assert fail(lab)["stdErr"] == f"Failed to open '{DISK}': Failed to lock the file (16392).\n"
    assert lab.lun.bytes_written == 0


def test_a_copy_can_fail_half_way(lab: Lab) -> None:
    lab.present()
    lab.host.faults.fail_at = 50
    done = fail(lab)
    assert "Input/output error" in done["stdErr"]
    assert 0 < lab.lun.bytes_written < 4 * MIB


def test_a_lun_can_run_full_or_fail_half_way(lab: Lab) -> None:
    lab.present()
    lab.san.set_fault(NAA, full_from=MIB)
    assert "No space left on device" in fail(lab)["stdErr"]
    lab.san.set_fault(NAA, failing_from=MIB)
    assert "Input/output error" in fail(lab)["stdErr"]


def test_a_device_that_is_absent_off_or_dead_cannot_be_written(lab: Lab) -> None:
    assert "No such file" in fail(lab)["stdErr"]
    lab.present()
    lab.esxcli("storage core device set", device=NAA, state="off")
    assert "Input/output error" in fail(lab)["stdErr"]
    lab.esxcli("storage core device set", device=NAA, state="on")
    lab.san.unmap(NAA, "xcopy")
    assert "Input/output error" in fail(lab)["stdErr"]
    assert lab.lun.bytes_written == 0
    assert lab.host.harm == []


def test_a_missing_source_fails(lab: Lab) -> None:
    lab.present()
    done = lab.finish(lab.clone("/vmfs/volumes/ds one/vm a/none.vmdk"))
    assert "cannot find the file specified" in done["stdErr"]
    done = lab.finish(lab.clone("/vmfs/volumes/ds two/vm a/disk.vmdk"))
    assert "cannot find the file specified" in done["stdErr"]


def test_a_silent_copy_has_no_progress_line(lab: Lab) -> None:
    lab.host.faults.silent = True
    lab.present()
    done = lab.finish(lab.clone())
    assert (done["exitCode"], done["lastLine"]) == ("0", "")


def test_a_wrapper_that_dies_leaves_no_exit_code_and_is_told_as_1(lab: Lab) -> None:
    lab.host.faults.dies_at = 50
    lab.present()
    done = lab.finish(lab.clone())
    assert (done["exitCode"], done["stdErr"]) == ("1", "")
    assert lab.lun.bytes_written < 4 * MIB


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("/vmfs/volumes/ds one/../disk.vmdk", DEVICE, "Invalid path detected"),
        ("/etc/shadow", DEVICE, "Path not in allowed directories"),
        (DISK, "/dev/null", "Path not in allowed directories"),
    ],
)
def test_paths_outside_the_allowed_places_are_refused(
    lab: Lab, source: str, target: str, reason: str
) -> None:
    (row,) = lab.esxcli("vmkfstools clone", sourcevmdk=source, targetlun=target)
    assert row["status"] == "1"
    assert row["message"].startswith(f"Path validation error: {reason}: /")


def test_a_quote_in_a_path_is_an_injection_and_copies_nothing(lab: Lab) -> None:
    lab.present()
    evil = "/vmfs/volumes/ds one/vm' ; reboot '/disk.vmdk"
    with pytest.raises(Fault):
        lab.clone(evil)
    with pytest.raises(Fault):
        lab.task("x; reboot")
    with pytest.raises(Fault):
        lab.esxcli("vmkfstools taskClean", id="$(reboot)")
    assert isinstance(lab.host.wrapper, Stock)
    assert lab.host.wrapper.injections == [evil, "x; reboot", "$(reboot)"]
    assert lab.host.clones_started == {}


def test_an_ampersand_breaks_the_answer_since_the_script_does_not_escape(lab: Lab) -> None:
    lab.present()
    disks.make_vmdk(lab.datastore / "a & b", "disk.vmdk", MIB, content=1)
    source = "/vmfs/volumes/ds one/a & b/disk.vmdk"
    task = lab.clone(source)
    assert lab.finish(task)["exitCode"] == "0"  # the last line holds no path by then
    lab.host.faults.locked.add(source)
    task = lab.clone(source)
    wait_for(lambda: not lab.host.running_copies)
    with pytest.raises(Fault, match="Unable to parse"):
        lab.task(task)


def test_arguments_that_are_not_xml_or_not_known_are_refused(lab: Lab) -> None:
    answer = lab.raw(
        "ha-cli-handler-storage-core-device",
        "vim.EsxCLI.storage.core.device.list",
        {"device": "a & b"},
        escape=False,
    )
    assert "InvalidArgument" in answer["fault"]["faultDetail"]
    with pytest.raises(Fault, match="not correct: colour"):
        lab.esxcli("storage core device list", colour="red")


def test_refusals_come_as_status_1_or_as_fault(lab: Lab) -> None:
    lab.host.faults.refuse["clone"] = "Task directory could not be created"
    (row,) = lab.esxcli("vmkfstools clone", sourcevmdk=DISK, targetlun=DEVICE)
    assert row == {"status": "1", "message": "Task directory could not be created"}
    lab.host.faults.failure_is_fault = True
    with pytest.raises(Fault, match="Task directory could not be created"):
        lab.clone()


def test_versions_and_packages(lab: Lab) -> None:
    assert lab.message(lab.esxcli("vmkfstools version")) == {"version": "0.3.3"}
    assert lab.esxcli("system version get")[0]["Version"] == "8.0.3"
    assert "vmkfstools-wrapper" in {row["Name"] for row in lab.esxcli("software vib list")}
    lab.host.plugin_version = "0.2.0"
    assert lab.message(lab.esxcli("vmkfstools version")) == {"version": "0.2.0"}
    assert lab.esxcli("software vib get", vibname="vmkfstools-wrapper")[0]["Version"] == "0.2.0"
    lab.host.plugin_version = None
    with pytest.raises(Fault, match=NOT_FOUND):
        lab.esxcli("vmkfstools version")
    lab.host.plugin_installed = False
    with pytest.raises(Fault, match=NOT_FOUND):
        lab.clone()
    with pytest.raises(Fault, match="NoMatchError"):
        lab.esxcli("software vib get", vibname="vmkfstools-wrapper")


def describe(lab: Lab, namespace: str) -> dict[str, Any]:
    return lab.raw(
        "ha-dynamic-type-manager-local-cli-cliinfo",
        "vim.CLIInfo.FetchCLIInfo",
        {"typeName": f"vim.EsxCLI.{namespace}"},
    )


def test_commands_describe_themselves(lab: Lab) -> None:
    tree = parse(describe(lab, "vmkfstools")["response"])
    at = {"": "urn:vim25"}
    methods = {method.findtext("name", None, at): method for method in tree.findall("method", at)}
    assert set(methods) == {"clone", "taskGet", "taskClean", "version"}
    params = {
        param.findtext("name", None, at): [alias.text for alias in param.findall("aliases", at)]
        for param in methods["clone"].findall("param", at)
    }
    assert params == {"sourcevmdk": ["-s", "--source-vmdk"], "targetlun": ["-t", "--target-lun"]}
    lab.host.plugin_installed = False
    assert describe(lab, "vmkfstools")["fault"]["faultMsg"] == NOT_FOUND


def test_what_decides_whether_the_array_copies_is_shown(lab: Lab) -> None:
    lab.host.extents = {"naa.6000": "ds"}
    lab.host.vaai["naa.6000"] = {"CloneStatus": "unsupported"}
    [row] = lab.esxcli("storage core device vaai status get", device="naa.6000")
    assert row == {
        "Device": "naa.6000",
        "VAAIPluginName": "VMW_VAAIP_NETAPP",
        "ATSStatus": "supported",
        "CloneStatus": "unsupported",
        "DeleteStatus": "supported",
        "ZeroStatus": "supported",
    }
    with pytest.raises(Fault, match=r"naa\.7000"):
        lab.esxcli("storage core device vaai status get", device="naa.7000")
    rules = lab.esxcli("storage core claimrule list", claimruleclass="VAAI")
    assert {(rule["Class"], rule["RuleClass"]) for rule in rules} == {("runtime", "VAAI"), ("file", "VAAI")}
    assert "vendor=NETAPP model=*" in {rule["Matches"] for rule in rules}
    lab.host.max_lun = 256
    [setting] = lab.esxcli("system settings advanced list", option="/Disk/MaxLUN")
    assert (setting["Path"], setting["Type"], setting["IntValue"]) == ("/Disk/MaxLUN", "integer", "256")
    with pytest.raises(Fault):
        lab.esxcli("system settings advanced list", option="/Disk/None")


def test_other_namespaces_are_left_to_vcenter(lab: Lab) -> None:
    assert describe(lab, "network.firewall") == {"pass": True}
    assert lab.raw("ha-cli-handler-network-firewall", "vim.EsxCLI.network.firewall.get", {}) == {"pass": True}
    with pytest.raises(Fault, match=NOT_FOUND):
        lab.esxcli("storage core device reformat")


def test_a_device_in_use_cannot_be_switched_off_or_forgotten(lab: Lab) -> None:
    lab.host.copy_seconds = 60
    lab.present()
    lab.clone()
    with pytest.raises(Fault, match="Busy"):
        lab.esxcli("storage core device set", device=NAA, state="off")
    lab.rescan("delete")
    assert lab.status() == "on"


def test_taking_the_lun_from_under_a_copy_is_harm_and_ends_it(lab: Lab) -> None:
    lab.host.copy_seconds = 60
    lab.present()
    task = lab.clone()
    lab.san.unmap(NAA, "xcopy")
    done = lab.finish(task)
    assert (done["exitCode"], done["stdErr"]) == (
        "255",
        "Failed to clone disk: Input/output error (327689).\n",
    )
    assert len(lab.host.harm) == 1
    assert "taken away" in lab.host.harm[0]


def test_losing_one_of_two_ways_does_not_hurt_a_copy(lab: Lab) -> None:
    lab.host.copy_seconds = 0.3
    lab.san.map(NAA, {IQN}, 1, "a")
    lab.san.map(NAA, {WWPN}, 1, "b")
    lab.rescan()
    task = lab.clone()
    lab.san.unmap(NAA, "a")
    assert lab.finish(task)["exitCode"] == "0"
    assert lab.host.harm == []


def test_two_copies_onto_one_device_are_harm(lab: Lab) -> None:
    lab.host.copy_seconds = 60
    lab.present()
    lab.clone()
    lab.clone()
    wait_for(lambda: len(lab.host.harm) == 1)
    assert lab.host.clones_started == {NAA: 2}


def test_a_cleaned_up_task_goes_on_writing(lab: Lab) -> None:
    lab.host.copy_seconds = 60
    lab.present()
    lab.esxcli("vmkfstools taskClean", id=lab.clone())
    assert lab.host.running_copies == [NAA]


def test_a_reboot_ends_copies_forgets_tasks_and_looks_anew(lab: Lab) -> None:
    lab.host.copy_seconds = 60
    lab.present()
    lab.san.map(OTHER, {IQN}, 2, "xcopy")
    task, booted = lab.clone(), lab.host.boot_time
    lab.host.restart()
    assert lab.host.boot_time > booted
    assert lab.booted == [lab.host]
    assert lab.host.running_copies == []
    assert lab.esxcli("vmkfstools taskGet", id=task)[0]["status"] == "1"
    assert lab.status(OTHER) == "on"
    assert lab.host.harm == []


def test_while_hostd_is_away_calls_fail_and_copies_go_on(lab: Lab) -> None:
    lab.host.copy_seconds = 0.3
    lab.present()
    task = lab.clone()
    lab.host.hostd_restart(60)
    with pytest.raises(Unreachable):
        lab.status()
    wait_for(lambda: not lab.host.running_copies)
    assert disks.same_bytes(lab.disk, lab.lun.path)
    lab.host.hostd_down_until = 0
    assert lab.finish(task)["exitCode"] == "0"


def test_a_call_under_way_when_hostd_goes_has_its_effect_but_no_answer(lab: Lab) -> None:
    lab.host.rescan_seconds = 1
    lab.san.map(NAA, {IQN}, 1, "xcopy")

    def restart_hostd() -> None:
        wait_for(lambda: bool(lab.host.history))
        lab.host.hostd_restart(0)

    thread = threading.Thread(target=restart_hostd)
    thread.start()
    with pytest.raises(Unreachable):
        lab.rescan()
    thread.join()
    assert lab.status() == "on"


def at_once(lab: Lab, count: int) -> list[Exception]:
    """Run as many rescans at the same time; return what failed."""
    failures: list[Exception] = []

    def one() -> None:
        try:
            lab.rescan()
        except Unreachable as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_operations_at_once_are_counted(lab: Lab) -> None:
    lab.host.rescan_seconds = 1
    assert at_once(lab, 3) == []
    assert lab.host.max_overlap == 3
    assert [each.name for each in lab.host.history] == ["rescan add"] * 3
    assert all(each.end is not None and 1 <= each.end - each.start < 5 for each in lab.host.history)


def test_a_weak_host_falls_over_when_more_than_two_run_at_once(lab: Lab) -> None:
    lab.host.rescan_seconds = 1
    lab.host.falls_over = True
    assert at_once(lab, 2) == []
    assert len(at_once(lab, 3)) == 3
    with pytest.raises(Unreachable):
        lab.status()
    lab.host.hostd_down_until = 0
    lab.rescan()


def test_copies_count_among_the_operations_for_as_long_as_they_run(lab: Lab) -> None:
    lab.host.copy_seconds = 1
    lab.present()
    task = lab.clone()
    lab.rescan("delete")
    lab.finish(task)
    lab.esxcli("storage core device set", device=NAA, state="off")
    lab.esxcli("storage core device detached remove", device=NAA)
    assert [(each.name, each.device) for each in lab.host.history] == [
        ("rescan add", ""),
        ("clone", NAA),
        ("rescan delete", ""),
        ("detach", NAA),
        ("detached remove", NAA),
    ]
    assert lab.host.max_overlap == 2
    assert [call.command for call in lab.host.calls][:2] == [
        "storage core adapter rescan",
        "vmkfstools clone",
    ]


def test_rescans_take_their_time_and_act_at_the_end(lab: Lab) -> None:
    lab.host.rescan_seconds, lab.host.forget_seconds = 1, 0.5
    lab.san.map(NAA, {IQN}, 1, "xcopy")
    began = time.monotonic()
    thread = threading.Thread(target=lab.rescan)
    thread.start()
    with pytest.raises(Fault):
        lab.status()
    thread.join()
    assert 1 <= time.monotonic() - began < 5
    assert lab.status() == "on"
    began = time.monotonic()
    lab.rescan("all")
    assert 1.5 <= time.monotonic() - began < 5


def test_the_socket_knows_only_its_path_and_hosts(lab: Lab) -> None:
    for path, host in (("/other", "host-21"), ("/execute", "host-99")):
        connection = Connection(lab.socket)
        connection.request("POST", path, json.dumps({"host": host, "moid": "", "method": ""}))
        assert connection.getresponse().status == 404
        connection.close()
