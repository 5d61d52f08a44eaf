"""What a script's output means, ours and the stock one's: the answer first, then the exit status. No host."""

import pytest

from tests.lab.esxi.wrapper import XML
from vsphere.host.ssh import Output
from vsphere.wrapper.by_ssh import parse_output
from vsphere.wrapper.contract import Answer


def stock(status: str, message: str) -> str:
    return XML.format(status=status, message=message)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (Output(0, stock("0", '{"version":"0.3.3"}'), ""), Answer("0", '{"version":"0.3.3"}')),
        (Output(0, stock("0", ""), ""), Answer("0", "")),  # a good task-clean says nothing
        (Output(1, stock("1", "Unknown option: x"), ""), Answer("1", "Unknown option: x")),
        (Output(1, stock("28", "low free space"), ""), Answer("28", "low free space")),
        (Output(1, stock("1", "Path validation error: /a & <b>"), ""), Answer("1", "Path validation error: /a & <b>")),
        (Output(0, "", stock("0", "on the other stream")), Answer("0", "on the other stream")),
        (Output(0, f"motd\n{stock('0', 'x')}bye", "warning"), Answer("0", "x")),
        (Output(0, stock("0", "a\nb"), ""), Answer("0", "a\nb")),
        (Output(0, stock("0", "&lt;&amp;"), ""), Answer("0", "<&")),
    ],
)  # fmt: skip
def test_an_answer_is_read_whatever_is_around_it(output: Output, answer: Answer) -> None:
    assert parse_output(output) == answer


@pytest.mark.parametrize(
    "output",
    [
        Output(0, "", ""),  # --clone without its options, by the stock script
        Output(1, "", ""),  # an option without a value at the end
        Output(0, "0.3.3\n", ""),
        Output(0, "SSH_OK\n", ""),
        Output(0, stock("", "no status"), ""),
        Output(2, "", "usage: secure-vmkfstools-wrapper.py [-h]"),
        Output(0, "<output>", ""),
    ],
)
def test_no_answer_is_none(output: Output) -> None:
    assert parse_output(output) is None
