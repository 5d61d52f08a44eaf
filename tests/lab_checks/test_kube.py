"""One suite for both Kubernetes APIs of the lab: the real kube-apiserver judges the simulated one.

Each test says what our clients rely on; the expected values are what kube-apiserver v1.37 answers.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.kube import Client, Kube, Refused, path
from tests.lab.kube.forklift import populator, serve_populators, set_status
from tests.lab.tools import tool
from tests.lab.waiting import wait_until

Json = dict[str, Any]
LEASES = "coordination.k8s.io"


@pytest.fixture
def admin(kube: Kube) -> Client:
    return kube.admin


@pytest.fixture
def namespace(admin: Client) -> str:
    name = f"n-{uuid.uuid4().hex[:8]}"
    admin.create(path("namespaces"), {"metadata": {"name": name}})
    return name


def lease(name: str, metadata: Json | None = None, **spec: Any) -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name} | (metadata or {}),
        "spec": spec,
    }


@contextlib.contextmanager
def refused(status: int, reason: str, message: str = "") -> Iterator[None]:
    """Expect a Status object with this code and reason, and a message that contains this text."""
    with pytest.raises(Refused) as caught:
        yield
    body = caught.value.body
    assert (caught.value.status, body["code"], body.get("reason", "")) == (status, status, reason)
    assert (body["kind"], body["status"]) == ("Status", "Failure")
    assert message in body["message"]


def first(events: Iterator[Json], count: int) -> list[tuple[str, str]]:
    """Return type and name of the next events."""
    found = [next(events) for _ in range(count)]
    return [(event["type"], event["object"]["metadata"]["name"]) for event in found]


# --- bodies and answers of other kinds


def sent(kube: Kube, method: str, where: str, body: bytes, **headers: str) -> tuple[int, str, Json]:
    """Send bytes as they are; return status, media type and JSON of the answer."""
    address = kube.url.removeprefix("https://")
    connection = http.client.HTTPSConnection(address, context=kube.client_context(), timeout=20)
    given = {"Authorization": f"Bearer {kube.server.admin_token}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, where, body or None, given)
    response = connection.getresponse()
    answer: Json = json.loads(response.read())
    connection.close()
    return response.status, str(response.headers.get("Content-Type")).partition(";")[0], answer


PROTOBUF = "application/vnd.kubernetes.protobuf"


def in_protobuf(name: str, holder: str, seconds: int, micros: int) -> bytes:
    """Return a Lease as client-go sends it, put together by hand."""

    def field(number: int, value: bytes | int) -> bytes:
        if isinstance(value, int):
            return bytes([number << 3]) + varint(value)
        return bytes([number << 3 | 2]) + varint(len(value)) + value

    def varint(value: int) -> bytes:
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    renewed = field(1, 1_800_000_000) + field(2, micros * 1000)
    spec = field(1, holder.encode()) + field(2, seconds) + field(4, renewed)
    labels = field(11, field(1, b"made") + field(2, b"by-hand"))
    raw = field(1, field(1, name.encode()) + labels) + field(2, spec)
    kind = field(1, b"coordination.k8s.io/v1") + field(2, b"Lease")
    return b"k8s\0" + field(1, kind) + field(2, raw)


def test_a_body_may_be_protobuf(kube: Kube, namespace: str) -> None:
    where = path("leases", namespace)
    body = in_protobuf("a", "x", 10, 250_000)
    status, _, answer = sent(kube, "POST", where, body, Content_Type=PROTOBUF, Accept="application/json")
    assert status == 201, answer
    stored = kube.admin.get(f"{where}/a")
    assert stored["metadata"]["labels"] == {"made": "by-hand"}
    assert stored["spec"] == {
        "holderIdentity": "x",
        "leaseDurationSeconds": 10,
        "renewTime": "2027-01-15T08:00:00.250000Z",
    }


@pytest.mark.parametrize(
    ("method", "media_type", "body", "status", "reason"),
    [
        ("POST", "text/plain", b"{}", 415, "UnsupportedMediaType"),
        ("POST", PROTOBUF, b"no envelope", 400, "BadRequest"),
        ("POST", "application/json", b"[1]", 400, "BadRequest"),
        ("PATCH", "application/json", b"{}", 415, "UnsupportedMediaType"),
        ("PATCH", "application/merge-patch+json", b"{", 400, "BadRequest"),
        ("PATCH", "application/json-patch+json", b'[{"op":"remove","path":"/nowhere"}]', 422, "Invalid"),
        ("PATCH", "application/merge-patch+json", b'{"spec":{"leaseDurationSeconds":0}}', 422, "Invalid"),
        (
            "PATCH",
            "application/merge-patch+json",
            b'{"metadata":{"resourceVersion":"1"}}',
            409,
            "Conflict",
        ),
    ],
)
def test_a_body_that_is_refused(
    kube: Kube, namespace: str, method: str, media_type: str, body: bytes, status: int, reason: str
) -> None:
    where = path("leases", namespace)
    kube.admin.create(where, lease("a", holderIdentity="x", leaseDurationSeconds=10))
    target = f"{where}/a" if method == "PATCH" else where
    got, _, answer = sent(kube, method, target, body, Content_Type=media_type)
    assert (got, answer["kind"], answer["reason"]) == (status, "Status", reason), answer


def test_a_patch_changes_what_it_names(kube: Kube, namespace: str) -> None:
    where = path("leases", namespace)
    kube.admin.create(where, lease("a", {"labels": {"l": "1"}}, holderIdentity="x", leaseDurationSeconds=10))
    patch = b'{"spec":{"holderIdentity":"y"},"metadata":{"labels":{"l":null,"m":"2"}}}'
    status, _, answer = sent(kube, "PATCH", f"{where}/a", patch, Content_Type="application/merge-patch+json")
    assert status == 200
    assert answer["spec"] == {"holderIdentity": "y", "leaseDurationSeconds": 10}
    assert answer["metadata"]["labels"] == {"m": "2"}


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def test_a_list_and_an_object_may_be_asked_for_as_a_table(kube: Kube, namespace: str) -> None:
    where = path("leases", namespace)
    kube.admin.create(where, lease("a", holderIdentity="x", leaseDurationSeconds=10))
    for target in (where, f"{where}/a"):
        status, _, answer = sent(kube, "GET", target, b"", Accept=TABLE)
        assert (status, answer["kind"], answer["apiVersion"]) == (200, "Table", "meta.k8s.io/v1")
        assert [column["name"] for column in answer["columnDefinitions"]] == ["Name", "Holder", "Age"]
        assert answer["rows"][0]["cells"][:2] == ["a", "x"]
        assert answer["rows"][0]["object"]["metadata"]["name"] == "a"
        assert answer["metadata"]["resourceVersion"]


# --- objects


def test_a_created_object_comes_back_with_the_servers_metadata(admin: Client, namespace: str) -> None:
    new = admin.create(path("leases", namespace), lease("a", holderIdentity="x", leaseDurationSeconds=10))
    metadata = new["metadata"]
    assert (new["kind"], new["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")
    assert (metadata["name"], metadata["namespace"]) == ("a", namespace)
    assert uuid.UUID(metadata["uid"])
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["creationTimestamp"].endswith("Z")
    assert new["spec"] == {"holderIdentity": "x", "leaseDurationSeconds": 10}
    assert admin.get(path("leases", namespace, "a")) == new


def test_kind_and_namespace_may_be_left_out_but_not_contradict(admin: Client, namespace: str) -> None:
    admin.create(path("leases", namespace), {"metadata": {"name": "bare"}})
    with refused(400, "BadRequest", "namespace of the provided object does not match"):
        admin.create(path("leases", namespace), lease("a", {"namespace": "other"}))
    with refused(400, "BadRequest", "cannot be handled as a Lease"):
        admin.create(path("leases", namespace), lease("a") | {"apiVersion": "v1"})


def test_a_list_has_a_version_and_items_without_kind(admin: Client, namespace: str) -> None:
    for name in ("b", "a"):
        new = admin.create(path("leases", namespace), lease(name, holderIdentity=name))
    answer = admin.get(path("leases", namespace))
    assert answer["kind"] == "LeaseList"
    assert int(answer["metadata"]["resourceVersion"]) >= int(new["metadata"]["resourceVersion"])
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "b"]
    assert not {"kind", "apiVersion"} & answer["items"][0].keys()


def test_a_list_can_be_narrowed_to_a_name_or_a_label(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    admin.create(where, lease("a", {"labels": {"colour": "red"}}))
    admin.create(where, lease("b"))
    assert [i["metadata"]["name"] for i in admin.list(where, fieldSelector="metadata.name=a")] == ["a"]
    assert [i["metadata"]["name"] for i in admin.list(where, fieldSelector="metadata.name!=a")] == ["b"]
    assert [i["metadata"]["name"] for i in admin.list(where, labelSelector="colour=red")] == ["a"]
    assert admin.list(where, labelSelector="colour=blue") == []
    with refused(400, "BadRequest", '"spec.holderIdentity" is not a known field selector'):
        admin.list(where, fieldSelector="spec.holderIdentity=x")


def test_lists_span_namespaces(admin: Client, namespace: str) -> None:
    admin.create(path("leases", namespace), lease("a"))
    found = [i["metadata"] for i in admin.list(path("leases"))]
    assert ("a", namespace) in [(metadata["name"], metadata["namespace"]) for metadata in found]


def test_a_missing_namespace_shows_at_a_create_but_not_at_a_read(admin: Client) -> None:
    with refused(404, "NotFound", 'namespaces "nowhere" not found'):
        admin.create(path("leases", "nowhere"), lease("a"))
    with refused(404, "NotFound", 'leases.coordination.k8s.io "a" not found'):
        admin.get(path("leases", "nowhere", "a"))
    assert admin.list(path("leases", "nowhere")) == []


def test_what_is_missing_is_not_found(admin: Client, namespace: str) -> None:
    with refused(404, "NotFound", 'persistentvolumeclaims "p" not found'):
        admin.get(path("persistentvolumeclaims", namespace, "p"))
    with refused(404, "NotFound", 'persistentvolumes "p" not found'):
        admin.get(path("persistentvolumes", name="p"))
    with refused(404, "NotFound"):
        admin.delete(path("leases", namespace, "a"))
    with refused(404, "NotFound", "could not find the requested resource"):
        admin.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/nothings")


def test_methods_that_make_no_sense(admin: Client, namespace: str) -> None:
    with refused(405, "MethodNotAllowed"):
        admin.replace(path("leases", namespace), lease("a"))
    with refused(405, "MethodNotAllowed"):
        admin.create(path("leases", namespace, "a"), lease("a"))


def test_delete_answers_success_and_only_once(admin: Client, namespace: str) -> None:
    where = path("leases", namespace, "a")
    uid = admin.create(path("leases", namespace), lease("a"))["metadata"]["uid"]
    answer = admin.delete(where)
    assert (answer["kind"], answer["status"], answer["details"]["uid"]) == ("Status", "Success", uid)
    with refused(404, "NotFound"):
        admin.delete(where)


def test_a_namespace_that_is_being_deleted_takes_nothing_new(admin: Client, namespace: str) -> None:
    admin.delete(path("namespaces", name=namespace))
    with refused(403, "Forbidden", "because it is being terminated"):
        admin.create(path("leases", namespace), lease("a"))
    body = admin.get(path("namespaces", name=namespace))
    assert body["status"]["phase"] == "Terminating"
    body["spec"]["finalizers"] = []
    admin.replace(path("namespaces", name=namespace, sub="finalize"), body)
    with refused(404, "NotFound", f'namespaces "{namespace}" not found'):
        admin.create(path("leases", namespace), lease("a"))


# --- compare and swap


def test_only_one_creator_wins(admin: Client, namespace: str) -> None:
    admin.create(path("leases", namespace), lease("a"))
    with refused(409, "AlreadyExists", 'leases.coordination.k8s.io "a" already exists'):
        admin.create(path("leases", namespace), lease("a"))


def test_a_create_with_a_version_is_refused(admin: Client, namespace: str) -> None:
    with refused(500, "", "resourceVersion should not be set"):
        admin.create(path("leases", namespace), lease("a", {"resourceVersion": "5"}))


def test_an_update_needs_the_version_it_is_based_on(admin: Client, namespace: str) -> None:
    where = path("leases", namespace, "a")
    old = admin.create(path("leases", namespace), lease("a", holderIdentity="x"))
    new = admin.replace(where, old | {"spec": {"holderIdentity": "y"}})
    assert int(new["metadata"]["resourceVersion"]) > int(old["metadata"]["resourceVersion"])
    assert new["spec"] == {"holderIdentity": "y"}
    with refused(409, "Conflict", "the object has been modified"):
        admin.replace(where, old | {"spec": {"holderIdentity": "z"}})
    with refused(422, "Invalid", "metadata.resourceVersion: Invalid value: 0: must be specified"):
        admin.replace(where, lease("a", holderIdentity="z"))
    with refused(409, "Conflict", "UID in precondition: someone-else"):
        admin.replace(where, new | {"metadata": new["metadata"] | {"uid": "someone-else"}})
    with refused(400, "BadRequest", "the name of the object (b) does not match the name on the URL (a)"):
        admin.replace(where, new | {"metadata": new["metadata"] | {"name": "b"}})
    assert admin.get(where) == new


def test_one_of_many_writers_wins_each_round(admin: Client, namespace: str) -> None:
    where = path("leases", namespace, "a")
    admin.create(path("leases", namespace), lease("a", leaseTransitions=0))

    def add(body: Json) -> None:
        body["spec"]["leaseTransitions"] += 1

    def work() -> None:
        for _ in range(10):
            admin.change(where, add)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert admin.get(where)["spec"]["leaseTransitions"] == 40


def test_an_update_that_changes_nothing_makes_no_version(admin: Client, namespace: str) -> None:
    old = admin.create(path("leases", namespace), lease("a", holderIdentity="x"))
    new = admin.replace(path("leases", namespace, "a"), old)
    assert new["metadata"]["resourceVersion"] == old["metadata"]["resourceVersion"]


def test_an_update_cannot_change_identity(admin: Client, namespace: str) -> None:
    old = admin.create(path("leases", namespace), lease("a"))
    edited = old["metadata"] | {"creationTimestamp": None, "labels": {"k": "v"}}
    new = admin.replace(path("leases", namespace, "a"), old | {"metadata": edited})
    kept = ("uid", "creationTimestamp")
    assert [new["metadata"][k] for k in kept] == [old["metadata"][k] for k in kept]
    assert new["metadata"]["labels"] == {"k": "v"}


def test_a_lease_may_be_created_by_update_but_not_a_claim(admin: Client, namespace: str) -> None:
    assert admin.replace(path("leases", namespace, "a"), lease("a"))["metadata"]["uid"]
    with refused(404, "NotFound"):
        admin.replace(path("persistentvolumeclaims", namespace, "p"), claim("p"))


def test_an_update_does_not_bring_back_what_was_deleted(admin: Client, namespace: str) -> None:
    where = path("leases", namespace, "a")
    old = admin.create(path("leases", namespace), lease("a", holderIdentity="x"))
    admin.delete(where)
    with refused(409, "Conflict", f"UID in precondition: {old['metadata']['uid']}, UID in object meta: "):
        admin.replace(where, old)
    with refused(404, "NotFound"):
        admin.get(where)


# --- what a Lease may hold


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"leaseDurationSeconds": 0}, "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
        (
            {"leaseDurationSeconds": -1},
            "spec.leaseDurationSeconds: Invalid value: -1: must be greater than 0",
        ),
        (
            {"leaseTransitions": -1},
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to",
        ),
    ],
)
def test_values_that_a_lease_may_not_have(admin: Client, namespace: str, spec: Json, field: str) -> None:
    with refused(422, "Invalid", f'Lease.coordination.k8s.io "a" is invalid: {field}'):
        admin.create(path("leases", namespace), lease("a", **spec))
    old = admin.create(path("leases", namespace), lease("a"))
    with refused(422, "Invalid", field):
        admin.replace(path("leases", namespace, "a"), old | {"spec": spec})


@pytest.mark.parametrize(
    "spec",
    [
        {"leaseDurationSeconds": "10"},
        {"leaseDurationSeconds": 10.5},
        {"leaseDurationSeconds": 3_000_000_000},
        {"holderIdentity": 5},
        {"renewTime": 5},
        {"renewTime": ""},
        {"renewTime": "yesterday"},
        {"renewTime": "2026-01-01T00:00:00Z"},
        {"renewTime": "2026-01-01T00:00:00.123Z"},
        {"acquireTime": "2026-01-01T00:00:00.123456789Z"},
        {"renewTime": "2026-13-01T00:00:00.123456Z"},
    ],
    ids=json.dumps,
)
def test_values_that_are_not_of_the_fields_type(admin: Client, namespace: str, spec: Json) -> None:
    with refused(400, "BadRequest", 'Lease in version "v1" cannot be handled as a Lease: '):
        admin.create(path("leases", namespace), lease("a", **spec))


def test_values_that_look_odd_and_are_allowed(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    assert admin.create(where, lease("free", holderIdentity=""))["spec"] == {"holderIdentity": ""}
    new = admin.create(where, lease("null", holderIdentity=None, renewTime=None, leaseTransitions=0))
    assert new["spec"] == {"leaseTransitions": 0}
    new = admin.create(where, lease("zone", renewTime="2026-01-01T00:00:00.123456+02:00"))
    assert new["spec"] == {"renewTime": "2025-12-31T22:00:00.123456Z"}
    assert admin.create(where, lease("extra", colour="red"))["spec"] == {}
    assert admin.create(where, {"metadata": {"name": "nothing"}, "spec": None})["spec"] == {}


def test_null_takes_a_field_away(admin: Client, namespace: str) -> None:
    old = admin.create(path("leases", namespace), lease("a", holderIdentity="x", leaseDurationSeconds=10))
    new = admin.replace(
        path("leases", namespace, "a"), old | {"spec": old["spec"] | {"holderIdentity": None}}
    )
    assert new["spec"] == {"leaseDurationSeconds": 10}


def test_annotations_are_strings(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    text = json.dumps({"step": "clone", "text": "ä 'quoted' \"too\"\n"})
    new = admin.create(where, lease("a", {"annotations": {"journal": text, "none": None}}))
    assert new["metadata"]["annotations"] == {"journal": text, "none": ""}
    with refused(400, "BadRequest", "ObjectMeta.metadata.annotations of type string"):
        admin.create(where, lease("b", {"annotations": {"journal": 5}}))


def test_names_and_bodies_that_are_refused(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    with refused(422, "Invalid", 'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain'):
        admin.create(where, lease("Bad_Name"))
    with refused(422, "Invalid", "metadata.name: Required value: name or generateName is required"):
        admin.create(where, {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {}})
    for body in ("{rubbish", "[]", ""):
        with refused(400, "BadRequest", "the object provided is unrecognized (must be of type Lease)"):
            admin.request("POST", where, body)


# --- claims and volumes


def claim(name: str) -> Json:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": spec}


def test_a_claim_is_pending_until_it_is_bound_by_hand(admin: Client, namespace: str) -> None:
    where = path("persistentvolumeclaims", namespace, "p")
    new = admin.create(path("persistentvolumeclaims", namespace), claim("p"))
    assert (new["status"], "volumeName" in new["spec"]) == ({"phase": "Pending"}, False)
    bound = new | {"spec": new["spec"] | {"volumeName": "pv"}, "status": {"phase": "Bound"}}
    new = admin.replace(where, bound)
    assert (new["status"]["phase"], new["spec"]["volumeName"]) == ("Pending", "pv"), "status is written apart"
    new = admin.replace(f"{where}/status", new | {"status": {"phase": "Bound"}, "spec": {}})
    assert (new["status"]["phase"], new["spec"]["volumeName"]) == ("Bound", "pv")


def test_a_claim_can_be_written_without_a_version(admin: Client, namespace: str) -> None:
    new = admin.create(path("persistentvolumeclaims", namespace), claim("p"))
    del new["metadata"]["resourceVersion"]
    assert admin.replace(path("persistentvolumeclaims", namespace, "p"), new)


def test_volumes_need_a_source_and_csi_a_handle(admin: Client) -> None:
    name = f"pv-{uuid.uuid4().hex[:8]}"
    spec: Json = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    body = {"metadata": {"name": name}, "spec": spec}
    with refused(422, "Invalid", "spec: Required value: must specify a volume type"):
        admin.create(path("persistentvolumes"), body)
    spec["csi"] = {"driver": "d", "volumeHandle": ""}
    with refused(422, "Invalid", "spec.csi.volumeHandle: Required value"):
        admin.create(path("persistentvolumes"), body)
    spec["csi"] = {"driver": "d", "volumeHandle": "h", "volumeAttributes": {"a": "b"}}
    assert admin.create(path("persistentvolumes"), body)["spec"]["csi"] == spec["csi"]
    admin.delete(path("persistentvolumes", name=name))


# --- watches


def test_a_watch_from_a_version_tells_what_came_after_it(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    admin.create(where, lease("old"))
    version = admin.get(where)["metadata"]["resourceVersion"]
    events = admin.watch(where, resourceVersion=version, timeoutSeconds="30")
    old = admin.create(where, lease("a", holderIdentity="x"))
    admin.replace(f"{where}/a", old)  # changes nothing
    admin.replace(f"{where}/a", old | {"spec": {"holderIdentity": "y"}})
    admin.delete(f"{where}/a")
    assert first(events, 2) == [("ADDED", "a"), ("MODIFIED", "a")]
    gone = next(events)
    assert (gone["type"], gone["object"]["kind"]) == ("DELETED", "Lease")
    assert gone["object"]["spec"] == {"holderIdentity": "y"}
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(old["metadata"]["resourceVersion"]) + 1
    events.close()


def test_a_watch_wakes_at_once(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    events = admin.watch(where, timeoutSeconds="30")
    seen: list[float] = []

    def read() -> None:
        next(events)
        seen.append(time.monotonic())

    reader = threading.Thread(target=read)
    reader.start()
    admin.create(where, lease("a"))
    written = time.monotonic()
    reader.join()
    assert seen[0] - written < 0.2
    events.close()


@pytest.mark.parametrize("version", [{}, {"resourceVersion": "0"}], ids=["no version", "version 0"])
def test_a_watch_from_anywhere_begins_with_what_there_is(
    admin: Client, namespace: str, version: dict[str, str]
) -> None:
    where = path("leases", namespace)
    for name in ("a", "b"):
        admin.create(where, lease(name))
    wait_until(lambda: len(admin.list(where, resourceVersion="0")) == 2, 10)
    narrowed = {"fieldSelector": "metadata.name=a", "timeoutSeconds": "30", **version}
    events = admin.watch(where, **narrowed)
    assert first(events, 1) == [("ADDED", "a")]
    admin.delete(f"{where}/b")
    admin.delete(f"{where}/a")
    assert first(events, 1) == [("DELETED", "a")], "of the other lease nothing is said"
    events.close()


def test_a_watch_waits_for_what_is_not_there_yet(admin: Client, namespace: str) -> None:
    where = path("persistentvolumeclaims", namespace)
    events = admin.watch(where, fieldSelector="metadata.name=prime", timeoutSeconds="30")
    admin.create(where, claim("other"))
    admin.create(where, claim("prime"))
    assert first(events, 1) == [("ADDED", "prime")]
    events.close()


def test_what_leaves_a_selection_is_deleted_for_its_watch(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    events = admin.watch(where, labelSelector="colour=red", timeoutSeconds="30")
    new = admin.create(where, lease("a"))
    for colour in ("red", "blue"):
        new = admin.replace(
            f"{where}/a", new | {"metadata": new["metadata"] | {"labels": {"colour": colour}}}
        )
    assert first(events, 2) == [("ADDED", "a"), ("DELETED", "a")]
    events.close()


def test_a_watch_ends_when_its_time_is_over(admin: Client, namespace: str) -> None:
    began = time.monotonic()
    assert list(admin.watch(path("leases", namespace), timeoutSeconds="1")) == []
    assert 0.9 < time.monotonic() - began < 3
    with refused(400, "BadRequest", 'strconv.ParseInt: parsing "soon"'):
        list(admin.watch(path("leases", namespace), timeoutSeconds="soon"))


def test_bookmarks_come_only_when_asked_for(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    new = admin.create(where, lease("a"))
    wait_until(lambda: len(admin.list(where, resourceVersion="0")) == 1, 10)
    events = admin.watch(where, allowWatchBookmarks="true", timeoutSeconds="5")
    assert first(events, 1) == [("ADDED", "a")]
    mark = next(events)
    assert (mark["type"], mark["object"]["kind"]) == ("BOOKMARK", "Lease")
    assert int(mark["object"]["metadata"]["resourceVersion"]) >= int(new["metadata"]["resourceVersion"])
    assert "name" not in mark["object"]["metadata"]
    events.close()
    kinds = [event["type"] for event in admin.watch(where, timeoutSeconds="1")]
    assert kinds == ["ADDED"]


def test_a_watch_from_a_forgotten_version_ends_with_410(kube: Kube, admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    version = admin.create(where, lease("a"))["metadata"]["resourceVersion"]
    admin.create(where, lease("b"))
    kube.server.forget_history()
    events = list(admin.watch(where, resourceVersion=version, timeoutSeconds="5"))
    assert [event["type"] for event in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert "too old resource version" in status["message"]
    fresh = admin.get(where)
    assert len(fresh["items"]) == 2, "the objects are still there"
    newest = fresh["metadata"]["resourceVersion"]
    assert list(admin.watch(where, resourceVersion=newest, timeoutSeconds="1")) == []


def test_versions_that_do_not_exist(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    with refused(504, "Timeout", "Too large resource version: 99999999"):
        admin.get(where, resourceVersion="99999999")
    with refused(500, "", 'parsing "abc": invalid syntax'):
        list(admin.watch(where, resourceVersion="abc", timeoutSeconds="1"))


def test_many_watches_at_once(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    watches = [admin.watch(where, timeoutSeconds="30") for _ in range(50)]
    seen: list[tuple[str, str]] = []
    threads = [threading.Thread(target=lambda w=w: seen.extend(first(w, 1))) for w in watches]
    for thread in threads:
        thread.start()
    admin.create(where, lease("a"))
    for thread in threads:
        thread.join(20)
    assert seen == [("ADDED", "a")] * 50


# --- who may do what


@pytest.fixture
def rights(kube: Kube) -> tuple[str, str, Client]:
    """Target and lease namespace, and a client with the populator's token."""
    target, leases = f"vms-{uuid.uuid4().hex[:8]}", f"mtv-{uuid.uuid4().hex[:8]}"
    kube.apply_rbac(target, leases)
    return target, leases, kube.client(kube.service_account_token(target, "populator"))


def test_the_populator_may_do_what_the_contract_says_and_no_more(
    kube: Kube, rights: tuple[str, str, Client]
) -> None:
    target, leases, _ = rights
    held = {"get", "list", "watch", "create", "update"}
    tables: dict[tuple[str, str | None, str], set[str]] = {
        ("persistentvolumeclaims", target, ""): {"get", "watch"},
        ("persistentvolumeclaims", leases, ""): set(),
        ("leases", target, ""): held,
        ("leases", leases, ""): held,
        ("leases", "default", ""): set(),
        ("persistentvolumes", None, ""): {"get"},
        ("secrets", leases, "storage-array-secret"): {"get", "update"},
        ("secrets", leases, "other"): set(),
        ("secrets", target, "storage-array-secret"): set(),
        ("namespaces", None, ""): set(),
        ("roles", target, ""): set(),
        ("serviceaccounts", target, "populator"): set(),
    }
    token = kube.service_account_token(target, "populator")
    for (plural, namespace, name), verbs in tables.items():
        assert (plural, namespace, name, verbs_of(kube, token, plural, namespace, name or "x")) == (
            plural,
            namespace,
            name,
            verbs,
        )


def verbs_of(kube: Kube, token: str, plural: str, namespace: str | None, name: str) -> set[str]:
    """Try everything with an empty body: what is not forbidden fails later, or finds nothing."""
    one, all_ = path(plural, namespace, name), path(plural, namespace)
    attempts = {
        "get": ("GET", one),
        "list": ("GET", all_),
        "watch": ("GET", f"{all_}?watch=true&timeoutSeconds=1"),
        "create": ("POST", all_),
        "update": ("PUT", one),
        "patch": ("PATCH", one),
        "delete": ("DELETE", one),
    }
    allowed = set()
    for verb, (method, where) in attempts.items():
        connection = http.client.HTTPSConnection(
            kube.url.removeprefix("https://"), context=kube.client_context(), timeout=20
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if verb == "patch":
            headers["Content-Type"] = "application/merge-patch+json"
        connection.request(method, where, "[]" if method in {"POST", "PUT", "PATCH"} else None, headers)
        if connection.getresponse().status != 403:
            allowed.add(verb)
        connection.close()
    return allowed


def test_the_words_of_a_refusal(rights: tuple[str, str, Client]) -> None:
    target, leases, populator = rights
    who = f'is forbidden: User "system:serviceaccount:{target}:populator" cannot'
    leases_in = f'resource "leases" in API group "coordination.k8s.io" in the namespace "{leases}"'
    with refused(403, "Forbidden", f'leases.coordination.k8s.io "x" {who} delete {leases_in}'):
        populator.delete(path("leases", leases, "x"))
    at_large = 'resource "persistentvolumes" in API group "" at the cluster scope'
    with refused(403, "Forbidden", f"persistentvolumes {who} list {at_large}"):
        populator.list(path("persistentvolumes"))
    with refused(403, "Forbidden", f'secrets "x" {who} list resource "secrets"'):
        populator.list(path("secrets", leases), fieldSelector="metadata.name=x")


def test_a_missing_namespace_is_forbidden_for_who_has_no_role_in_it(rights: tuple[str, str, Client]) -> None:
    with refused(403, "Forbidden", 'in the namespace "nowhere"'):
        rights[2].get(path("leases", "nowhere", "x"))


def test_a_right_can_be_taken_away(kube: Kube, rights: tuple[str, str, Client]) -> None:
    target, _, populator = rights
    populator.list(path("leases", target))
    kube.admin.delete(path("rolebindings", target, "populator"))

    def is_forbidden() -> bool:
        with contextlib.suppress(Refused):
            populator.list(path("leases", target))
            return False
        return True

    wait_until(is_forbidden, 10)


def test_strangers(kube: Kube, namespace: str) -> None:
    with refused(401, "Unauthorized", "Unauthorized"):
        kube.client("rubbish").get(path("leases", namespace, "a"))
    with refused(403, "Forbidden", 'User "system:anonymous" cannot get resource'):
        kube.client("").get(path("leases", namespace, "a"))
    with refused(404, "NotFound", 'serviceaccounts "nobody" not found'):
        kube.service_account_token(namespace, "nobody")


def test_its_certificate_must_be_trusted(kube: Kube) -> None:
    stranger = Client(kube.url, ssl.create_default_context(), "token")
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.get("/version")


# --- the lab's own promises


def test_a_connection_can_be_kept(kube: Kube, namespace: str) -> None:
    token = kube.server.admin_token
    connection = http.client.HTTPSConnection(
        kube.url.removeprefix("https://"), context=kube.client_context(), timeout=10
    )
    connection.connect()
    sock = connection.sock
    for where in (path("leases", namespace), path("leases", namespace, "missing"), "/version"):
        connection.request("GET", where, headers={"Authorization": f"Bearer {token}"})
        connection.getresponse().read()
        assert connection.sock is sock, "the server closed it"
    connection.close()


def test_a_client_slow_in_its_handshake_delays_nobody(kube: Kube) -> None:
    with socket.create_connection(("127.0.0.1", kube.port)):
        began = time.monotonic()
        kube.admin.get("/version")
        assert time.monotonic() - began < 2


def test_volumes_are_as_forklift_leaves_them(kube: Kube, rights: tuple[str, str, Client]) -> None:
    target, _, populator = rights
    uid = kube.add_volume("disk", target, "handle-1", {"a": "b"}, bound=False)
    owner = populator.get(path("persistentvolumeclaims", target, "disk"))
    prime = populator.get(path("persistentvolumeclaims", target, f"prime-{uid}"))
    assert owner["metadata"]["uid"] == uid
    assert not {"volumeName"} & (owner["spec"].keys() | prime["spec"].keys())
    kube.bind_prime("disk", target)
    pv = populator.get(path("persistentvolumeclaims", target, f"prime-{uid}"))["spec"]["volumeName"]
    csi = populator.get(path("persistentvolumes", name=pv))["spec"]["csi"]
    assert (csi["volumeHandle"], csi["volumeAttributes"]) == ("handle-1", {"a": "b"})
    kube.admin.delete(path("persistentvolumes", name=pv))


def test_kubectl_can_look_and_delete(kube: Kube, namespace: str, tmp_path: Path) -> None:
    kube.admin.create(path("leases", namespace), lease("esxi-lock-host-1-slot-0", holderIdentity="pod-1"))
    common = [str(tool("kubectl")), f"--kubeconfig={kube.kubeconfig(tmp_path)}", "-n", namespace]
    environment = os.environ | {"HOME": str(tmp_path)}

    def kubectl(*arguments: str) -> str:
        done = subprocess.run(
            [*common, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "esxi-lock-host-1-slot-0" in kubectl("get", "leases")
    assert "holderIdentity: pod-1" in kubectl("get", "lease", "esxi-lock-host-1-slot-0", "-o", "yaml")
    kubectl("delete", "lease", "esxi-lock-host-1-slot-0")
    assert kube.admin.list(path("leases", namespace)) == []


OWNER = """
import sys, time
from pathlib import Path
from tests.lab.kube import start_kube
from tests.lab.pki import Pki
directory = Path(sys.argv[1])
with start_kube("real", directory / "server", Pki(directory / "pki")) as kube:
    pids = [str(one.pid) for one in kube.server._running]
    print(kube.port, *pids, flush=True)
    time.sleep(600)
"""


def test_a_real_server_does_not_outlive_a_killed_test(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        port, *groups = map(int, owner.stdout.readline().split())
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(map(group_lives, groups)), 10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def group_lives(group: int) -> bool:
    """Return whether any process of a session we started is left, zombies aside."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                return True
    return False


# --- Forklift's objects


def test_populators_are_listed_and_watched_like_all_else(kube: Kube, namespace: str) -> None:
    serve_populators(kube.admin)
    where = path("vspherexcopyvolumepopulators", namespace)
    assert where == f"/apis/forklift.konveyor.io/v1beta1/namespaces/{namespace}/vspherexcopyvolumepopulators"
    made = kube.admin.create(where, populator("a", namespace, "[ds] a/a.vmdk", ("disk-1", "uid-1")))
    assert made["spec"]["vmdkPath"] == "[ds] a/a.vmdk"
    listed = kube.admin.get(where)
    assert listed["kind"] == "VSphereXcopyVolumePopulatorList"
    events = kube.admin.watch(where, resourceVersion=listed["metadata"]["resourceVersion"])
    set_status(kube.admin, "a", namespace, {"progress": "42"})
    event = next(events)
    events.close()
    assert (event["type"], event["object"]["status"]) == ("MODIFIED", {"progress": "42"})
    with refused(422, "Invalid", "metadata.resourceVersion"):
        kube.admin.replace(f"{where}/a", populator("a", namespace, "[ds] b/b.vmdk"))


def test_a_selector_may_ask_for_a_label_of_whatever_value(admin: Client, namespace: str) -> None:
    where = path("leases", namespace)
    admin.create(where, lease("a", {"labels": {"host": "x"}}))
    admin.create(where, lease("b", {"labels": {"other": "x"}}))
    assert [item["metadata"]["name"] for item in admin.list(where, labelSelector="host")] == ["a"]


def test_whoever_asks_learns_what_it_may_do_and_who_it_is(kube: Kube, namespace: str) -> None:
    kube.apply_rbac(namespace, namespace)
    populator = kube.client(kube.service_account_token(namespace, "populator"))

    def may(verb: str, resource: str, group: str = "", where: str = namespace, name: str = "") -> bool:
        asked = {"verb": verb, "resource": resource, "group": group, "namespace": where, "name": name}
        answer = populator.create(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
            },
        )
        allowed: bool = answer["status"]["allowed"]
        return allowed

    assert may("update", "leases", LEASES)
    assert not may("delete", "leases", LEASES)
    assert not may("get", "leases", LEASES, where="elsewhere")
    assert not may("get", "leases", LEASES, where=""), "in all namespaces"
    assert may("get", "persistentvolumes", where="")
    assert may("get", "secrets", name="storage-array-secret")
    assert not may("get", "secrets", name="another")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = populator.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    assert answer["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:populator"
