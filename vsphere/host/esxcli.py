"""esxcli commands of one host, run through vCenter: one SOAP call for each.

The command line's words become a call of hostd's reflection API, which pyVmomi has no types for; they are
registered here. Parameter names are the long options without their hyphens, and values are XML, escaped here.
No command description is fetched first, unlike what generic clients do: the commands used here are known.
"""

import logging
import threading
from functools import cache
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from vsphere.errors import EsxcliFault, EsxcliNotFound, Unreachable, Unreadable, VcenterFault
from vsphere.ports import Guard
from vsphere.vcenter.session import DEFAULT_SECONDS, Session
from vsphere.vcenter.soap import pyvmomi

log = logging.getLogger(__name__)

Row = dict[str, str]
V1 = "vim.version.version1"
_REGISTERING = threading.Lock()
"""pyVmomi refuses to be taught a method twice, as by two threads at once"""
SCHEMA_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def register_types() -> Any:
    """Teach pyVmomi the reflection API; return the method infos of RetrieveManagedMethodExecuter and ExecuteSoap."""
    with _REGISTERING:
        return _register_types()


@cache
def _register_types() -> Any:
    from pyVmomi.VmomiSupport import (  # noqa: PLC0415 - as late as pyVmomi itself
        F_OPTIONAL,
        CreateDataType,
        CreateManagedType,
        GetVmodlType,
    )

    def data(name: str, *fields: tuple[str, str, int]) -> None:
        properties = [(field, kind, V1, flags) for field, kind, flags in fields]
        CreateDataType(
            f"vim.reflect.{name}", f"ReflectManagedMethodExecuter{name}", "vmodl.DynamicData", V1, properties
        )

    data("SoapArgument", ("name", "string", 0), ("val", "string", 0))
    data("SoapFault", ("faultMsg", "string", 0), ("faultDetail", "string", F_OPTIONAL))
    data("SoapResult", ("response", "string", F_OPTIONAL), ("fault", "vim.reflect.SoapFault", F_OPTIONAL))
    words = [(word, "string", V1, 0, None) for word in ("moid", "version", "method")]
    arguments = ("argument", "vim.reflect.SoapArgument[]", V1, F_OPTIONAL, None)
    result = (F_OPTIONAL, "vim.reflect.SoapResult", "vim.reflect.SoapResult")
    execute = ("executeSoap", "ExecuteSoap", V1, (*words, arguments), result, "System.Read", None)
    executer = (F_OPTIONAL, "vmodl.ManagedObject", "vmodl.ManagedObject")
    retrieve = ("retrieve", "RetrieveManagedMethodExecuter", V1, (), executer, "System.Read", None)
    # vCenter and vcsim name the type of the reference differently, and a wsdl method may be registered once.
    for name, wsdl, methods in (
        ("vim.reflect.Executer", "ReflectManagedMethodExecuter", [execute]),
        ("vim.reflect.SimulatorExecuter", "ManagedMethodExecuter", None),
        ("vim.reflect.Host", "ReflectHost", [retrieve]),
    ):
        CreateManagedType(name, wsdl, "vmodl.ManagedObject", V1, None, methods)
    return (
        GetVmodlType("vim.reflect.Host").Retrieve.info,
        GetVmodlType("vim.reflect.Executer").ExecuteSoap.info,
    )


class Esxcli:
    """The esxcli of one host."""

    def __init__(self, session: Session, host_id: str, host_name: str = "") -> None:
        self._session = session
        self._host = session.reference("HostSystem", host_id)
        self._executer: Any = None
        self.host = host_name or host_id

    def ask(
        self,
        command: str,
        seconds: float = DEFAULT_SECONDS,
        *,
        guard: Guard | None = None,
        **arguments: str,
    ) -> list[Row]:
        """Run a command that may be run twice; made again while vCenter or the host is away for a moment.

        Raises `EsxcliNotFound` where the host does not know it, `EsxcliFault` where it fails.
        """
        return self._session.read(lambda: self._run(command, arguments, seconds, guard, fresh=False))

    def run(
        self,
        command: str,
        seconds: float = DEFAULT_SECONDS,
        *,
        fresh: bool = False,
        guard: Guard | None = None,
        **arguments: str,
    ) -> list[Row]:
        """Run a command once, as `storage core device list`; the error's `unclear` says if it may have been done."""
        with self._session.finishing():
            return self._run(command, arguments, seconds, guard, fresh=fresh)

    def _run(
        self, command: str, arguments: Row, seconds: float, guard: Guard | None, *, fresh: bool
    ) -> list[Row]:
        try:
            result = self._execute(self._ready(), command, arguments, seconds, guard, fresh=fresh)
        except VcenterFault as fault:
            # The reference may have died with the session that fetched it.
            if fault.name != "ManagedObjectNotFound":
                raise
            self._executer = None
            result = self._execute(self._ready(), command, arguments, seconds, guard, fresh=fresh)
        if result is not None and result.fault is not None:
            raise self._explain(command, result.fault.faultMsg, result.fault.faultDetail or "")
        response = result.response if result is not None else ""
        return (
            parse_list(command, response or "") if command.endswith(" list") else parse_rows(response or "")
        )

    def _ready(self) -> Any:
        """Return the executer of this host; where that fails, the command was not sent."""
        if self._executer is None:
            retrieve, _ = register_types()
            try:
                self._executer = self._session.read(lambda: self._session.invoke(self._host, retrieve))
            except Unreachable as error:
                raise Unreachable(error.text, error.hint, error.setting, sent=False) from error
        return self._executer

    def _execute(
        self, executer: Any, command: str, arguments: Row, seconds: float, guard: Guard | None, *, fresh: bool
    ) -> Any:
        namespace = command.split()[:-1]
        argument = pyvmomi().VmomiSupport.GetVmodlType("vim.reflect.SoapArgument")
        values = [
            argument(name=name, val=f'<{name} xmlns="urn:vim25">{escape(value)}</{name}>')
            for name, value in arguments.items()
        ]
        words = (
            f"ha-cli-handler-{'-'.join(namespace)}",
            "urn:vim25/5.0",
            f"vim.EsxCLI.{'.'.join(command.split())}",
            values,
        )
        _, execute = register_types()
        return self._session.call(
            lambda: self._session.invoke(executer, execute, *words), seconds, fresh=fresh, guard=guard
        )

    def _explain(self, command: str, message: str, detail: str) -> EsxcliFault:
        """Translate a fault that the host answered with."""
        kind, reasons = parse_fault(detail)
        reason = " ".join(reasons or [" ".join(message.split())])
        log.debug("esxcli %s on %s: %s %s", command, self.host, kind, reason)
        if kind.endswith("NotFound") or "object or item referred to could not be found" in message:
            return EsxcliNotFound(
                f"Host {self.host} does not know the command 'esxcli {command}'.",
                "Where a VIB brings it: install the VIB, and restart hostd.",
                reason=reason,
                unclear=False,
            )
        failed = kind.endswith("CLIFault") and "timed out" not in reason.lower()
        return EsxcliFault(
            f"'esxcli {command}' failed on host {self.host}: {reason}",
            "Try that command on the host, and look at its hostd.log.",
            reason=reason,
            unclear=not failed,
        )


def parse_list(command: str, xml: str) -> list[Row]:
    """Return the rows of a list; an answer that is no list does not mean that there are none."""
    rows = parse_rows(xml)
    if not rows and not (xml and _parse(xml).get(SCHEMA_TYPE, "").startswith("ArrayOf")):
        raise Unreadable(f"A host's answer to 'esxcli {command}' is no list.", f"{xml[:200]}")
    return rows


def parse_rows(xml: str) -> list[Row]:
    """Return what a command printed, a row for each object; a field of several values has them comma-separated."""
    if not xml:
        return []
    root = _parse(xml)
    objects = root.findall("{*}DataObject")
    if not objects:
        objects = [root] if len(root) else []
    return [_row(item) for item in objects]


def parse_fault(detail: str) -> tuple[str, list[str]]:
    """Return a fault's type and the host's own words (`errMsg`)."""
    if not detail.strip():
        return "", []
    root = _parse(detail)
    kind = root.get(SCHEMA_TYPE, root.tag).rpartition(":")[2].rpartition("}")[2]
    return kind, [
        " ".join(words)
        for element in root.iter()
        if _name(element) == "errMsg" and (words := (element.text or "").split())
    ]


def _row(element: ElementTree.Element) -> Row:
    fields: dict[str, list[str]] = {}
    for field in element:
        values = [inner.text or "" for inner in field] if len(field) else [field.text or ""]
        fields.setdefault(_name(field), []).extend(values)
    return {name: ",".join(values) for name, values in fields.items()}


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _parse(xml: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(xml)  # noqa: S314 - from an authenticated vCenter; expat bounds entity expansion
    except ElementTree.ParseError as error:
        raise Unreadable("A host's answer to an esxcli command is not XML.", f"{error}") from error
