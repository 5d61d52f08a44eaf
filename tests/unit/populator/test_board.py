"""The picture that `populator top` draws, to the letter, at the sizes that terminals have.

`python -m tests.unit.populator.test_board` rewrites the files in `boards`; look at them before they are committed.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.cells import cell_len

from populator.plan.journal import MIB
from populator.plan.progress import Overview, Populate, State, in_order
from populator.report.board import ASCII, Board, chosen
from tests.lab.lease.records import NOW

BOARDS = Path(__file__).parent / "boards"
TIB = 1024 * 1024 * MIB
DEAD = "Its pod died or was cut off in phase 'clone'."
FORBIDDEN = "Volumes' Leases in all namespaces: you may not list them."


def running(number: int, host: int, percent: int, rate: float, size: int = TIB // 4) -> Populate:
    left = size * (100 - percent) / 100 / (rate * MIB)
    return Populate(
        "vms", f"disk-{number}", f"uid-{number}", host=f"host-{host}", host_name=f"esx-{host}.lab", state=State.RUNNING,
        phase="clone", percent=percent, rate=rate, size=size, remaining=left,
    )  # fmt: skip


def waiting(number: int, host: int) -> Populate:
    return Populate(
        "vms", f"disk-{number}", f"uid-{number}", host=f"host-{host}", host_name=f"esx-{host}.lab",
        state=State.WAITING, phase="wait for a slot of the host", size=TIB // 4,
    )  # fmt: skip


LONG = "a-name-that-is-much-too-long-for-any-terminal-of-a-sensible-width-and-goes-on"
DONE = Populate("vms", "disk-7", "uid-7", state=State.DONE, percent=100, ended=NOW - timedelta(hours=1))
FEW = (
    running(1, 9, 42, 480.5),
    running(2, 9, 7, 512.0),
    running(3, 10, 99, 1300.0),
    waiting(4, 9),
    replace(running(5, 9, 3, 1.0), state=State.FAILED, remaining=None, why=DEAD),
    replace(running(6, 9, 3, 1.0), state=State.MAYBE_FAILED, remaining=None, why=DEAD),
    DONE,
    replace(running(8, 0, 55, 900.0, size=TIB), name="vvol-8", host="", host_name="", array="svm.lab"),
    Populate("more-vms", LONG, phase="not started"),
    replace(running(10, 10, 0, 1.0), name="磁盘-\x1b[31m", percent=None, remaining=None, phase="rescan"),
    replace(running(11, 10, 99, 1.0), remaining=None, phase="detach"),
)
MANY = tuple(
    waiting(number, number % 60)
    if number % 5
    else running(number, number % 60, number % 100, 100.0)
    if number % 3
    else Populate("vms", f"disk-{number}", f"uid-{number}", state=State.FAILED, why=DEAD)
    for number in range(500)
)
PAGES = {
    "few 80x24": (FEW, 80, 24, ()),
    "few 120x40": (FEW, 120, 40, (FORBIDDEN,)),
    "many 80x24": (MANY, 80, 24, (FORBIDDEN,)),
    "many 120x40": (MANY, 120, 40, ()),
    "none 80x24": ((), 80, 24, ("Slots of hosts in namespace openshift-mtv: being read",)),
}


def overview(populates: Sequence[Populate], older: int = 0) -> Overview:
    hosts = {one.host: 2 if one.state == State.RUNNING else 1 for one in populates if one.host}
    return Overview(tuple(in_order(populates)), older, hosts)


def page(name: str) -> str:
    populates, width, height, troubles = PAGES[name]
    lines = Board(width, height).draw(overview(populates, older=3 if populates else 0), troubles, NOW)
    return "".join(f"{line.plain.rstrip()}\n" for line in lines)


def file(name: str) -> Path:
    return BOARDS / f"{name.replace(' ', '-')}.txt"


@pytest.mark.parametrize("name", PAGES)
def test_people_see_what_they_are_meant_to(name: str) -> None:
    assert page(name) == file(name).read_text()


def test_no_page_is_left_behind() -> None:
    assert set(BOARDS.iterdir()) == {file(name) for name in PAGES}


@pytest.mark.parametrize("populates", [FEW, MANY, ()])
@pytest.mark.parametrize("width", [20, 40, 79, 80, 100, 109, 110, 200])
@pytest.mark.parametrize("height", [1, 5, 10, 24, 50, 600])
def test_it_fits_any_terminal(populates: Sequence[Populate], width: int, height: int) -> None:
    lines = Board(width, height).draw(overview(populates, older=1), [FORBIDDEN] * 7, NOW)
    assert len(lines) <= height
    assert max(cell_len(line.plain) for line in lines) <= width


def test_all_are_shown_or_counted() -> None:
    for room in range(60):
        shown, hidden = chosen(in_order(MANY), room)
        assert len(shown) <= room
        assert len(shown) + sum(hidden.values()) == len(MANY)
    assert chosen(FEW, len(FEW)) == (list(FEW), {})


def test_failures_leave_room_for_what_runs() -> None:
    shown, _ = chosen(in_order(MANY), 16)
    assert [one.state for one in shown] == [State.FAILED] * 5 + [State.RUNNING] * 10


def test_a_terminal_that_knows_no_blocks_gets_others() -> None:
    text = "\n".join(line.plain for line in Board(80, 24, ASCII).draw(overview(MANY), (), NOW))
    assert text.isascii()
    assert "####" in text


if __name__ == "__main__":
    BOARDS.mkdir(exist_ok=True)
    for old in BOARDS.iterdir():
        old.unlink()
    for name in PAGES:
        file(name).write_text(page(name))
