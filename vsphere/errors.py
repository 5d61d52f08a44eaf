"""What may go wrong with vCenter or a host, in words for the user: one sentence and the next step.

Two facts about the failed call decide what its caller may do next. `unclear`: it may have been carried out all
the same, so an act must not be made again blindly. `passing`: the same call may well work a little later.
"""

from enum import StrEnum, auto

from vsphere.model import CopyResult


class Setting(StrEnum):
    """What a hint is about that the program around this package has its own name for, to be added to the hint."""

    VCENTER_ADDRESS = auto()
    VCENTER_LOGIN = auto()
    VCENTER_CA = auto()
    CLONE_METHOD = auto()
    PRIVATE_KEY = auto()
    KNOWN_HOSTS = auto()
    FINGERPRINTS = auto()
    KEY_LINE = auto()
    VIB = auto()
    PLUGIN = auto()
    """the VIB being installed on a host"""


class VsphereError(Exception):
    """Base: `text` says what is wrong, `hint` what to do next, `setting` with what; none holds a secret."""

    unclear = False
    passing = False

    def __init__(self, text: str, hint: str = "", setting: Setting | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.setting = setting


class Unreachable(VsphereError):
    """vCenter or a host could not be asked, or did not answer; `sent` tells whether the request may have come."""

    passing = True

    def __init__(self, text: str, hint: str = "", setting: Setting | None = None, *, sent: bool) -> None:
        super().__init__(text, hint, setting)
        self.sent = sent
        self.unclear = sent


class Unreadable(VsphereError):
    """An answer came, but not one that tells what has become of the request."""

    unclear = True


class LoginRefused(VsphereError):
    """vCenter does not accept user name and password, or a host our SSH key."""


class HostKeyRefused(VsphereError):
    """A host showed another SSH key than the expected one; nothing was sent to it."""


class VcenterFault(VsphereError):
    """vCenter answered with a fault; `name` is its wsdl type, like `NoPermission`."""

    REFUSALS = frozenset(
        {
            "AuthMinimumAdminPermission",
            "HostNotConnected",
            "InvalidArgument",
            "InvalidLogin",
            "InvalidRequest",
            "ManagedObjectNotFound",
            "MethodNotFound",
            "NoPermission",
            "NotAuthenticated",
            "NotSupported",
            "RestrictedVersion",
        }
    )
    """faults that come before the request is carried out or sent on to a host"""
    PASSING = frozenset({"HostCommunication", "HostConnectFault", "HostNotReachable", "Timedout"})
    """a host that does not answer vCenter; hostd being restarted is the usual cause"""

    def __init__(self, name: str, text: str, hint: str = "") -> None:
        super().__init__(text, hint)
        self.name = name
        self.unclear = name not in self.REFUSALS
        self.passing = name in self.PASSING


class EsxcliFault(VsphereError):
    """A host refused or failed an esxcli command; `reason` is what it said itself."""

    def __init__(self, text: str, hint: str = "", *, reason: str, unclear: bool) -> None:
        super().__init__(text, hint)
        self.reason = reason
        self.unclear = unclear


class EsxcliNotFound(EsxcliFault):
    """The host does not know the command: its namespace is not there, or the VIB is not loaded."""


class HostUnfit(VsphereError):
    """The host cannot copy the disk, and has begun nothing; another one may be able to."""


class DeviceAbsent(HostUnfit):
    """The host does not show a device that it can use, though the LUN is mapped and it has looked for new ones."""


class WrapperMissing(HostUnfit):
    """The host has no vmkfstools wrapper that can be called, so nothing was done by it."""


class NotStarted(VsphereError):
    """The copy certainly did not begin, and may begin a little later."""

    passing = True


class HostFull(NotStarted):
    """The copy was not begun, since as many run on the host as may."""


class CloneFailed(VsphereError):
    """The copy ended, and not well, or never began: nothing writes to the device any more."""

    def __init__(self, text: str, hint: str = "", result: CopyResult | None = None) -> None:
        super().__init__(text, hint)
        self.result = result
        """what the copy had done until then; None where it never began or the host does not say"""


class CopyMayBeRunning(VsphereError):
    """A copy may still be writing to the device: device and mapping must stay as they are."""


def is_passing(error: BaseException) -> bool:
    """Return whether the same call may well work a little later."""
    return isinstance(error, VsphereError) and error.passing
