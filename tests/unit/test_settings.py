"""Settings: Forklift's call as it is, what people write by hand, and every problem at once."""

import base64

import pytest

from populator.errors import SettingsError
from populator.settings import LeaseSettings, Settings, parse_settings
from tests.lab.pki import Pki

ARGUMENTS = {
    "source-vm-id": "vm-62",
    "source-vmdk": "[ds one] my vm/my [odd] vm.vmdk",
    "target-namespace": "vms",
    "owner-name": "disk-1",
    "owner-uid": "6f1c8a52-0d0e-4c6b-9a57-1f2f3a4b5c6d",
    "cr-name": "cr",
    "cr-namespace": "vms",
    "secret-name": "secret",
    "storage-vendor-product": "ontap",
    "pvc-size": "1073741824",
    "storage-hostname": "svm.example.com",
    "storage-username": "admin",
    "storage-password": " with blanks ",
    "storage-token": None,
    "storage-skip-ssl-verification": "false",
    "storage-http-timeout-seconds": "30",
    "vsphere-hostname": "vcenter.example.com",
    "vsphere-username": "root",
    "vsphere-password": "pass",
    "esxi-clone-method": "vib",
    "kubeconfig": None,
    "master": None,
    "migration-host": None,
    "http-endpoint": ":8443",
    "metrics-path": "/metrics",
    "termination-message-path": "/dev/termination-log",
}


def parse(environment: dict[str, str] | None = None, **changes: str | None) -> Settings:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return parse_settings(ARGUMENTS | named, environment or {})


def problems(environment: dict[str, str] | None = None, **changes: str | None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(environment, **changes)
    return caught.value.problems


def test_forklifts_call_is_understood() -> None:
    settings = parse({"HOSTNAME": "populate-1"})
    assert settings.source.vmdk.datastore == "ds one"
    assert settings.target.pvc == "disk-1"
    assert (settings.vsphere.host, settings.vsphere.port) == ("vcenter.example.com", 443)
    assert settings.storage.access.password == " with blanks "
    assert settings.storage.access.verify
    assert (settings.lease.namespace, settings.lease.duration) == ("openshift-mtv", 10)
    assert (settings.metrics.host, settings.metrics.port) == ("", 8443)
    assert settings.identity == "populate-1"


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("vc", "vc", 443),
        ("vc:8989", "vc", 8989),
        ("https://vc/sdk", "vc", 443),
        ("https://vc:8989/sdk", "vc", 8989),
        ("[::1]:8989", "::1", 8989),
    ],
)
def test_vcenter_as_people_write_it(written: str, host: str, port: int) -> None:
    vsphere = parse(vsphere_hostname=written).vsphere
    assert (vsphere.host, vsphere.port) == (host, port)


def test_all_problems_at_once() -> None:
    found = problems(
        {"HOST_LEASE_DURATION_SECONDS": "soon", "GOVMOMI_INSECURE": "maybe", "cacert": "not a PEM"},
        source_vm_id=None,
        source_vmdk="no brackets.vmdk",
        owner_uid='6f"',
        storage_vendor_product="floppy",
        storage_username=None,
        storage_http_timeout_seconds="0",
        storage_skip_ssl_verification="perhaps",
        vsphere_hostname="vc:notaport",
        vsphere_password=None,
        pvc_size="-1",
        http_endpoint="8443",
        metrics_path="metrics",
        esxi_clone_method="telepathy",
    )
    for name in (
        "--source-vm-id is missing",
        "--source-vmdk",
        "--owner-uid",
        "--storage-vendor-product: 'floppy'",
        "--storage-username and --storage-password",
        "--storage-http-timeout-seconds: '0'",
        "--storage-skip-ssl-verification: 'perhaps'",
        "--vsphere-hostname: 'vc:notaport'",
        "--vsphere-password is missing",
        "--pvc-size: '-1'",
        "--metrics-path",
        "--esxi-clone-method: 'telepathy'",
        "HOST_LEASE_DURATION_SECONDS: 'soon'",
        "GOVMOMI_INSECURE: 'maybe'",
        "cacert",
    ):
        assert [p for p in found if p.startswith(name)], f"{name} is not among {found}"


@pytest.mark.parametrize("vendor", ["powermax", "pureFlashArray", "vantara"])
def test_vendors_of_later_versions_are_refused_by_name(vendor: str) -> None:
    (problem,) = problems(storage_vendor_product=vendor, storage_token="t")
    assert vendor in problem
    assert "not supported by this version" in problem


PEM = "-----BEGIN RSA PRIVATE KEY-----\ngeheim\n-----END RSA PRIVATE KEY-----\n"
ENCODED = base64.b64encode(PEM.encode()).decode()


@pytest.mark.parametrize("value", [ENCODED, f"{ENCODED[:40]}\n{ENCODED[40:]}\n", PEM])
def test_the_ssh_key_is_taken_as_forklift_gives_it_and_as_it_is(value: str) -> None:
    settings = parse({"SSH_PRIVATE_KEY": value}, esxi_clone_method="ssh")
    assert settings.ssh is not None
    assert settings.ssh.private_key == PEM
    assert (settings.ssh.port, settings.ssh.seconds) == (22, 30)
    assert settings.ssh.fingerprints == frozenset()
    assert "geheim" not in repr(settings)


def test_host_keys_and_time_out_of_ssh_are_taken() -> None:
    one, other = f"SHA256:{'a' * 43}", f"SHA256:{'b' * 42}="
    given = {
        "SSH_PRIVATE_KEY": ENCODED,
        "SSH_KNOWN_HOSTS": "esx ssh-rsa AAAA\n",
        "SSH_HOST_FINGERPRINTS": f"{one}, {other[:-1]}c=\n",
        "SSH_TIMEOUT_SECONDS": "5",
    }
    ssh = parse(given, esxi_clone_method="ssh").ssh
    assert ssh is not None
    assert ssh.known_hosts == "esx ssh-rsa AAAA"
    assert ssh.fingerprints == {one, f"{other[:-1]}c"}
    assert ssh.seconds == 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSH_PRIVATE_KEY", ""),
        ("SSH_PRIVATE_KEY", "no base64!"),
        ("SSH_PRIVATE_KEY", base64.b64encode(b"something else").decode()),
        ("SSH_PRIVATE_KEY", base64.b64encode(b"\xff\xfe").decode()),
        ("SSH_TIMEOUT_SECONDS", "0"),
        ("SSH_HOST_FINGERPRINTS", "MD5:00:11"),
        ("SSH_PORT", "http"),
    ],
)
def test_what_is_wrong_about_ssh_matters_to_that_method_only(variable: str, value: str) -> None:
    given = {"SSH_PRIVATE_KEY": ENCODED, variable: value}
    (problem,) = problems(given, esxi_clone_method="ssh")
    assert variable in problem
    assert parse(given).ssh is None


@pytest.mark.parametrize("duration", ["0", "-5", "1.5", "x", "1"])
def test_a_lease_duration_that_cannot_work_is_refused(duration: str) -> None:
    assert "HOST_LEASE_DURATION_SECONDS" in problems({"HOST_LEASE_DURATION_SECONDS": duration})[0]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HOST_LEASE_NAME_TEMPLATE", "esxi-lock-{host}", "{slot}"),
        ("HOST_LEASE_NAME_TEMPLATE", "esxi-lock-{slot}", "{host}"),
        ("HOST_LEASE_NAME_TEMPLATE", "esxi-{name}-{slot}", "not a template"),
        ("HOST_LEASE_NAME_TEMPLATE", "Esxi_{host}_{slot}", "cannot be the name of a Lease"),
        ("HOST_LEASE_NAME_TEMPLATE", "{host", "not a template"),
        ("HOST_LEASE_SCOPE", "clone", "copy or rescan"),
        ("HOST_LEASE_SCOPE", "RESCAN", "copy or rescan"),
        ("HOST_LEASE_NAMESPACE", "Open Shift/mtv", "namespace"),
        ("HOST_LEASE_DURATION_SECONDS", "2", "renewed"),
        ("HOST_LEASE_DURATION_SECONDS", "86400", "3 to 3600"),
    ],
)
def test_lease_settings_that_cannot_work_are_refused_by_name(name: str, value: str, says: str) -> None:
    (problem,) = problems({name: value})
    assert problem.startswith(f"{name}: ")
    assert says in problem


def test_the_leases_settings_may_be_left_out_left_empty_or_given() -> None:
    default = LeaseSettings("openshift-mtv", 10, "esxi-lock-{host}-slot-{slot}", "copy")
    names = ("NAMESPACE", "DURATION_SECONDS", "NAME_TEMPLATE", "SCOPE")
    assert parse().lease == default
    assert parse({f"HOST_LEASE_{name}": "" for name in names}).lease == default
    values = ("mtv", "30", "esxi-lock-hostsystem-{host}-slot-{slot}", "rescan")
    given = {f"HOST_LEASE_{name}": value for name, value in zip(names, values, strict=True)}
    assert parse(given).lease == LeaseSettings("mtv", 30, values[2], "rescan")


def test_secrets_do_not_show() -> None:
    settings = parse(vsphere_password="geheim-1", storage_password="geheim-2", storage_token="geheim-3")
    assert "geheim" not in repr(settings)


def test_a_ca_bundle_is_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    pem = Pki(tmp_path_factory.mktemp("pki")).ca_pem
    assert parse({"cacert": pem}).vsphere.ca_pem == pem.strip()
