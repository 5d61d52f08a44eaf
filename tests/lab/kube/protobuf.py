"""Request bodies in Kubernetes' protobuf form, which client-go prefers for built-in types, read as JSON.

Known are the fields of Leases and of the metadata of all objects (`generated.proto` of k8s.io/api and apimachinery);
others are passed over. Answers are JSON: every client that sends protobuf takes that, too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

Json = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class Malformed(ValueError):
    """The bytes are no message."""


@dataclass(frozen=True)
class Field:
    """What a field is called in JSON, and how its value is read."""

    name: str
    read: Callable[[Any], Any]
    many: bool = False


Message = Mapping[int, Field]


def text(value: bytes) -> str:
    """Read a string."""
    return value.decode()


def int32(value: int) -> int:
    """Read an int32 or int64, which protobuf writes as 64 bits in two's complement."""
    return value - (1 << 64) if value >> 63 else value


def time(value: bytes, decimals: int = 0) -> str:
    """Read a Time (whole seconds) or a MicroTime (six decimals)."""
    parts = message({1: Field("seconds", int32), 2: Field("nanos", int32)}, value)
    moment = datetime.fromtimestamp(parts.get("seconds", 0), UTC)
    fraction = f".{parts.get('nanos', 0) // 1000:06d}" if decimals else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def pair(value: bytes) -> tuple[str, str]:
    """Read an entry of a map."""
    entry = message({1: Field("key", text), 2: Field("value", text)}, value)
    return entry.get("key", ""), entry.get("value", "")


def message(fields: Message, data: bytes) -> Json:
    """Read a message; maps are gathered from their entries, and of a field that comes twice the last one counts."""
    found: Json = {}
    for number, value in _wire(data):
        field = fields.get(number)
        if field is None:
            continue
        item = field.read(value)
        if isinstance(item, tuple):
            found.setdefault(field.name, {})[item[0]] = item[1]
        elif field.many:
            found.setdefault(field.name, []).append(item)
        else:
            found[field.name] = item
    return found


OWNER: Message = {
    1: Field("kind", text),
    3: Field("name", text),
    4: Field("uid", text),
    5: Field("apiVersion", text),
    6: Field("controller", bool),
    7: Field("blockOwnerDeletion", bool),
}
METADATA: Message = {
    1: Field("name", text),
    2: Field("generateName", text),
    3: Field("namespace", text),
    5: Field("uid", text),
    6: Field("resourceVersion", text),
    8: Field("creationTimestamp", time),
    11: Field("labels", pair),
    12: Field("annotations", pair),
    13: Field("ownerReferences", partial(message, OWNER), many=True),
    14: Field("finalizers", text, many=True),
}


def metadata(value: bytes) -> Json:
    """Read an ObjectMeta, of whose fields Go writes the empty ones, too."""
    return {name: item for name, item in message(METADATA, value).items() if item != ""}


LEASE_SPEC: Message = {
    1: Field("holderIdentity", text),
    2: Field("leaseDurationSeconds", int32),
    3: Field("acquireTime", partial(time, decimals=6)),
    4: Field("renewTime", partial(time, decimals=6)),
    5: Field("leaseTransitions", int32),
}
BODIES: Mapping[str, Message] = {
    "Lease": {
        1: Field("metadata", metadata),
        2: Field("spec", partial(message, LEASE_SPEC)),
    },
    "DeleteOptions": {},
}
TYPE_META: Message = {1: Field("apiVersion", text), 2: Field("kind", text)}
ENVELOPE: Message = {1: Field("type", partial(message, TYPE_META)), 2: Field("raw", bytes)}


def decode(body: bytes) -> Json | None:
    """Return an object as JSON, None for a kind that is not known here; raises Malformed."""
    if not body.startswith(MAGIC):
        raise Malformed("the prefix of Kubernetes' envelope is missing")
    try:
        envelope = message(ENVELOPE, body.removeprefix(MAGIC))
        type_meta = envelope.get("type", {})
        fields = BODIES.get(type_meta.get("kind", ""))
        return None if fields is None else type_meta | message(fields, envelope.get("raw", b""))
    except (IndexError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise Malformed(str(error)) from error


def _wire(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == VARINT:
            number, place = _varint(data, place)
            yield key >> 3, number
            continue
        if kind == LENGTH:
            size, place = _varint(data, place)
        elif kind in {FIXED64, FIXED32}:
            size = 8 if kind == FIXED64 else 4
        else:
            raise Malformed(f"wire type {kind} is not used by Kubernetes")
        if place + size > len(data):
            raise Malformed("the message is cut off")
        yield key >> 3, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (1 << 64) - 1, place
        shift += 7
