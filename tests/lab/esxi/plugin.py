"""The vmkfstools namespace: hands a command to the host's wrapper, and makes hostd's answer of the XML it prints."""

from collections.abc import Mapping
from xml.etree import ElementTree

from tests.lab.esxi.host import EsxiHost
from tests.lab.esxi.wire import Structure, failed

COLUMNS = "result", "status,message"
_NS = "{http://www.vmware.com/Products/ESX/5.0/esxcli/}"


def run(command: str, host: EsxiHost, arguments: Mapping[str, str]) -> Structure:
    """Run a command of the plugin."""
    if refusal := host.faults.refuse.get(command):
        return _structure(host, "1", refusal)
    try:
        tree = ElementTree.fromstring(host.wrapper.answer(command, arguments))  # noqa: S314 - of our own lab
    except ElementTree.ParseError as error:
        # Version 0.3.3 escapes nothing, so `&` and `<` in paths and messages break its answer.
        raise failed(f"Unable to parse the output of the plugin: {error}") from None
    status, message = (element.text or "" for element in tree.iter(f"{_NS}string"))
    return _structure(host, status, message)


def _structure(host: EsxiHost, status: str, message: str) -> Structure:
    if status != "0" and host.faults.failure_is_fault:
        raise failed(message)
    return Structure("result", {"status": status, "message": message})
