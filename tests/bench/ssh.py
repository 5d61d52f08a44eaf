"""What a populate by the SSH method costs: handshakes, uploads, and the time beyond the copy."""

from collections.abc import Iterator

from tests.bench.figure import Figure
from tests.lab.lab import Lab
from tests.lab.program import Program


def measure() -> Iterator[Figure]:
    """Yield the figures of a first populate, which uploads the script, and of a second one, which need not."""
    with Lab() as lab:
        environment = lab.start_ssh()
        first = populate(lab, environment)
        handshakes, commands = lab.host.ssh.handshakes, len(lab.host.ssh.commands)
        note = f"{commands} commands in {first.seconds:.2f} s"
        yield Figure("SSH handshakes of a populate", handshakes, 1, 1, "handshakes", note)
        yield Figure("uploads of the script, first populate", uploads(lab), 1, 1, "uploads")
        lab.ledger.reset()
        second = populate(lab, environment)
        note = f"the script is there already; {second.seconds:.2f} s"
        yield Figure("uploads of the script, second populate", uploads(lab), 0, 0, "uploads", note)


def populate(lab: Lab, environment: dict[str, str | None]) -> Program:
    """Copy a disk as fast as can be."""
    with lab.program(lab.add_target(), environment=environment) as program:
        if program.wait():
            raise SystemExit(f"the run failed:\n{program.text()}")
    return program


def uploads(lab: Lab) -> int:
    """Count the files written to datastores."""
    return sum(call.label.startswith("PUT /folder/") for call in lab.ledger.of("vcenter"))
