"""Which privileges our user has on an object, as vCenter itself judges it."""

from collections.abc import Sequence

from vsphere.errors import VcenterFault
from vsphere.vcenter.session import Session

READ = "System.Read"
"""without it on an object vCenter does not even say what else is missing there"""


def missing_privileges(session: Session, kind: str, moid: str, privileges: Sequence[str]) -> tuple[str, ...]:
    """Return those of the privileges that our user lacks on one object; `System.Read` alone where it may not ask."""
    manager = session.content.authorizationManager
    entity = session.reference(kind, moid)
    try:
        answers = session.read(
            lambda: manager.HasPrivilegeOnEntities([entity], session.key, list(privileges))
        )
    except VcenterFault as fault:
        if fault.name != "NoPermission":
            raise
        return (READ,)
    granted = {each.privId for answer in answers or () for each in answer.privAvailability if each.isGranted}
    return tuple(name for name in privileges if name not in granted)
