"""The picture of a forecast; how it looks is for people to see, in a browser."""

from xml.etree import ElementTree as ET

import pytest

from populator.plan.forecast import MIB, Conditions, Forecast, Plan, PlannedDisk
from populator.plan.forecast_run import simulate
from populator.report.gantt import CHART, LEFT, WIDTH, draw

SVG = "{http://www.w3.org/2000/svg}"


def forecast(number: int, hosts: int, name: str = "[ds] vm/disk {}.vmdk") -> Forecast:
    disks = tuple(
        PlannedDisk(name.format(n), (n % 7 + 1) * 10_000 * MIB, f"esx-{n % hosts}", "ds")
        for n in range(number)
    )
    return simulate(Plan(disks, {}, Conditions()))


def parsed(drawn: str) -> ET.Element:
    return ET.fromstring(drawn)  # noqa: S314 - our own


def picture(of: Forecast, hot: str = "") -> ET.Element:
    return parsed(draw(of, "title", ["note"], hot))


def titles(drawn: ET.Element) -> list[str]:
    """Return what the bars say under the pointer."""
    found = [group.find(f"{SVG}title") for group in drawn.iter(f"{SVG}g")]
    return [title.text or "" for title in found if title is not None]


@pytest.mark.parametrize(("number", "hosts"), [(1, 1), (20, 4), (300, 2)])
def test_every_disk_is_in_it_by_itself_or_with_others(number: int, hosts: int) -> None:
    said = titles(picture(forecast(number, hosts)))
    together = [int(title.partition(" disks on")[0]) for title in said if " disks on" in title]
    assert sum(together) + len(said) - len(together) == number


def test_nothing_is_drawn_beside_it() -> None:
    for bar in picture(forecast(50, 3)).iter(f"{SVG}rect"):
        x, width = float(bar.attrib["x"]), float(bar.attrib["width"])
        assert x >= LEFT
        assert x + width <= LEFT + CHART + 1 < WIDTH


def test_thousands_of_disks_on_one_host_are_few_bars() -> None:
    assert len(titles(picture(forecast(5000, 1)))) < 1000


def test_names_that_are_markup_or_control_characters_do_no_harm() -> None:
    drawn = draw(forecast(2, 1, '<script>"&\x00\ud800{}'), "<b>", ["&"], "<")
    parsed(drawn)
    assert "<script" not in drawn


def test_it_needs_no_other_file() -> None:
    drawn = draw(forecast(3, 1), "title", [], "")
    assert drawn.count("http") == 1, "the name of SVG's namespace"


def test_what_holds_it_up_stands_out() -> None:
    assert 'class="hot"' in draw(forecast(4, 2), "title", [], "esx-1")
    nothing = draw(forecast(4, 2), "title", [], "")
    assert 'class="hot"' not in nothing
    assert "what holds it up" not in nothing


def test_no_disk_at_all_is_no_failure() -> None:
    parsed(draw(Forecast(Plan(()), ()), "title", [], ""))
