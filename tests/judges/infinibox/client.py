"""Infinidat's own SDK, as our tests call it; see `tests/judges/__init__.py`.

It asks for the array's features and version before anything else, and pages by 1000 behind the first 50.
"""

from typing import Any

from infi.dtypes.iqn import iSCSIName
from infi.dtypes.wwn import WWN
from infinisdk import InfiniBox
from infinisdk.core.config import config
from speak import serve

config.root.ini_file_path = "/nonexistent"


def connect(address: str, ca_file: str, options: dict[str, Any]) -> Any:
    """Log in; what it takes as a certificate is the client's, so whom to trust is set on its connection."""
    host, _, port = address.partition(":")
    auth = options["user"], options["password"]
    box = InfiniBox((host, int(port)), auth=auth, use_ssl=True)
    box.api._session.verify = ca_file
    box.login()
    return box


def described(lun: Any) -> dict[str, Any]:
    return {
        "lun": lun.lun,
        "volume": lun.volume_id,
        "host": lun.host_id,
        "cluster": lun.host_cluster_id,
        "clustered": lun.is_clustered(),
    }


def target(box: Any, host: str = "", cluster: str = "") -> Any:
    return box.hosts.get(name=host) if host else box.host_clusters.get(name=cluster)


def system(box: Any) -> dict[str, Any]:
    return {"name": box.get_name(), "version": box.get_version(), "serial": box.get_serial()}


def is_logged_in(box: Any) -> bool:
    return bool(box.is_logged_in())


def log_out(box: Any) -> None:
    box.logout()


def volume(box: Any, name: str) -> dict[str, Any]:
    """Return a volume, its serial number taken apart."""
    found = box.volumes.get(name=name)
    serial = found.get_serial()
    return {
        "id": found.id,
        "size": int(found.get_size().bits // 8),
        "serial": str(serial),
        "company": serial.ieee_company_id,
        "system": serial.system_id,
        "volume": serial.volume_id,
        "mapped": found.is_mapped(),
        "type": found.get_type(),
        "protected": found.is_write_protected(),
    }


def volume_names(box: Any, page_size: int | None = None, **filters: Any) -> list[str]:
    query = box.volumes.find(**filters)
    if page_size:
        found = []
        for page in range(1, -(-box.volumes.count() // page_size) + 1):
            found += box.volumes.find(**filters).page_size(page_size).page(page).to_list()
        return [each.get_name() for each in found]
    return [each.get_name() for each in query]


def volumes_of(box: Any, ids: list[int]) -> list[str]:
    """Filter by the operator `in`."""
    return sorted(each.get_name() for each in box.volumes.find(box.volumes.fields.id.in_(ids)))


def by_id(box: Any, kind: str, key: int) -> dict[str, Any]:
    """Ask for one object by its id's path."""
    thing = getattr(box, kind).get_by_id_lazy(key)
    return dict(thing.get_fields(["id", "name"], from_cache=False))


def hosts(box: Any, **filters: Any) -> list[dict[str, Any]]:
    return [
        {"id": host.id, "name": host.get_name(), "ports": sorted(map(str, host.get_ports()))}
        for host in box.hosts.find(**filters)
    ]


def host_of(box: Any, address: str) -> int | None:
    key: int | None = box.hosts.get_host_id_by_initiator_address(address)
    return key


def initiator(box: Any, address: str) -> dict[str, Any]:
    """Return an initiator; its fields are read once, since the SDK takes its targets apart in its own cache."""
    found = box.initiators.get_by_id_lazy(address).get_fields()
    return {
        "host": found["host"].get_name() if found["host"] else None,
        "type": found["type"],
        "targets": [[str(each.address), each.node.get_index()] for each in found["targets"]],
    }


def add_host(box: Any, name: str, wwns: list[str], iqns: list[str]) -> int:
    host = box.hosts.create(name=name)
    for wwn in wwns:
        host.add_port(WWN(wwn))
    for iqn in iqns:
        host.add_port(iSCSIName(iqn))
    return int(host.id)


def remove_host(box: Any, name: str) -> None:
    box.hosts.get(name=name).delete()


def add_cluster(box: Any, name: str, *, members: list[str]) -> int:
    cluster = box.host_clusters.create(name=name)
    for member in members:
        cluster.add_host(box.hosts.get(name=member))
    return int(cluster.id)


def cluster_members(box: Any, name: str) -> list[str]:
    return sorted(host.get_name() for host in box.host_clusters.get(name=name).get_hosts())


def leave_cluster(box: Any, name: str, host: str) -> None:
    box.host_clusters.get(name=name).remove_host(box.hosts.get(name=host))


def attach(
    box: Any, volume: str, host: str = "", cluster: str = "", lun: int | None = None
) -> dict[str, Any]:
    return described(target(box, host, cluster).map_volume(box.volumes.get(name=volume), lun))


def attach_id(box: Any, volume: int, host: str) -> dict[str, Any]:
    return described(box.hosts.get(name=host).map_volume(box.volumes.get_by_id_lazy(volume)))


def attach_unapproved(box: Any, volume: str, host: str) -> None:
    owner, what = box.hosts.get(name=host), box.volumes.get(name=volume)
    with box.api.get_unapproved_context():
        owner.map_volume(what)


def detach(box: Any, volume: str, host: str = "", cluster: str = "") -> None:
    target(box, host, cluster).unmap_volume(box.volumes.get(name=volume))


def detach_twice(box: Any, volume: str) -> int:
    """Remove all mappings of a volume by their LUN ids, two times; return how many there were."""
    luns = list(box.volumes.get(name=volume).get_logical_units())
    for lun in [*luns, *luns]:
        lun.unmap()
    return len(luns)


def luns(box: Any, volume: str = "", host: str = "", cluster: str = "") -> list[dict[str, Any]]:
    """Return a volume's mappings, or those of a host or cluster."""
    found = (
        box.volumes.get(name=volume).get_logical_units()
        if volume
        else target(box, host, cluster).get_luns(from_cache=False)
    )
    return sorted(map(described, found), key=lambda row: (row["volume"], row["lun"]))


def lun(box: Any, host: str, number: int) -> dict[str, Any]:
    return described(box.hosts.get(name=host).get_lun(number, from_cache=False))


functions = (
    system,
    is_logged_in,
    log_out,
    volume,
    volume_names,
    volumes_of,
    by_id,
    hosts,
    host_of,
    initiator,
    add_host,
    remove_host,
    add_cluster,
    cluster_members,
    leave_cluster,
    attach,
    attach_id,
    attach_unapproved,
    detach,
    detach_twice,
    luns,
    lun,
)
serve(connect, {function.__name__: function for function in functions})
