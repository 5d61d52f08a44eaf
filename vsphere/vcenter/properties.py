"""Properties of managed objects, by the PropertyCollector: exactly those asked for, in as few calls as can be.

A property that vCenter withholds, most often for want of a privilege, is not one that has no value: reading it raises
an error that names the object, the property and the privilege.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from vsphere.errors import Unreadable, VsphereError
from vsphere.vcenter.session import Session

KINDS = {"VirtualMachine": "VM", "HostSystem": "host", "Datastore": "datastore", "Datacenter": "datacenter"}
"""names of managed object types, for people"""


@dataclass(frozen=True)
class Reason:
    """Why a property is withheld."""

    fault: str
    """wsdl name of vCenter's fault; empty where the whole object is missing from the answer"""
    privilege: str = ""
    """what the user lacks, where vCenter says so"""
    where: str = ""
    """id of the object on which it is required"""


class Properties:
    """What vCenter reports of one object."""

    def __init__(
        self, kind: str, moid: str, values: Mapping[str, Any], withheld: Mapping[str, Reason] | None = None
    ) -> None:
        self.kind, self.id = kind, moid
        self._values, self._withheld = values, withheld or {}

    def __str__(self) -> str:
        """Return type, name and id, for people."""
        name = self._values.get("name")
        return f"{KINDS.get(self.kind, self.kind)} {f'{name} ({self.id})' if name else self.id}"

    @property
    def subject(self) -> str:
        """The same, for the beginning of a sentence."""
        return str(self)[:1].upper() + str(self)[1:]

    def get(self, path: str, default: Any = None) -> Any:
        """Return a value, `default` where the object has none; raise where it is withheld."""
        if path in self._values:
            return self._values[path]
        if reason := self.withheld(path):
            raise self._error(path, reason)
        return default

    def withheld(self, path: str) -> Reason | None:
        """Return why a property, or one that it is part of, is withheld; None where it is not."""
        covering = (path.rsplit(".", depth)[0] for depth in range(path.count(".") + 1))
        return next(
            (self._withheld[covered] for covered in (*covering, "") if covered in self._withheld), None
        )

    def _error(self, path: str, reason: Reason) -> VsphereError:
        if not reason.privilege:
            why = f" ({reason.fault})" if reason.fault else ""
            return VsphereError(
                f"vCenter does not report {path} of {self}{why}.",
                "Let the vCenter user read the object (role Read-only), and look at vCenter's health.",
            )
        where = "on it" if reason.where in {"", self.id} else f"on {reason.where}"
        return VsphereError(
            f"vCenter does not report {path} of {self}: the user lacks the privilege {reason.privilege} {where}.",
            f"Give the vCenter user {reason.privilege} {where} or, propagated, on one of its parents (the role "
            "Read-only has System.Read and System.View).",
        )


def id_of(reference: Any) -> str:
    """Return a managed object's id; empty for none."""
    return "" if reference is None else str(reference._GetMoId())


def property_spec(session: Session, kind: str, paths: Sequence[str]) -> Any:
    """Ask for these properties of all objects of a type."""
    vim = session.vim
    return vim.PropertyCollector.PropertySpec(type=getattr(vim, kind), all=False, pathSet=list(paths))


def read(session: Session, *wanted: tuple[str, Sequence[str], Iterable[str]]) -> dict[str, Properties]:
    """Read properties of objects known by type and id, all in one call; there is an entry for each of them."""
    vim = session.vim
    kinds = [property_spec(session, kind, paths) for kind, paths, _ in wanted]
    wanted_ids = [(kind, moid) for kind, _, ids in wanted for moid in ids]
    objects = [
        vim.PropertyCollector.ObjectSpec(obj=session.reference(kind, moid), skip=False)
        for kind, moid in wanted_ids
    ]
    return {moid: unseen(kind, moid) for kind, moid in wanted_ids} | collect(session, kinds, objects)


def unseen(kind: str, moid: str) -> Properties:
    """Return what stands for an object that is missing from an answer: all of it is withheld."""
    return Properties(kind, moid, {}, {"": Reason("")})


def named(objects: Iterable[Properties], name: str) -> list[Properties]:
    """Return the objects of that name; raise where there is none, but vCenter withholds names.

    vCenter has names with some characters percent-encoded.
    """
    objects = list(objects)
    nameless = [record for record in objects if record.withheld("name")]
    found = [
        record
        for record in objects
        if record not in nameless and unquote(record.get("name", "")) == unquote(name)
    ]
    if not found and nameless:
        nameless[0].get("name")  # raises
    return found


def collect(session: Session, kinds: list[Any], objects: list[Any]) -> dict[str, Properties]:
    """Read properties of the objects that are found from some; by managed object id."""
    vim, collector = session.vim, session.content.propertyCollector
    specs = [vim.PropertyCollector.FilterSpec(propSet=kinds, objectSet=objects)]
    options = vim.PropertyCollector.RetrieveOptions()
    found: dict[str, Properties] = {}

    def retrieve() -> Any:
        first = collector.RetrievePropertiesEx(specs, options)
        # To a session that has expired vCenter answers, with nothing but this among what is missing.
        for missing in (each for record in first.objects if first for each in record.missingSet):
            if isinstance(missing.fault, vim.fault.NotAuthenticated):
                raise missing.fault
        return first

    page = session.read(retrieve)
    while page is not None:
        for content in page.objects:
            found[id_of(content.obj)] = parse_content(content)
        token = page.token
        page = session.call(lambda: collector.ContinueRetrievePropertiesEx(token)) if token else None  # noqa: B023
    return found


def parse_content(content: Any) -> Properties:
    """Read what the PropertyCollector answers of one object."""
    kind = type(content.obj).__name__.rpartition(".")[2]
    values = {item.name: item.val for item in content.propSet}
    withheld = {missing.path: _reason(missing.fault) for missing in content.missingSet}
    return Properties(kind, id_of(content.obj), values, withheld)


def _reason(fault: Any) -> Reason:
    name = type(fault).__name__.rpartition(".")[2]
    return Reason(name, getattr(fault, "privilegeId", None) or "", id_of(getattr(fault, "object", None)))


def below(session: Session, container: Any, kind: str, paths: Sequence[str]) -> dict[str, Properties]:
    """Read properties of all objects of a type that lie anywhere below a container."""
    content, vim = session.content, session.vim
    view = session.read(
        lambda: content.viewManager.CreateContainerView(container, [getattr(vim, kind)], True)
    )
    if view is None:
        raise Unreadable(
            "vCenter answered the search of its inventory with nothing.",
            "Check vCenter and what stands between it and the cluster.",
        )
    members = vim.PropertyCollector.TraversalSpec(path="view", skip=False, type=vim.view.ContainerView)
    start = vim.PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[members])
    try:
        return collect(session, [property_spec(session, kind, paths)], [start])
    finally:
        with suppress(VsphereError):
            session.call(view.DestroyView)
