"""The commands of a simulated FlashSystem that clients are known to send, with their options and their columns.

All numbers in answers are texts. A command that changes something answers with a message, or not at all.
"""

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.lab.arrays.flashsystem import copy_commands
from tests.lab.arrays.flashsystem.copy_commands import CopyCommands
from tests.lab.arrays.flashsystem.flashcopy import FlashCopies, SimFlashCopy
from tests.lab.arrays.flashsystem.system import (
    INVALID_FILTER,
    INVALID_PARAMETER,
    MISSING_PARAMETER,
    NO_SUCH_MEMBER,
    NO_SUCH_NAME,
    NO_SUCH_OBJECT,
    NOT_SUPPORTED,
    UNKNOWN_PARAMETER,
    WWPN,
    Failure,
    SimCluster,
    SimHost,
    SimMap,
    SimPool,
    SimVolume,
    System,
)

Row = dict[str, Any]
Object = TypeVar("Object", SimVolume, SimHost, SimCluster, SimPool, SimFlashCopy)
Options = Mapping[str, Any]
MADE = {
    "mkvdiskhostmap": "Volume to Host map",
    "mkhost": "Host",
    "mkhostcluster": "Host cluster",
    "mkfcmap": "FlashCopy Mapping",
}


@dataclass(frozen=True)
class Command:
    """What runs it, how many arguments it takes, and which options."""

    run: Callable[..., Any]
    least: int = 0
    most: int = 0
    options: Mapping[str, type] | None = None

    @property
    def changes(self) -> bool:
        return not self.run.__name__.startswith("ls") and self.run.__name__ != "registerplugin"


class Commands:
    """May be set at any time: `lists_ports` and `knows_logins`, without which `lshostports` and `lshostiplogin` are
    no commands, and `quiet`, which is how removals answer: nothing, or an empty text.
    """

    def __init__(self, system: System, flashcopies: FlashCopies) -> None:
        self.system, self.flashcopies = system, flashcopies
        self._copies = CopyCommands(flashcopies, pick)
        self.lists_ports = self.knows_logins = True
        self.quiet: Any = b""
        self.model, self.version = "IBM FlashSystem 9500", "8.7.0.2 (build 169.12.2407121430000)"

    def find(self, name: str) -> Command | None:
        """Return a command by its name."""
        if (name == "lshostports" and not self.lists_ports) or (
            name == "lshostiplogin" and not self.knows_logins
        ):
            return None
        text, flag, number = {"type": str}, bool, int
        ports = {"fcwwpn": str, "iscsiname": str, "nqn": str}
        mapping: dict[str, type] = {"scsi": number, "force": flag}
        known = {
            "lssystem": Command(self.lssystem, options={"bytes": flag}),
            "lsmdiskgrp": Command(self.lsmdiskgrp, 0, 1, {"bytes": flag, "filtervalue": str}),
            "lsvdisk": Command(self.lsvdisk, 0, 1, {"bytes": flag, "filtervalue": str}),
            "lshost": Command(self.lshost, 0, 1, {"filtervalue": str}),
            "lshostports": Command(self.lshostports),
            "lsfabric": Command(self.lsfabric, options={"wwpn": str, "host": str}),
            "lshostiplogin": Command(self.lshostiplogin, 0, 1),
            "lshostcluster": Command(self.lshostcluster, 0, 1, {"filtervalue": str}),
            "lsvdiskhostmap": Command(self.lsvdiskhostmap, 1, 1),
            "lshostvdiskmap": Command(self.lshostvdiskmap, 0, 1),
            "mkhost": Command(
                self.mkhost,
                options={"name": str, "force": flag, "protocol": str, "iogrp": str, **text, **ports},
            ),
            "addhostport": Command(self.addhostport, 1, 1, {"force": flag, **ports}),
            "rmhostport": Command(self.rmhostport, 1, 1, {"force": flag, **ports}),
            "rmhost": Command(self.rmhost, 1, 1, {"force": flag}),
            "mkhostcluster": Command(self.mkhostcluster, options={"name": str}),
            "addhostclustermember": Command(self.addhostclustermember, 1, 1, {"host": str}),
            "rmhostcluster": Command(self.rmhostcluster, 1, 1, {"removeallhosts": flag, "force": flag}),
            "mkvdiskhostmap": Command(self.mkvdiskhostmap, 1, 1, {"host": str, **mapping}),
            "rmvdiskhostmap": Command(self.rmvdiskhostmap, 1, 1, {"host": str}),
            "mkvolumehostclustermap": Command(
                self.mkvolumehostclustermap, 1, 1, {"hostcluster": str, **mapping}
            ),
            "rmvolumehostclustermap": Command(self.rmvolumehostclustermap, 1, 1, {"hostcluster": str}),
            "lsfcmap": Command(self.lsfcmap, 0, 1, {"filtervalue": str}),
            "mkfcmap": Command(
                self._copies.mkfcmap,
                options={
                    **dict.fromkeys(("source", "target", "name", "consistgrp", "iogrp"), str),
                    **dict.fromkeys(("copyrate", "cleanrate", "grainsize"), number),
                    **dict.fromkeys(("autodelete", "incremental", "keeptarget"), flag),
                },
            ),
            "chfcmap": Command(
                self._copies.chfcmap,
                1,
                1,
                {"name": str, "autodelete": str, "copyrate": number, "cleanrate": number},
            ),
            "prestartfcmap": Command(self._copies.prestartfcmap, 1, 1, {"restore": flag}),
            "startfcmap": Command(self._copies.startfcmap, 1, 1, {"prep": flag, "restore": flag}),
            "stopfcmap": Command(self._copies.stopfcmap, 1, 1, {"force": flag}),
            "rmfcmap": Command(self._copies.rmfcmap, 1, 1, {"force": flag}),
        }
        return known.get(name)

    def execute(self, name: str, command: Command, arguments: Sequence[str], options: Options) -> Any:
        """Check arguments and options, and run it."""
        if not command.least <= len(arguments) <= command.most:
            raise Failure(MISSING_PARAMETER, "Required parameters are missing.")
        for option, value in options.items():
            wanted = (command.options or {}).get(option)
            if wanted is None:
                raise Failure(UNKNOWN_PARAMETER, f"{option} is not a supported parameter.")
            if value is not None and not suits(value, wanted):
                raise Failure(INVALID_PARAMETER, f"{option} has a value that is not valid.")
        given = {option: value for option, value in options.items() if value is not None}
        with self.system.lock:
            self.flashcopies.advance()
            result = command.run(*arguments, given)
        if name in MADE:
            return {"id": str(result), "message": f"{MADE[name]}, id [{result}], successfully created"}
        return self.quiet if command.changes and result is None else result

    # What is there.

    def lssystem(self, _options: Options) -> Row:
        flag = "yes" if self.system.protected else "no"
        return {
            "id": "0000020421A0B2C3",
            "name": "lab",
            "code_level": self.version,
            "product_name": self.model,
            "vdisk_protection_time": "60",
            "vdisk_protection_enabled": flag,
        }

    def lsmdiskgrp(self, *given: Any) -> Any:
        def row(pool: SimPool) -> Row:
            flag = "yes" if pool.protected else "no"
            active = "active" if pool.protected and self.system.protected else "inactive"
            found = {"id": str(pool.id), "name": pool.name, "status": "online"}
            return found | {"vdisk_protection_enabled": flag, "vdisk_protection_status": active}

        return self._show(self.system.pools.values(), row, row, ("name", "status"), given)

    def lsvdisk(self, *given: Any) -> Any:
        def row(volume: SimVolume) -> Row:
            exact = given[-1].get("bytes")
            size = str(volume.size) if exact else f"{volume.size / (1 << 30):.2f}GB"
            found = {"id": str(volume.id), "name": volume.name, "IO_group_id": "0"}
            found["status"] = "offline" if volume.unusable else volume.status
            found |= {"mdisk_grp_id": str(volume.pool.id), "mdisk_grp_name": volume.pool.name}
            return found | {"capacity": size, "type": "striped", "vdisk_UID": self.system.shown_uid(volume)}

        columns = ("name", "vdisk_UID", "status", "mdisk_grp_name")
        return self._show(self.system.volumes.values(), row, row, columns, given)

    def lsfcmap(self, *given: Any) -> Any:
        items = self.flashcopies.all.values()
        return self._show(items, copy_commands.row, copy_commands.whole, copy_commands.COLUMNS, given)

    def lshost(self, *given: Any) -> Any:
        def row(host: SimHost) -> Row:
            online = "online" if self.system.logins & set(host.ports) else "offline"
            found = {"id": str(host.id), "name": host.name, "port_count": str(len(host.ports))}
            found |= {"iogrp_count": "4", "status": online, "protocol": host.protocol}
            return found | cluster_columns(host.cluster)

        def whole(host: SimHost) -> Row:
            return row(host) | {"type": "generic", "nodes": [self._node(port) for port in host.ports]}

        columns = ("name", "host_cluster_name", "status", "protocol")
        return self._show(self.system.hosts.values(), row, whole, columns, given)

    def lshostports(self, _options: Options) -> list[Row]:
        return [
            {"host_id": str(host.id), "host_name": host.name, **port_columns(port)}
            for host in self.system.hosts.values()
            for port in host.ports
        ]

    def lsfabric(self, options: Options) -> list[Row]:
        ports = sorted(port for port in self.system.logins if WWPN.fullmatch(port))
        if "wwpn" in options:
            ports = [port for port in ports if port == options["wwpn"].upper()]
        if "host" in options:
            ports = [port for port in ports if port in self._host(options["host"]).ports]
        return [
            {
                "remote_wwpn": port,
                "node_name": f"node{node}",
                "local_wwpn": f"50050768101{node}1234",
                "state": "active",
                "name": owner.name if (owner := self.system.owner(port)) else "",
                "type": "host" if owner else "unknown",
            }
            for port in ports
            for node in (1, 2)
        ]

    def lshostiplogin(self, *given: Any) -> Any:
        rows = [
            {"host_name": owner.name, "host_id": str(owner.id), "iscsi_name": port}
            for port in sorted(self.system.logins)
            if not WWPN.fullmatch(port) and (owner := self.system.owner(port))
        ]
        if len(given) == 1:
            return rows
        found = [row for row in rows if row["iscsi_name"] == given[0]]
        if not found:
            raise Failure(
                NO_SUCH_MEMBER, "The action failed because an object that was specified does not exist."
            )
        return found[0]

    def lshostcluster(self, *given: Any) -> Any:
        def row(cluster: SimCluster) -> Row:
            members = [host for host in self.system.hosts.values() if host.cluster is cluster]
            shared = {item.volume.id for item in self.system.maps if item.cluster is cluster}
            found = {"id": str(cluster.id), "name": cluster.name, "status": "online"}
            return found | {"host_count": str(len(members)), "mapping_count": str(len(shared))}

        return self._show(self.system.clusters.values(), row, row, ("name", "status"), given)

    def lsvdiskhostmap(self, name: str, _options: Options) -> list[Row]:
        volume = self._volume(name)
        return [self._map_row(item, "volume") for item in self.system.maps if item.volume is volume]

    def lshostvdiskmap(self, *given: Any) -> list[Row]:
        host = self._host(given[0]) if len(given) == 2 else None
        return [self._map_row(item, "host") for item in self.system.maps if host is None or item.host is host]

    # Changes.

    def mkhost(self, options: Options) -> int:
        ports = asked_ports(options)
        protocol = options.get("protocol", "scsi")
        if protocol not in {"scsi", "fcscsi", "iscsi", "fcnvme", "rdmanvme", "tcpnvme", "nvme"}:
            raise Failure(INVALID_PARAMETER, "protocol has a value that is not valid.")
        if not ports:
            raise Failure(MISSING_PARAMETER, "Required parameters are missing.")
        nvme = "nvme" if "nvme" in protocol else "scsi"
        return self.system.add_host(options.get("name", "host0"), ports, nvme).id

    def addhostport(self, name: str, options: Options) -> None:
        self.system.add_ports(self._host(name), asked_ports(options))

    def rmhostport(self, name: str, options: Options) -> None:
        self.system.remove_ports(self._host(name), asked_ports(options), force=bool(options.get("force")))

    def rmhost(self, name: str, options: Options) -> None:
        self.system.remove_host(self._host(name), force=bool(options.get("force")))

    def mkhostcluster(self, options: Options) -> int:
        return self.system.add_cluster(options.get("name", "hostcluster0")).id

    def addhostclustermember(self, name: str, options: Options) -> None:
        for host in options.get("host", "").split(":"):
            self.system.join(self._cluster(name), self._host(host))

    def rmhostcluster(self, name: str, options: Options) -> None:
        self.system.remove_cluster(self._cluster(name), with_hosts=bool(options.get("removeallhosts")))

    def mkvdiskhostmap(self, name: str, options: Options) -> int:
        volume, host = self._volume(name), self._host(needed(options, "host"))
        made = self.system.map(volume, host, options.get("scsi"), force=bool(options.get("force")))
        return made.scsi_id

    def rmvdiskhostmap(self, name: str, options: Options) -> None:
        self.system.unmap(self._volume(name), self._host(needed(options, "host")))

    def mkvolumehostclustermap(self, name: str, options: Options) -> Row:
        cluster = self._cluster(needed(options, "hostcluster"))
        self.system.map_to_cluster(
            self._volume(name), cluster, options.get("scsi"), force=bool(options.get("force"))
        )
        return {"id": str(cluster.id), "message": "Volume to Host Cluster map, successfully created"}

    def rmvolumehostclustermap(self, name: str, options: Options) -> None:
        self.system.unmap_from_cluster(self._volume(name), self._cluster(needed(options, "hostcluster")))

    # Objects.

    def _volume(self, name: str) -> SimVolume:
        return pick(self.system.volumes.values(), name)

    def _host(self, name: str) -> SimHost:
        return pick(self.system.hosts.values(), name)

    def _cluster(self, name: str) -> SimCluster:
        return pick(self.system.clusters.values(), name)

    def _show(
        self,
        objects: Iterable[Object],
        row: Callable[[Object], Row],
        whole: Callable[[Object], Row],
        columns: Sequence[str],
        given: Sequence[Any],
    ) -> Any:
        """Return all that the filter leaves, or the one that is asked for."""
        *names, options = given
        if names:
            if "filtervalue" in options:
                raise Failure(INVALID_PARAMETER, "filtervalue and an object are both given.")
            return whole(pick(objects, names[0]))
        return [found for found in map(row, objects) if passes(found, options.get("filtervalue"), columns)]

    def _node(self, port: str) -> Row:
        logged_in = port in self.system.logins
        more = {
            "node_logged_in_count": "2" if logged_in else "0",
            "state": "active" if logged_in else "offline",
        }
        if port.startswith("nqn."):
            return {"nqn": port, **more}
        return ({"WWPN": port} if WWPN.fullmatch(port) else {"iscsi_name": port}) | more

    def _map_row(self, item: SimMap, of: str) -> Row:
        first = item.volume if of == "volume" else item.host
        row = {"id": str(first.id), "name": first.name, "SCSI_id": str(item.scsi_id)}
        if of == "volume":
            row |= {"host_id": str(item.host.id), "host_name": item.host.name}
        else:
            row |= {"vdisk_id": str(item.volume.id), "vdisk_name": item.volume.name}
        row |= {"vdisk_UID": self.system.shown_uid(item.volume), "IO_group_id": "0"}
        row |= {"mapping_type": "shared" if item.cluster else "private", "protocol": item.host.protocol}
        return row | cluster_columns(item.cluster)


def pick(objects: Iterable[Object], name: str) -> Object:
    """Return an object by number or name."""
    for item in objects:
        if name in {str(item.id), item.name}:
            return item
    code = NO_SUCH_OBJECT if name.isdecimal() else NO_SUCH_NAME
    raise Failure(code, "The specified object does not exist.")


def passes(row: Row, text: str | None, columns: Sequence[str]) -> bool:
    """Return whether a filter leaves a row: `a=b`, several joined by colons, with `*`; case counts."""
    for test in text.split(":") if text else ():
        column, _, value = test.partition("=")
        if column not in columns:
            raise Failure(INVALID_FILTER, f"{column} is not a filter attribute.")
        if not fnmatch.fnmatchcase(row[column], value):
            return False
    return True


def suits(value: Any, wanted: type) -> bool:
    """Return whether a value is of a type; numbers may be texts, as on a command line."""
    if wanted is int:
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, str) and value.isdecimal()
        )
    return isinstance(value, wanted)


def needed(options: Options, name: str) -> str:
    if name not in options:
        raise Failure(MISSING_PARAMETER, "Required parameters are missing.")
    return str(options[name])


def asked_ports(options: Options) -> list[str]:
    given = [name for name in ("fcwwpn", "iscsiname", "nqn") if name in options]
    if len(given) > 1:
        raise Failure(NOT_SUPPORTED, "Only one kind of ports can be given.")
    return [port for name in given for port in options[name].split(":" if name == "fcwwpn" else ",")]


def port_columns(port: str) -> Row:
    return {"WWPN": port if WWPN.fullmatch(port) else "", "iscsi_name": "" if WWPN.fullmatch(port) else port}


def cluster_columns(cluster: SimCluster | None) -> Row:
    return {
        "host_cluster_id": str(cluster.id) if cluster else "",
        "host_cluster_name": cluster.name if cluster else "",
    }
