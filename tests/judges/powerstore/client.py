"""Dell's own client, PyPowerStore, as our tests call it; see `tests/judges/__init__.py`.

It logs in by Basic once, and from then on by cookie and token. It pages by the header `Range`, when asked to.
"""

from typing import Any

from PyPowerStore import powerstore_conn
from speak import serve


def connect(address: str, ca_file: str, options: dict[str, Any]) -> Any:
    host, _, port = address.partition(":")
    return powerstore_conn.PowerStoreConn(
        options["user"],
        options["password"],
        server_ip=host,
        port_no=int(port),
        verify=ca_file,
        application_type="lab",
        timeout=20.0,
    )


def call(conn: Any, method: str, **arguments: Any) -> Any:
    return getattr(conn.provisioning, method)(**arguments)


def cluster(conn: Any) -> Any:
    return conn.config_mgmt.get_cluster_details(0)


def appliances(conn: Any) -> Any:
    return conn.config_mgmt.get_appliances()


def appliance(conn: Any, key: str) -> Any:
    return conn.config_mgmt.get_appliance_details(key)


def log_out(conn: Any) -> None:
    conn.provisioning.client.auth_manager.logout_session()


functions = (call, cluster, appliances, appliance, log_out)
serve(connect, {function.__name__: function for function in functions})
