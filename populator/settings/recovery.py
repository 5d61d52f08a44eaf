"""What `populator recover` was told: how to reach all that there is, as for a populate, and where to look."""

import re
from collections.abc import Mapping

from populator.settings.parse import NAMESPACE, Parser
from populator.settings.reading import short
from populator.settings.values import RecoverySettings


def parse_recovery(
    arguments: Mapping[str, str | None], environment: Mapping[str, str], *, apply: bool
) -> RecoverySettings:
    """Check all values and return them; raise `SettingsError` with every problem found."""
    parser = Parser(arguments, environment)
    namespaces = tuple(name for name in re.split(r"[\s,]+", parser.text("namespaces")) if name)
    parser.problems += [
        f"--namespaces: {short(name)} cannot be the name of a namespace."
        for name in namespaces
        if not re.fullmatch(NAMESPACE, name)
    ]
    settings = RecoverySettings(
        **parser.site(), namespaces=namespaces, apply=apply, warnings=tuple(parser.warnings)
    )
    parser.finish()
    return settings
