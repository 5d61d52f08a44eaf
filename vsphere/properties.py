"""Properties of managed objects, by the PropertyCollector: exactly those asked for, in as few calls as can be."""

from collections.abc import Iterable, Sequence
from typing import Any

from vsphere.session import Session

Properties = dict[str, Any]


def id_of(reference: Any) -> str:
    """Return a managed object's id; empty for none."""
    return "" if reference is None else str(reference._GetMoId())


def property_spec(session: Session, kind: str, paths: Sequence[str]) -> Any:
    """Ask for these properties of all objects of a type."""
    vim = session.vim
    return vim.PropertyCollector.PropertySpec(type=getattr(vim, kind), all=False, pathSet=list(paths))


def read(session: Session, *wanted: tuple[str, Sequence[str], Iterable[str]]) -> dict[str, Properties]:
    """Read properties of objects known by type and id, all in one call; what may not be read is left out."""
    vim = session.vim
    kinds = [property_spec(session, kind, paths) for kind, paths, _ in wanted]
    objects = [
        vim.PropertyCollector.ObjectSpec(obj=session.reference(kind, moid), skip=False)
        for kind, _, ids in wanted
        for moid in ids
    ]
    return collect(session, kinds, objects)


def collect(session: Session, kinds: list[Any], objects: list[Any]) -> dict[str, Properties]:
    """Read properties of the objects that are found from some; by managed object id."""
    vim, collector = session.vim, session.content.propertyCollector
    specs = [vim.PropertyCollector.FilterSpec(propSet=kinds, objectSet=objects)]
    options = vim.PropertyCollector.RetrieveOptions()
    found: dict[str, Properties] = {}

    def retrieve() -> Any:
        first = collector.RetrievePropertiesEx(specs, options)
        # To a session that has expired vCenter answers, with nothing but this among what is missing.
        for missing in (each for one in first.objects if first for each in one.missingSet):
            if isinstance(missing.fault, vim.fault.NotAuthenticated):
                raise missing.fault
        return first

    page = session.read(retrieve)
    while page is not None:
        for one in page.objects:
            found[id_of(one.obj)] = {item.name: item.val for item in one.propSet}
        token = page.token
        page = session.call(lambda: collector.ContinueRetrievePropertiesEx(token)) if token else None  # noqa: B023
    return found
