"""The name by which PowerFlex knows a host: the GUID of its client, which is an option of the kernel module."""

import logging
import re

from vsphere.errors import VcenterFault
from vsphere.vcenter.adapters import SDC_DRIVER
from vsphere.vcenter.properties import Properties
from vsphere.vcenter.session import Session

log = logging.getLogger(__name__)

MODULES = "configManager.kernelModuleSystem"
"""the property of a host by which its modules are asked"""
GUID = re.compile(r"\bIoctlIniGuidStr=\"?([0-9a-f-]+)", re.IGNORECASE)


def find_sdc_guid(session: Session, host: Properties) -> str:
    """Return the GUID in lower case; empty where there is none, or the user may not ask: only PowerFlex needs it."""
    modules = None if host.withheld(MODULES) else host.get(MODULES)
    if modules is None:
        return ""
    try:
        options = session.read(lambda: modules.QueryConfiguredModuleOptionString(SDC_DRIVER))
    except VcenterFault as fault:
        log.info("the GUID of PowerFlex's client on %s is not known: %s", host, fault.text)
        return ""
    match = GUID.search(options or "")
    return match[1].lower() if match else ""
