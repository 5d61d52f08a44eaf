"""The vmkfstools namespace: how hostd turns arguments into a call of the script, and its XML into an answer."""

from collections.abc import Mapping
from xml.etree import ElementTree

from tests.lab.esxi.host import EsxiHost
from tests.lab.esxi.wire import Structure, failed

_NS = "{http://www.vmware.com/Products/ESX/5.0/esxcli/}"


def clone(host: EsxiHost, arguments: Mapping[str, str]) -> Structure:
    """Start a copy."""
    source = host.wrapper.quoted(arguments["sourcevmdk"])
    target = host.wrapper.quoted(arguments["targetlun"])
    return _run(host, "clone", ["--clone", "-s", source, "-t", target])


def task_get(host: EsxiHost, arguments: Mapping[str, str]) -> Structure:
    """Tell how a copy stands."""
    return _run(host, "taskGet", ["--task-get", "-i", host.wrapper.bare(arguments["id"])])


def task_clean(host: EsxiHost, arguments: Mapping[str, str]) -> Structure:
    """Remove a copy's files."""
    return _run(host, "taskClean", ["--task-clean", "-i", host.wrapper.bare(arguments["id"])])


def version(host: EsxiHost, _arguments: Mapping[str, str]) -> Structure:
    """Tell the script's version."""
    return _run(host, "version", ["--version"])


def _run(host: EsxiHost, command: str, argv: list[str | None]) -> Structure:
    if refusal := host.faults.refuse.get(command):
        return _structure(host, "1", refusal)
    whole = [argument for argument in argv if argument is not None]
    if len(whole) < len(argv):
        raise failed("sh: syntax error: unterminated quoted string")
    stdout, _ = host.wrapper.run(whole)
    try:
        tree = ElementTree.fromstring(stdout)  # noqa: S314 - made by the simulator
    except ElementTree.ParseError as error:
        # The script escapes nothing, so `&` and `<` in paths and messages break its answer.
        raise failed(f"Unable to parse the output of the plugin: {error}") from None
    status, message = (element.text or "" for element in tree.iter(f"{_NS}string"))
    return _structure(host, status, message)


def _structure(host: EsxiHost, status: str, message: str) -> Structure:
    if status != "0" and host.faults.failure_is_fault:
        raise failed(message)
    return Structure("result", {"status": status, "message": message})
