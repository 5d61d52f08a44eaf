"""What `populator preflight` was told: what a populate is told, or several VMs in its disk's and volume's place."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from populator.errors import SettingsError
from populator.settings.fleet import MOST_AT_A_TIME
from populator.settings.parse import NAMESPACE, Parser, parse_settings
from populator.settings.reading import short
from populator.settings.values import PreflightSettings


def parse_preflight(
    arguments: Mapping[str, str | None], vms: Sequence[str], plan: str, environment: Mapping[str, str]
) -> PreflightSettings:
    """Check all values and return them; raise `SettingsError` with every problem found.

    `vms` and those in the file `plan` stand in the place of the one disk and volume that `arguments` name without them.
    """
    parser = PreflightParser(arguments, environment)
    parallel = parser.number("--parallel", parser.text("parallel"), MOST_AT_A_TIME)
    if vms or plan:
        return parser.several(tuple(dict.fromkeys([*vms, *parser.plan(plan)])), parallel)
    try:
        one = parse_settings(arguments, environment)
    except SettingsError as error:
        raise SettingsError([*parser.problems, *error.problems]) from error
    if parser.problems:
        raise SettingsError(parser.problems)
    return PreflightSettings(
        vms=(one.source.vm,),
        vmdk=one.source.vmdk,
        target=one.target,
        namespace=one.target.namespace,
        migration_host=one.source.migration_host,
        copy_hosts=one.source.copy_hosts,
        vsphere=one.vsphere,
        ssh=one.ssh,
        storage=one.storage,
        kubernetes=one.kubernetes,
        lease=one.lease,
        identity=one.identity,
        parallel=parallel,
        warnings=one.warnings,
    )


def read_plan(text: str) -> list[str]:
    """Return the VMs of a plan: one a line, `#` begins a comment; or Forklift's Plan, as `oc get -o yaml` has it."""
    found = _parse(text)
    if isinstance(found, dict):
        vms = (found.get("spec") or {}).get("vms") or []
        return [str(vm.get("id") or vm.get("name") or "") for vm in vms if isinstance(vm, dict)]
    lines = (re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _parse(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


class PreflightParser(Parser):
    """Reads what several VMs have in common."""

    def plan(self, path: str) -> list[str]:
        """Read the VMs in a file; none where no file is named."""
        try:
            return read_plan(Path(path).read_text(encoding="utf-8")) if path else []
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            self.problems.append(f"--plan: cannot read {path}: {reason}.")
            return []

    def several(self, vms: tuple[str, ...], parallel: int) -> PreflightSettings:
        """Return the settings for several VMs, or raise with all problems."""
        for name in ("source-vm-id", "source-vmdk", "owner-name", "owner-uid"):
            if self.text(name):
                self.problems.append(f"--{name}: it is for one disk, and --vm and --plan are for whole VMs.")
        if not vms and not self.problems:
            self.problems.append("--plan: there is no VM in it.")
        namespace = self.text("target-namespace")
        if namespace and not re.fullmatch(NAMESPACE, namespace):
            self.problems.append(f"--target-namespace: {short(namespace)} is not the name of a namespace.")
        settings = PreflightSettings(
            vms=vms,
            vmdk=None,
            target=None,
            namespace=namespace,
            migration_host=self.text("migration-host"),
            copy_hosts=self.copy_hosts(),
            **self.site(),
            parallel=parallel,
            warnings=tuple(self.warnings),
        )
        if self.problems:
            raise SettingsError(self.problems)
        return settings
