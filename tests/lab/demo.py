"""The demo: one real disk populated by the real program, watched as Forklift would, and then proven.

Ends with 0 only if every line of the proof holds.
"""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from populator.storage.registry import VENDORS
from tests.lab import world
from tests.lab.disks import MIB, flat_of, read_files
from tests.lab.esxi import OURS, STOCK, sandbox
from tests.lab.lab import LEASE_NAMESPACE, Lab, Target
from tests.lab.program import Program

SIZE, RATE = 192 * MIB, 48 * MIB
"""of the disk, and bytes a second that the lab's array copies at, so that there is something to watch"""


def run(vendor: str) -> int:
    """Run the demo with a vendor's array; return the exit code."""
    console = Console(highlight=False)
    began = time.monotonic()
    console.print("[bold]Starting the lab[/] (the first time, vcsim is built: about a minute)")
    wrapper = OURS if sandbox.usable() else STOCK
    if wrapper == STOCK:
        console.print("[yellow]No bubblewrap here:[/] the hosts run a model of wrapper 0.3.3, not ours.")
    with Lab(plain_size=SIZE, wrapper=wrapper, array=vendor) as lab:
        console.print(
            f"vCenter {lab.vcenter.url}, {VENDORS[vendor].product} https://{lab.array.access.hostname}, "
            f"Kubernetes {lab.kube.url}"
        )
        lab.host.copy_rate, lab.host.rescan_seconds, lab.host.forget_seconds = RATE, 0.5, 0.3
        target = lab.add_target(SIZE)
        disk = escape(world.PLAIN_DISK)
        console.print(f"Disk {disk}: {SIZE // MIB} MiB, a file system with {len(world.FILES)} files")
        console.print(f"PVC {target.pvc}: LUN {target.naa}\n")
        with lab.program(target, arguments={"pvc-size": str(SIZE)}, scrape_interval=0.25) as program:
            watch(console, program)
            code = program.wait()
        proof = list(prove(lab, target, program, code))
    show_phases(console, program)
    show_proof(console, proof)
    good = all(holds for _, _, holds in proof)
    console.print(
        f"\n{'[green]Proven.[/]' if good else '[red]NOT proven.[/]'} {time.monotonic() - began:.1f} s in all."
    )
    if not good:
        console.print(program.text(), markup=False)
    return 0 if good else 1


def watch(console: Console, program: Program) -> None:
    """Show phases as the log names them, and a bar as the metrics page fills it."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar: TaskID = progress.add_task("start", total=100)

        def show(line: dict[str, Any]) -> None:
            if line["message"] == line.get("phase"):
                progress.update(bar, description=line["message"])
                progress.print(f"  {line['time'][11:23]}  {line['message']}")

        program.on_line = show
        while program.code is None:
            time.sleep(0.1)
            progress.update(bar, completed=program.status.progress or 0)


def prove(lab: Lab, target: Target, program: Program, code: int) -> Iterator[tuple[str, str, bool]]:
    """Yield what has to hold, what was found, and whether it holds."""
    yield "exit code", str(code), code == 0
    source = flat_of(world.file_of(lab.datastores, world.PLAIN_DISK))
    ours, theirs = sha256(source), sha256(target.lun, source.stat().st_size)
    yield "SHA-256 of the source disk", ours, True
    yield "SHA-256 of the LUN", theirs, ours == theirs
    files = read_files(target.lun) if ours == theirs else {}
    yield "files read from the LUN", ", ".join(files) or "none", files == world.FILES
    status = program.status
    seen = f"{status.progress:.0f} %, {status.result}" if status.progress is not None else "nothing"
    yield "Forklift saw", seen, (status.progress, status.result) == (100, "success")
    mappings = lab.san.mappings(target.naa)
    yield "mappings of the LUN", ", ".join(mappings) or "none", not mappings
    device = lab.host.device_status(target.naa)
    yield "device on the host", device or "gone", device is None
    holders = lab.kube.lease_holders(LEASE_NAMESPACE)
    yield "slots of the host held", ", ".join(holders.values()) or "none", not holders
    left = lab.leftovers(target)
    yield "anything else left", "; ".join(left) or "nothing", not left


def sha256(file: Path, length: int | None = None) -> str:
    """Return the hash of a file's first bytes."""
    digest = hashlib.sha256()
    left = file.stat().st_size if length is None else length
    with file.open("rb") as data:
        while left and (piece := data.read(min(left, MIB))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def show_phases(console: Console, program: Program) -> None:
    """Print how long each phase took."""
    table = Table("phase", "seconds", title="How long it took", title_justify="left")
    for phase, seconds in program.phases.items():
        table.add_row(phase, f"{seconds:.2f}")
    table.add_row("[bold]process, start to end", f"[bold]{program.seconds:.2f}")
    console.print(table)


def show_proof(console: Console, proof: list[tuple[str, str, bool]]) -> None:
    """Print the proof."""
    table = Table("", "what", title="What was proven", title_justify="left")
    table.add_column("found", overflow="fold")
    for what, found, holds in proof:
        table.add_row("[green]✓" if holds else "[red]✗", what, found)
    console.print(table)
