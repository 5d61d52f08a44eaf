"""flowkit, HPE's newer client of the WSAPI, which shares no code with the older one."""

from hpe_storage_flowkit_py.v1.core.session import SessionManager
from hpe_storage_flowkit_py.v1.utils.clone_utils import preprocess_copyVolume
from hpe_storage_flowkit_py.v1.workflows.clone import CloneWorkflow
from hpe_storage_flowkit_py.v1.workflows.host import HostWorkflow
from hpe_storage_flowkit_py.v1.workflows.hostset import HostSetWorkflow
from hpe_storage_flowkit_py.v1.workflows.snapshot import SnapshotWorkflow
from hpe_storage_flowkit_py.v1.workflows.system import SystemWorkflow
from hpe_storage_flowkit_py.v1.workflows.task_manager import TaskManager
from hpe_storage_flowkit_py.v1.workflows.vlun import VLUNWorkflow
from hpe_storage_flowkit_py.v1.workflows.volume import VolumeWorkflow
from speak import serve


class Client:
    """Its calls, by names that both of HPE's clients have in our tests; it logs in when it is made."""

    def __init__(self, url, ca_file, user, password):
        self.session = SessionManager(url, user, password)
        self.session.rest_client.verify_ssl = ca_file
        self.of_hosts, self.of_sets = HostWorkflow(self.session), HostSetWorkflow(self.session)
        self.of_vluns, self.of_volumes = VLUNWorkflow(self.session), VolumeWorkflow(self.session)
        self.of_system = SystemWorkflow(self.session)
        self.of_clones, self.of_tasks = CloneWorkflow(self.session), TaskManager(self.session)
        self.of_snapshots = SnapshotWorkflow(self.session)

    def log_out(self):
        self.session.delete_session()

    def version(self):
        return self.of_system.get_ws_api_version()

    def system(self):
        return self.of_system.get_storage_system_info()

    def volumes(self):
        return self.of_volumes.list_volumes()

    def volume(self, name):
        return self.of_volumes.get_volume(name)

    def hosts(self):
        return self.of_hosts.list_hosts()

    def host(self, name):
        return self.of_hosts.get_host(name)

    def hosts_with(self, iqns=None, wwns=None):
        return self.of_hosts.query_host(iqns, wwns)["members"]

    def create_host(self, name, iqns=None, wwns=None):
        self.of_hosts.create_host(name, {"iSCSINames": iqns} if iqns else {"FCWWNs": wwns})

    def delete_host(self, name):
        self.of_hosts.delete_host(name)

    def create_set(self, name, hosts):
        self.of_sets.create_hostset(name, {"setmembers": hosts})

    def join(self, name, host):
        self.of_sets.add_hosts_to_hostset(name, [host])

    def leave(self, name, host):
        self.of_sets.remove_hosts_from_hostset(name, [host])

    def delete_set(self, name):
        self.of_sets.delete_hostset(name)

    def vluns(self):
        return self.of_vluns.list_vluns()

    def vluns_of_volume(self, name):
        return self.of_vluns.getVLUN(name, allVluns=True)

    def vluns_of_host(self, name):
        return self.of_vluns.getHostVLUNs(name)

    def map(self, volume, host):
        self.of_vluns.create_vlun(volume, host, {"autoLun": True, "maxAutoLun": 0, "lun": 0})

    def unmap(self, volume, lun, host, port=None):
        self.of_vluns.delete_vlun(volume, lun, host, port)

    def copy(self, source, target, **options):
        request = preprocess_copyVolume(source, target, None, {"online": False, **options})
        return self.of_clones.copyVolume(source, request)["taskid"]

    def stop_copy(self, target):
        # Its own stopOfflinePhysicalCopy leaves out the slash before the name.
        self.of_clones.stopOfflinePhysicalCopy(f"/{target}", {"action": 1})

    def resync(self, target):
        return self.of_clones.resyncPhysicalCopy(target, {"action": 2})["taskid"]

    def tasks(self):
        return self.of_tasks.getTasks()["members"]

    def task(self, task):
        return self.of_tasks.getTask(task)

    def task_named(self, name):
        return self.of_tasks.findTask(name)

    def cancel_task(self, task):
        self.of_tasks.cancelTask(task)

    def create_snapshot(self, name, volume, read_only=False):
        self.of_snapshots.create_snapshot(volume, name, {"readOnly": read_only})

    def promote(self, snapshot, **options):
        self.of_snapshots.promoteVirtualCopy(snapshot, {"allowRemoteCopyParent": False, **options})


def connect(address, ca_file, options):
    return Client(f"{address}/api/v1", ca_file, options["user"], options["password"])


def by_name(name):
    return lambda client, **arguments: getattr(client, name)(**arguments)


serve(connect, {name: by_name(name) for name in vars(Client) if not name.startswith("_")})
