"""Settings: Forklift's call as it is, what people write by hand, and every problem at once."""

import base64
import os
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lease.decision import Scope
from populator.errors import SettingsError
from populator.settings.fleet import parse_fleet_settings
from populator.settings.parse import parse_settings
from populator.settings.values import LeaseSettings, Settings
from tests.lab.pki import Pki
from tests.unit.populator.face import read_variables
from vsphere.model import DiskKind

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
    "verify-samples": "64",
    "kubeconfig": None,
    "master": None,
    "migration-host": None,
    "copy-hosts": "vm",
    "http-endpoint": ":8443",
    "metrics-path": "/metrics",
    "termination-message-path": "/dev/termination-log",
    "log-level": "info",
    "log-format": "lines",
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
    ("written", "hosts"),
    [
        (None, ("vm",)),
        ("", ("vm",)),
        ("vm", ("vm",)),
        (" any\n", ("any",)),
        ("host-12", ("host-12",)),
        ("host-12, host-34,host-12,", ("host-12", "host-34")),
    ],
)
def test_hosts_that_may_copy(written: str | None, hosts: tuple[str, ...]) -> None:
    assert parse(copy_hosts=written).source.copy_hosts == hosts


@pytest.mark.parametrize("written", ["all", "esx-1.lab", "host-12,any", "vm,host-12", "host-"])
def test_hosts_that_cannot_be_meant(written: str) -> None:
    (problem,) = problems(copy_hosts=written)
    assert problem.startswith("--copy-hosts: ")
    assert problem.endswith(" is no host's id like host-12; else it is vm or any, alone.")


def test_a_migration_host_counts_more_than_the_hosts_that_may_copy() -> None:
    assert parse(migration_host="host-1").warnings == ()
    assert parse(migration_host="host-1", copy_hosts="any").warnings == (
        "--copy-hosts (COPY_HOSTS) does not count beside --migration-host.",
    )


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("vc", "vc", 443),
        ("vc:8989", "vc", 8989),
        ("https://vc/sdk", "vc", 443),
        ("https://vc:8989/sdk", "vc", 8989),
        ("[::1]:8989", "::1", 8989),
        ("2001:db8::10", "2001:db8::10", 443),
        ("::1", "::1", 443),
        ("fe80::1%eth0", "fe80::1%eth0", 443),
        ("VC.example.com.\n", "vc.example.com", 443),
    ],
)
def test_vcenter_as_people_write_it(written: str, host: str, port: int) -> None:
    vsphere = parse(vsphere_hostname=written).vsphere
    assert (vsphere.host, vsphere.port) == (host, port)


@pytest.mark.parametrize("written", ["2001:db8::10", "[2001:db8::10]", "https://[2001:db8::10]/api"])
def test_the_arrays_address_is_read_as_vcenters_is(written: str) -> None:
    assert parse(storage_hostname=written).storage.access.hostname == "[2001:db8::10]"


def test_a_master_without_a_scheme_is_reached_by_https() -> None:
    assert parse(master="2001:db8::10").kubernetes.master == "https://[2001:db8::10]"
    assert parse(master="https://rancher/k8s/c-1").kubernetes.master == "https://rancher/k8s/c-1"
    assert problems(master="https://[::1")[0].startswith("--master: ")


def test_a_password_in_an_address_is_not_shown() -> None:
    url = "https://root:geheim@v c"
    for found in (problems(vsphere_hostname=url), problems(storage_hostname=url), problems(master=url)):
        (problem,) = found
        assert "this holds 'v c', which is not a host name" in problem
        assert "geheim" not in problem


def test_all_problems_at_once() -> None:
    found = problems(
        {"HOST_LEASE_DURATION_SECONDS": "soon", "cacert": "not a PEM"},
        source_vm_id=None,
        source_vmdk="no brackets.vmdk",
        owner_uid='6f"',
        storage_vendor_product="floppy",
        storage_username=None,
        storage_http_timeout_seconds="0",
        storage_skip_ssl_verification="perhaps",
        vsphere_hostname="vc:notaport",
        vsphere_password=None,
        vsphere_insecure="maybe",
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
        "--vsphere-insecure: 'maybe'",
        "cacert",
    ):
        assert [p for p in found if p.startswith(name)], f"{name} is not among {found}"


@pytest.mark.parametrize(
    ("environment", "by_host"),
    [
        ({}, set()),
        ({"DISABLE_VVOL_METHOD": "true"}, {DiskKind.VVOL}),
        ({"DISABLE_RDM_METHOD": "true", "DISABLE_VVOL_METHOD": "false"}, {DiskKind.RDM}),
        ({"DISABLE_RDM_METHOD": "TRUE", "DISABLE_VVOL_METHOD": "1"}, {DiskKind.RDM, DiskKind.VVOL}),
    ],
)
def test_kinds_of_disks_are_left_to_a_host(environment: dict[str, str], by_host: set[DiskKind]) -> None:
    assert parse(environment).storage.by_host == by_host


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
        ("SSH_PORT_NUMBER", "http"),
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
    default = LeaseSettings("openshift-mtv", 10, "esxi-lock-{host}-slot-{slot}", Scope.COPY)
    names = ("NAMESPACE", "DURATION_SECONDS", "NAME_TEMPLATE", "SCOPE")
    assert parse().lease == default
    assert parse({f"HOST_LEASE_{name}": "" for name in names}).lease == default
    values = ("mtv", "30", "esxi-lock-hostsystem-{host}-slot-{slot}", "rescan")
    given = {f"HOST_LEASE_{name}": value for name, value in zip(names, values, strict=True)}
    assert parse(given).lease == LeaseSettings("mtv", 30, values[2], Scope.RESCAN)


def test_secrets_do_not_show() -> None:
    settings = parse(vsphere_password="geheim-1", storage_password="geheim-2", storage_token="geheim-3")
    assert "geheim" not in repr(settings)


def test_a_ca_bundle_is_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    pem = Pki(tmp_path_factory.mktemp("pki")).ca_pem
    assert parse({"cacert": pem}).vsphere.ca_pem == pem
    assert parse({"cacert": f"\ufeffMüller\u2019s “CA”\r\n{pem}"}).vsphere.ca_pem == pem
    (problem,) = problems({"cacert": "“no PEM”"})
    assert problem.startswith("cacert: this holds no certificate")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_end_behind_a_value_does_not_count(end: str) -> None:
    """As `echo value | base64` leaves it in a Secret."""
    plain = {name: value for name, value in ARGUMENTS.items() if value}
    ended = {name: f"{value}{end}" for name, value in plain.items() if name != "storage-password"}
    as_usual = parse_settings(plain, {"ONTAP_SVM": "svm1"})
    cut = parse_settings(plain | ended, {"ONTAP_SVM": f"svm1{end}"})
    assert replace(cut, warnings=()) == as_usual
    assert cut.warnings == ("--vsphere-password: the line end behind the password does not count.",)


def test_nothing_else_of_a_password_is_cut() -> None:
    settings = parse(vsphere_password=" a\nb \n\n", storage_password="\n c\t")
    assert settings.vsphere.password == " a\nb \n"
    assert settings.storage.access.password == "\n c\t"


def test_a_token_is_of_no_use_to_ontap() -> None:
    (problem,) = problems(storage_token="geheim", storage_username=None)
    assert "ontap takes no token" in problem
    settings = parse(storage_token="geheim")
    assert settings.storage.access.token == ""
    (warning,) = settings.warnings
    assert "STORAGE_TOKEN" in warning
    assert "geheim" not in warning


def service_variables(name: str) -> dict[str, str]:
    """Return what Kubernetes puts into the environment of pods beside a Service of that name."""
    port = f"{name}_PORT_22_TCP"
    return {
        f"{name}_SERVICE_HOST": "172.30.12.3",
        f"{name}_SERVICE_PORT": "22",
        f"{name}_SERVICE_PORT_SSH": "22",
        f"{name}_PORT": "tcp://172.30.12.3:22",
        port: "tcp://172.30.12.3:22",
        f"{port}_PROTO": "tcp",
        f"{port}_PORT": "22",
        f"{port}_ADDR": "172.30.12.3",
    }


def test_no_service_of_the_namespace_changes_a_setting() -> None:
    variables = read_variables()
    assert {"GOVMOMI_HOSTNAME", "GOVMOMI_INSECURE", "SSH_KNOWN_HOSTS", "ONTAP_SVM", "VIB_PATH"} <= variables
    parts = [name.split("_") for name in variables]
    names = {"_".join(words[:end]) for words in parts for end in range(1, len(words) + 1)}
    services: dict[str, str] = {}
    for name in names:
        services |= service_variables(name)
    assert services.keys() & variables == {"STORAGE_PORT"}
    given = {"SSH_PRIVATE_KEY": ENCODED}
    for vendor in ("ontap", "vantara"):
        alone = parse(given, esxi_clone_method="ssh", storage_vendor_product=vendor)
        assert parse(services | given, esxi_clone_method="ssh", storage_vendor_product=vendor) == alone
    own = parse({"STORAGE_PORT": "23451"}, storage_vendor_product="vantara")
    assert own.storage.access.options == {"STORAGE_PORT": "23451"}


def test_a_services_variable_is_no_setting_of_a_vendor() -> None:
    assert parse({"ONTAP_SVM": "tcp://172.30.12.3:443"}).storage.access.options == {}
    assert parse({"ONTAP_SVM": "svm1"}).storage.access.options == {"ONTAP_SVM": "svm1"}


BYTES = st.binary(max_size=40).map(os.fsdecode)
"""what Python makes of any bytes in arguments and environment: halves of characters where they are not UTF-8"""
ODD = st.one_of(
    BYTES,
    st.text(max_size=40),
    st.sampled_from(
        ["\udc80", "9" * 5000, "::1", "{host:>999999999}", "{slot:0999999999}-{host}", "[", "//[", "\n"]
    ),
    st.from_regex(
        r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\n\\]{0,60}-----END CERTIFICATE-----", fullmatch=True
    ),
)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_is_given_it_is_settings_or_an_error_for_people(data: st.DataObject) -> None:
    arguments = data.draw(st.dictionaries(st.sampled_from(sorted(ARGUMENTS)), st.none() | ODD, max_size=4))
    environment = data.draw(st.dictionaries(st.sampled_from(sorted(read_variables())), ODD, max_size=4))
    with suppress(SettingsError):
        parse_settings(ARGUMENTS | {"esxi-clone-method": "ssh"} | arguments, environment)
    with suppress(SettingsError):
        fleet = {name: data.draw(ODD) for name in ("esxi-hosts", "parallel", "ssh-key-file", "restart-hostd")}
        parse_fleet_settings({**ARGUMENTS, **fleet}, environment, dry_run=True)


@pytest.mark.parametrize(
    ("given", "read"), [("64", "64"), ("all", "all"), ("0", "0"), ("000", "0"), ("0100", "100"), (None, "64")]
)
def test_how_much_is_compared(given: str | None, read: str) -> None:
    assert parse(verify_samples=given).verify_samples == read


@pytest.mark.parametrize("given", ["some", "-1", "10000", "1.5", "ALL", "\u0661"])
def test_how_much_is_compared_is_a_number_or_all(given: str) -> None:
    [problem] = problems(verify_samples=given)
    assert problem.endswith("is neither all nor a whole number from 0 to 9999.")
