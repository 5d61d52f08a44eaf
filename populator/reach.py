"""The ways to vCenter, to the Kubernetes API and to ESXi hosts, as the settings say; nothing is sent yet."""

from lease.kube.api import Api, ApiError
from populator.address import Address
from populator.clock import Clock
from populator.errors import VolumeError
from populator.proxy import find_proxy
from populator.retry import READ
from populator.settings.values import KubernetesSettings, SshSettings, VsphereSettings
from vsphere.errors import VsphereError
from vsphere.host.ssh_keys import HostTrust
from vsphere.ports import Retry
from vsphere.vcenter.session import Session
from vsphere.vcenter.soap import Proxy


def reach_kubernetes(where: KubernetesSettings) -> Api:
    """Return the way to the API server."""
    try:
        return Api.connect(where.kubeconfig or None, where.master or None)
    except ApiError as error:
        raise VolumeError(error.text, error.hint) from error


def reach_vcenter(site: VsphereSettings, clock: Clock) -> Session:
    """Return a session with vCenter that repeats what is passing, by the program's own policy."""
    return Session(
        site.host,
        site.port,
        site.username,
        site.password,
        clock=clock,
        retry=repeat(clock),
        ca_pem=site.ca_pem,
        insecure=site.insecure,
        proxy=proxy_to(site),
    )


def trust_of(ssh: SshSettings) -> HostTrust:
    """Return which keys hosts may show."""
    return HostTrust(ssh.known_hosts, ssh.fingerprints)


def repeat(clock: Clock) -> Retry:
    """Return the program's own policy of repeating what is passing."""
    return lambda call, passing: READ.run(call, passing, clock)


def proxy_to(site: VsphereSettings) -> Proxy | None:
    """Return the proxy on the way to vCenter, if the environment names one."""
    try:
        proxy = find_proxy(Address(site.host, site.port))
    except ValueError as error:
        raise VsphereError(str(error), "Correct it, or name vCenter in NO_PROXY.") from error
    if proxy is None:
        return None
    if proxy.scheme != "http":
        raise VsphereError(
            f"vCenter cannot be reached through the proxy {proxy}, which itself is reached by TLS.",
            "Give HTTPS_PROXY as http://host:port, or name vCenter in NO_PROXY.",
        )
    headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    return Proxy(proxy.host, proxy.port, headers)
