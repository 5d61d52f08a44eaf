"""What is to be done on one host: pure rules, from what was found there.

Three states of a host are never overridden. Secure Boot: a host that starts with it and an unsigned VIB stops at a
purple screen. A copy that runs: its script lies in the package, and a host can fail half-way to take away a package
whose files are in use; its caller would lose sight of it besides. A newer package: somebody needs it.
"""

from dataclasses import dataclass
from enum import Enum

from vsphere.vib.build import NAME
from vsphere.vib.package import Package
from vsphere.wrapper.contract import version_order

COMMUNITY = "CommunitySupported"
NONE = "none"


@dataclass(frozen=True)
class Installed:
    """A package as the host lists it."""

    version: str
    vendor: str

    def __str__(self) -> str:
        """Return it for the table."""
        return f"{self.version} ({self.vendor})"


@dataclass(frozen=True)
class Facts:
    """What was found on a host."""

    installed: Installed | None
    level: str
    """the host's acceptance level"""
    secure_boot: bool | None
    """None: the host is too old to report it, or to have it"""
    copies: tuple[str, ...]
    """what vmkfstools is copying onto, whoever began it"""
    script_digest: str
    """SHA-256 of the installed script, as of `plugin_digest`; empty: none"""
    plugin_digest: str
    answers: str
    """the version that the plugin reports when called; empty: it cannot be called"""
    complete: bool
    """whether hostd knows all of the package's commands"""

    @property
    def before(self) -> str:
        """Return what is installed, for the table."""
        return str(self.installed or NONE)


class Act(Enum):
    """What to do."""

    NOTHING = "nothing"
    REFUSE = "refuse"
    INSTALL = "install"
    REMOVE = "remove"
    RESTART_HOSTD = "restart hostd"


@dataclass(frozen=True)
class Decision:
    """What to do, why, and what the user has to do about it."""

    act: Act
    text: str
    hint: str = ""
    force: bool = False
    """install past the acceptance level"""
    note: str = ""
    """what the user should know although it worked"""


def decide_install(facts: Facts, package: Package) -> Decision:
    """Decide how the host gets the package."""
    if facts.installed and version_order(facts.installed.version) > version_order(package.version):
        hint = f"To go back to {package.version}, remove it first."
        return Decision(Act.NOTHING, f"has the newer version {facts.installed.version}", hint)
    if facts.installed and facts.installed.version == package.version:
        return _same_version(facts, package)
    if facts.secure_boot:
        return Decision(
            Act.REFUSE,
            "UEFI Secure Boot is on: with an unsigned VIB the host would no longer boot.",
            "Use the SSH method on this host, or switch Secure Boot off.",
        )
    return _unless_copying(facts, _installing(facts, package))


def decide_remove(facts: Facts) -> Decision:
    """Decide how the host gets rid of the package."""
    if facts.installed is None:
        return Decision(Act.NOTHING, "is not installed")
    return _unless_copying(facts, Decision(Act.REMOVE, f"remove {facts.installed}"))


def needs_restart(facts: Facts, package: Package) -> bool:
    """Whether hostd must restart after an installation: it reads plugins when it starts."""
    return facts.plugin_digest != package.plugin_digest or not (facts.answers and facts.complete)


def _same_version(facts: Facts, package: Package) -> Decision:
    if (facts.script_digest, facts.plugin_digest) != (package.script_digest, package.plugin_digest):
        return Decision(
            Act.REFUSE,
            f"has {facts.before} with other files than this package's.",
            "Remove it first.",
        )
    if facts.answers == package.version and facts.complete:
        return Decision(Act.NOTHING, "is up to date")
    return _unless_copying(
        facts, Decision(Act.RESTART_HOSTD, "restart hostd, which has not loaded the installed package")
    )


def _installing(facts: Facts, package: Package) -> Decision:
    force = facts.level != COMMUNITY
    note = f", past the acceptance level {facts.level}, which stays as it is" if force else ""
    return Decision(Act.INSTALL, f"install {package.version}{note}", force=force, note=note)


def _unless_copying(facts: Facts, decision: Decision) -> Decision:
    if not facts.copies:
        return decision
    return Decision(
        Act.REFUSE,
        f"vmkfstools is copying on the host, onto {', '.join(facts.copies)}; {NAME} must not change meanwhile.",
        "Run this again when the copy has ended.",
    )
