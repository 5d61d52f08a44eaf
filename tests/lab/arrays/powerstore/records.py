"""What PowerStore shows of itself: columns and relations as in the API's description (3.0) and in Dell's clients."""

import uuid
from collections.abc import Callable
from typing import Any

from tests.lab.arrays.powerstore.cluster import Cluster, Port, SimGroup, SimHost, SimMapping, SimVolume
from tests.lab.arrays.powerstore.query import Record, Resource

APPLIANCE = "A1"
VOLUME = (
    *("id", "name", "description", "type", "wwn", "nsid", "nguid", "appliance_id", "state", "size"),
    *("logical_used", "node_affinity", "creation_timestamp", "protection_policy_id", "performance_policy_id"),
    *("qos_performance_policy_id", "is_replication_destination", "migration_session_id"),
    *("metro_replication_session_id", "is_host_access_available", "protection_data", "location_history"),
    *("app_type", "app_type_other", "type_l10n", "state_l10n", "node_affinity_l10n", "app_type_l10n"),
)
HOST = (
    *("id", "name", "description", "type", "os_type", "host_group_id", "host_connectivity"),
    *("host_initiators", "type_l10n", "os_type_l10n", "host_connectivity_l10n"),
)
HOST_GROUP = ("id", "name", "description", "host_connectivity", "host_connectivity_l10n")
INITIATOR = (
    *("id", "host_id", "port_name", "port_type", "chap_single_username", "chap_mutual_username"),
    "active_sessions",
)
MAPPING = ("id", "host_id", "host_group_id", "volume_id", "logical_unit_number")
DISCOVERED = (
    *("name", "nvme_transport_addresses", "nvme_transport_types", "protocol_type"),
    *("protocol_type_l10n", "nvme_transport_types_l10n"),
)
CLUSTER = (
    *("id", "global_id", "name", "management_address", "storage_discovery_address", "master_appliance_id"),
    *(
        "appliance_count",
        "physical_mtu",
        "is_encryption_enabled",
        "compatibility_level",
        "state",
        "state_l10n",
    ),
    *("system_time", "nvm_subsystem_nqn"),
)
SOFTWARE = ("id", "is_cluster", "appliance_id", "release_version", "build_version", "build_id")
SESSION = (*("id", "user", "role_ids", "idle_timeout", "is_password_change_required", "is_built_in_user"),)
APPLIANCE_COLUMNS = (
    *(
        "id",
        "name",
        "service_tag",
        "express_service_code",
        "model",
        "nodes",
        "maintenance_windows",
        "node_count",
    ),
    *("drive_failure_tolerance_level", "drive_failure_tolerance_level_l10n"),
)
PARTS = (
    *("veth_ports", "fc_ports", "sas_ports", "eth_ports", "eth_be_ports", "virtual_volumes", "hardware"),
    "ip_pool_addresses",
)
"""of an appliance, of which nothing is shown here"""
EMPTY: Callable[[Record], list[Record]] = lambda _: []  # noqa: E731 - relations that nothing here has


def resources(cluster: Cluster, release: str, model: str) -> dict[str, Resource]:
    """Return all that can be asked for, by its name in the API."""

    def mappings(name: str) -> Callable[[Record], list[Record]]:
        return lambda row: [_mapping(m) for m in cluster.mappings if _mapping(m)[name] == row["id"]]

    def host(row: Record) -> Record | None:
        key = row["host_id"]
        return _host(cluster.hosts[key]) if key else None

    def group(row: Record) -> Record | None:
        key = row["host_group_id"]
        return _group(cluster.host_groups[key]) if key else None

    def hosts(row: Record) -> list[Record]:
        return [_host(item) for item in cluster.members(cluster.host_groups[row["id"]])]

    def ports(row: Record) -> list[Record]:
        return [_initiator(cluster.hosts[row["id"]], port) for port in cluster.hosts[row["id"]].ports]

    def software(row: Record) -> list[Record]:
        return [each for each in installed if each["appliance_id"] == row["id"]]

    installed = [_software("1", None, release), _software("2", APPLIANCE, release)]
    described = [
        Resource(
            "volume",
            VOLUME,
            lambda: [_volume(item) for item in cluster.volumes.values()],
            {
                "appliance": ("appliance", lambda _: _appliance(model)),
                "mapped_volumes": ("host_volume_mapping", mappings("volume_id")),
                "volume_groups": ("volume_group", EMPTY),
                "protection_policy": ("policy", lambda _: None),
                "performance_policy": ("policy", lambda _: None),
            },
        ),
        Resource(
            "host",
            HOST,
            lambda: [_host(item) for item in cluster.hosts.values()],
            {
                "initiators": ("initiator", ports),
                "host_group": ("host_group", group),
                "mapped_hosts": ("host_volume_mapping", mappings("host_id")),
                "host_virtual_volume_mappings": ("host_virtual_volume_mapping", EMPTY),
                "vsphere_hosts": ("vsphere_host", EMPTY),
            },
        ),
        Resource(
            "host_group",
            HOST_GROUP,
            lambda: [_group(item) for item in cluster.host_groups.values()],
            {
                "hosts": ("host", hosts),
                "mapped_host_groups": ("host_volume_mapping", mappings("host_group_id")),
                "host_virtual_volume_mappings": ("host_virtual_volume_mapping", EMPTY),
            },
        ),
        Resource(
            "initiator",
            INITIATOR,
            lambda: [_initiator(item, port) for item in cluster.hosts.values() for port in item.ports],
            {"host": ("host", host)},
        ),
        Resource(
            "host_volume_mapping",
            MAPPING,
            lambda: [_mapping(item) for item in cluster.mappings],
            {
                "host": ("host", host),
                "host_group": ("host_group", group),
                "volume": ("volume", lambda row: _volume(cluster.volumes[row["volume_id"]])),
            },
        ),
        Resource("discovered_initiator", DISCOVERED, lambda: map(_discovered, cluster.discovered)),
        Resource("cluster", CLUSTER, lambda: [_cluster(cluster, release)]),
        Resource("software_installed", SOFTWARE, lambda: installed),
        Resource(
            "appliance",
            APPLIANCE_COLUMNS,
            lambda: [_appliance(model)],
            {
                "software_installed": ("software_installed", software),
                "volumes": ("volume", lambda _: [_volume(item) for item in cluster.volumes.values()]),
                **dict.fromkeys(PARTS, ("part", EMPTY)),
            },
        ),
        Resource("volume_group", ("id", "name"), list),
        Resource("policy", ("id", "name"), list),
        Resource("part", ("id", "name"), list),
        Resource("vsphere_host", ("id", "name"), list),
        Resource(
            "host_virtual_volume_mapping",
            ("id", "host_id", "host_group_id", "virtual_volume_id"),
            list,
            {"virtual_volume": ("part", lambda _: None)},
        ),
    ]
    return {resource.name: resource for resource in described}


def _filled(columns: tuple[str, ...], **known: Any) -> Record:
    return {**dict.fromkeys(columns), **known}


def _volume(volume: SimVolume) -> Record:
    return _filled(
        VOLUME,
        **vars(volume),
        description="",
        nguid=f"nguid.{volume.wwn.removeprefix('naa.')}",
        nsid=1,
        appliance_id=APPLIANCE,
        creation_timestamp="2026-01-05T08:30:00+00:00",
        protection_data={"parent_id": None},
        location_history=[],
        type_l10n=volume.type,
        state_l10n=volume.state,
    )


def _host(host: SimHost) -> Record:
    return _filled(
        HOST,
        id=host.id,
        name=host.name,
        description=host.description,
        type="External",
        os_type=host.os_type,
        os_type_l10n=host.os_type,
        host_group_id=host.group.id if host.group else None,
        host_connectivity="Local_Only",
        host_initiators=[_port(port) for port in host.ports],
    )


def _group(group: SimGroup) -> Record:
    return _filled(
        HOST_GROUP,
        id=group.id,
        name=group.name,
        description=group.description,
        host_connectivity="Local_Only",
    )


def _port(port: Port) -> Record:
    login = {"appliance_id": APPLIANCE, "node_id": "N1", "port_name": "58:cc:f0:90:49:20:07:de"}
    return {
        "port_name": port.name,
        "port_type": port.type,
        "active_sessions": [login] if port.logged_in else [],
        "chap_single_username": "",
        "chap_mutual_username": "",
    }


def _initiator(host: SimHost, port: Port) -> Record:
    key = str(uuid.uuid5(uuid.UUID(host.id), port.name))
    return _filled(INITIATOR, id=key, host_id=host.id, **_port(port))


def _mapping(item: SimMapping) -> Record:
    single = isinstance(item.target, SimHost)
    return {
        "id": item.id,
        "host_id": item.target.id if single else None,
        "host_group_id": None if single else item.target.id,
        "volume_id": item.volume.id,
        "logical_unit_number": item.lun_id,
    }


def _discovered(port: Port) -> Record:
    return _filled(DISCOVERED, name=port.name, protocol_type=port.type)


def _cluster(cluster: Cluster, release: str) -> Record:
    return _filled(
        CLUSTER,
        id="0",
        global_id=cluster.global_id,
        name="lab",
        management_address="127.0.0.1",
        master_appliance_id=APPLIANCE,
        appliance_count=1,
        state="Configured",
        system_time="2026-01-05T08:30:00.000Z",
        nvm_subsystem_nqn="nqn.1988-11.com.dell:powerstore:00:lab",
        compatibility_level=int(release.partition(".")[0]) * 10,
    )


def _software(key: str, appliance: str | None, release: str) -> Record:
    return {
        "id": key,
        "is_cluster": appliance is None,
        "appliance_id": appliance,
        "release_version": release,
        "build_version": release,
        "build_id": "2500000",
    }


def _appliance(model: str) -> Record:
    return _filled(
        APPLIANCE_COLUMNS,
        id=APPLIANCE,
        name="lab-appliance-1",
        service_tag="LAB0001",
        express_service_code="1",
        model=model,
        nodes=[],
        maintenance_windows=[],
        node_count=2,
    )
