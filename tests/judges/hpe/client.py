"""python-3parclient, HPE's own client of the WSAPI, which Cinder uses."""

from hpe3parclient.client import HPE3ParClient
from speak import serve


class Client:
    """Its calls, by names that both of HPE's clients have in our tests."""

    def __init__(self, url, ca_file):
        self.api = HPE3ParClient(url, secure=ca_file, timeout=20)

    def log_in(self, user, password):
        self.api.login(user, password)

    def log_out(self):
        self.api.logout()

    def version(self):
        return self.api.getWsApiVersion()

    def system(self):
        return self.api.getStorageSystemInfo()

    def volumes(self):
        return self.api.getVolumes()["members"]

    def volume(self, name):
        return self.api.getVolume(name)

    def create_volume(self, name, size):
        self.api.createVolume(name, "SSD_r6", size)

    def delete_volume(self, name):
        self.api.deleteVolume(name)

    def hosts(self):
        return self.api.getHosts()["members"]

    def host(self, name):
        return self.api.getHost(name)

    def hosts_with(self, iqns=None, wwns=None):
        return self.api.queryHost(iqns, wwns)["members"]

    def create_host(self, name, iqns=None, wwns=None):
        self.api.createHost(name, iqns, wwns, optional={"persona": self.api.HOST_PERSONA_VMWARE})

    def add_wwn(self, name, wwn):
        self.api.modifyHost(name, {"pathOperation": self.api.HOST_EDIT_ADD, "FCWWNs": [wwn]})

    def remove_wwn(self, name, wwn):
        self.api.modifyHost(name, {"pathOperation": self.api.HOST_EDIT_REMOVE, "FCWWNs": [wwn]})

    def delete_host(self, name):
        self.api.deleteHost(name)

    def host_sets(self):
        return self.api.getHostSets()["members"]

    def set_of_host(self, name):
        return self.api.findHostSet(name)

    def create_set(self, name, hosts):
        return self.api.createHostSet(name, setmembers=hosts)

    def join(self, name, host):
        self.api.addHostToHostSet(name, host)

    def leave(self, name, host):
        self.api.removeHostFromHostSet(name, host)

    def delete_set(self, name):
        self.api.deleteHostSet(name)

    def vluns(self):
        return self.api.getVLUNs()["members"]

    def vluns_of_volume(self, name):
        return self.api.getVLUN(name, allVluns=True)

    def vluns_of_host(self, name):
        return self.api.getHostVLUNs(name)

    def map(self, volume, host, lun=None, port=None):
        return self.api.createVLUN(volume, lun, host, port, auto=lun is None)

    def unmap(self, volume, lun, host, port=None):
        self.api.deleteVLUN(volume, lun, host, port)

    def copy(self, source, target, **options):
        return self.api.copyVolume(source, target, "SSD_r6", {"online": False, **options})["taskid"]

    def stop_copy(self, target):
        self.api.stopOfflinePhysicalCopy(target)

    def resync(self, target):
        return self.api.resyncPhysicalCopy(target)["taskid"]

    def tasks(self):
        return self.api.getAllTasks()["members"]

    def task(self, task):
        return self.api.getTask(task)

    def task_named(self, name):
        return self.api._findTask(name)

    def cancel_task(self, task):
        self.api._cancelTask(task)

    def create_snapshot(self, name, volume, read_only=False):
        self.api.createSnapshot(name, volume, {"readOnly": read_only})

    def promote(self, snapshot, **options):
        self.api.promoteVirtualCopy(snapshot, options)


def connect(address, ca_file, options):
    client = Client(f"{address}/api/v1", ca_file)
    client.log_in(options["user"], options["password"])
    return client


def by_name(name):
    return lambda client, **arguments: getattr(client, name)(**arguments)


serve(connect, {name: by_name(name) for name in vars(Client) if not name.startswith("_")})
