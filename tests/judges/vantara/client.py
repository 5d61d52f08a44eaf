"""HBSD, Hitachi's own driver in OpenStack Cinder: whole attachments by it, and single calls of its REST client.

Two things stand in for what a machine with Cinder has: the properties of its own host, which sudo would be needed for,
and a coordinator of locks in a file.
"""

from pathlib import Path

from cinder import context, coordination, objects
from oslo_concurrency import lockutils
from oslo_config import cfg
from speak import serve

objects.register_all()

from cinder.volume import configuration, manager, volume_utils  # noqa: E402 - after the objects
from cinder.volume.driver import volume_opts  # noqa: E402
from cinder.volume.drivers.hitachi.hbsd_fc import HBSDFCDriver  # noqa: E402
from cinder.volume.drivers.hitachi.hbsd_iscsi import HBSDISCSIDriver  # noqa: E402
from cinder.volume.drivers.san.san import san_opts  # noqa: E402

DRIVERS = {"fc": HBSDFCDriver, "iscsi": HBSDISCSIDriver}
QUICK = {
    "hitachi_rest_timeout": 5,
    "hitachi_lock_timeout": 5,
    "hitachi_exec_retry_interval": 1,
    "hitachi_lun_timeout": 5,
    "hitachi_lun_retry_interval": 1,
    "hitachi_rest_another_ldev_mapped_retry_timeout": 3,
    "hitachi_rest_job_api_response_timeout": 20,
    "hitachi_rest_get_api_response_timeout": 20,
    "hitachi_copy_check_interval": 1,
    "hitachi_async_copy_check_interval": 1,
    "hitachi_state_transition_timeout": 20,
}


class Client:
    """A driver, and the connector of the one host that it attaches to."""

    def __init__(self, driver, connector):
        self.driver, self.connector = driver, connector

    @property
    def api(self):
        return self.driver.common.client

    def attach(self, ldev):
        return self.driver.initialize_connection(volume(ldev), self.connector)["data"]

    def detach(self, ldev):
        self.driver.terminate_connection(volume(ldev), self.connector)

    def ldev(self, ldev):
        return self.api.get_ldev(ldev)

    def ldevs(self, **params):
        return self.api.get_ldevs(params)

    def ports(self, **params):
        return self.api.get_ports(params)

    def host_groups(self, port):
        return self.api.get_host_grps({"portId": port})

    def host_group(self, port, number):
        return self.api.get_host_grp(port, number)

    def wwns(self, port, number):
        return self.api.get_hba_wwns(port, number)

    def iqns(self, port, number):
        return self.api.get_hba_iscsis(port, number)

    def luns(self, port, number):
        return self.api.get_luns(port, number)

    def map(self, port, number, ldev, lun=None):
        return self.api.add_lun(port, number, ldev, lun=lun, no_retry=True)[0]

    def unmap(self, port, number, lun):
        self.api.delete_lun(port, number, lun, no_retry=True)

    def create_group(self, port, name):
        return self.api.add_host_grp({"portId": port, "hostGroupName": name}, no_retry=True)

    def delete_group(self, port, number):
        self.api.delete_host_grp(port, number)

    def add_wwn(self, port, number, wwn):
        return self.api.add_hba_wwn(port, number, wwn, no_retry=True)

    def add_iqn(self, port, number, iqn):
        return self.api.add_hba_iscsi(port, number, iqn)

    def pairs(self, **params):
        return self.api.get_snapshots(params)

    def clone(self, source, target):
        self.driver.common.create_pair_on_storage(source, target, None)

    def snapshot(self, source, target):
        self.driver.common.create_pair_on_storage(source, target, None, is_snapshot=True)

    def restore(self, source, target):
        self.driver.common.restore_ldev(source, target)

    def end_pair(self, source, target):
        self.driver.common._delete_pair_from_storage(source, target)

    def session(self):
        return self.api.get_session(self.api.get_my_session().id)


def volume(ldev):
    made = objects.Volume(
        context.get_admin_context(),
        id="3f4b2c1d-0000-4000-8000-000000000001",
        provider_location=str(ldev),
        multiattach=False,
    )
    made.volume_attachment = objects.VolumeAttachmentList(objects=[])
    return made


def connect(address, ca_file, options):
    lock_path = str(Path("locks").resolve())
    cfg.CONF([], project="cinder", default_config_files=[])
    lockutils.set_defaults(lock_path)
    cfg.CONF.set_override("backend_url", f"file://{lock_path}", "coordination")
    coordination.COORDINATOR.start()
    host = options["connector"]
    volume_utils.brick_get_connector_properties = lambda *_args, **_kwargs: dict(host)
    conf = configuration.Configuration(volume_opts, config_group="sim")
    for more in (manager.volume_backend_opts, san_opts):
        conf.append_config_values(more)
    driver = DRIVERS[options["protocol"]](configuration=conf, db=None)
    name, _, port = address.partition(":")
    settings = {
        "san_ip": name,
        "san_api_port": int(port),
        "san_login": options["user"],
        "san_password": options["password"],
        "hitachi_storage_id": options["array"],
        "hitachi_pools": ["0"],
        "hitachi_target_ports": options["ports"],
        "hitachi_group_create": options.get("makes_groups", False),
        "driver_ssl_cert_verify": True,
        "driver_ssl_cert_path": ca_file,
        **QUICK,
    }
    for key, value in settings.items():
        cfg.CONF.set_override(key, value, "sim")
    driver.do_setup(context.get_admin_context())
    return Client(driver, host)


def by_name(name):
    return lambda client, **arguments: getattr(client, name)(**arguments)


PUBLIC = [name for name, member in vars(Client).items() if callable(member) and not name.startswith("_")]
serve(connect, {name: by_name(name) for name in PUBLIC})
