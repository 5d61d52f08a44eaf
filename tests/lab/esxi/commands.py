"""The esxcli commands: what they are called, what they take, what they do; and one forwarded call.

`execute` answers one ExecuteSoap as the bridge to vCenter wants it; many may run at once. A call that finds hostd
down, or that is under way when it goes down, is answered HostCommunication, whether or not it had its effect.
Namespaces that are not in the table are passed on to the vCenter simulator. The descriptions of the commands are
made from the same table, so that clients which ask for them first (govmomi, PowerCLI) can use all of it.
Texts of CLI faults for unknown or busy devices were not seen on a real host: nobody should parse them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

from tests.lab.esxi import offload, plugin, software, storage
from tests.lab.esxi.host import Call, EsxiHost
from tests.lab.esxi.wire import (
    NAMESPACES,
    EsxcliFault,
    Result,
    bad_argument,
    failed,
    not_found,
    parse_arguments,
)

INFO = "ha-dynamic-type-manager-local-cli-cliinfo"
Act = Callable[[EsxiHost, Mapping[str, str]], Result]


@dataclass(frozen=True)
class Param:
    """An option: `device|d`, long name and short one; its API name is the long one without hyphens."""

    option: str
    required: bool = False
    one_of: tuple[str, ...] = ()

    @property
    def long(self) -> str:
        """The long name as typed."""
        return self.option.split("|")[0]

    @property
    def name(self) -> str:
        """The name in API calls."""
        return self.long.replace("-", "")

    @property
    def short(self) -> str:
        """The letter."""
        return self.option.split("|")[1]


@dataclass(frozen=True)
class Command:
    """A command of a namespace."""

    act: Act
    params: tuple[Param, ...] = ()
    formatter: str = "simple"
    columns: tuple[str, str] | None = None
    """type of the rows and their fields, as headed in tables; without it a client cannot print one"""


DEVICE = Param("device|d")
THE_DEVICE = Param("device|d", required=True)
TABLE: dict[str, dict[str, Command]] = {
    "storage.core.device": {
        "list": Command(storage.device_list, (DEVICE,), columns=storage.DEVICE_COLUMNS),
        "set": Command(
            storage.device_set, (THE_DEVICE, Param("state|s", required=True, one_of=("on", "off"))), ""
        ),
    },
    "storage.core.device.detached": {
        "list": Command(storage.detached_list, (DEVICE,), "table", storage.DETACHED_COLUMNS),
        "remove": Command(storage.detached_remove, (Param("all|a"), DEVICE), ""),
    },
    "storage.core.device.partition": {
        "list": Command(storage.partition_list, (THE_DEVICE,), "table", storage.PARTITION_COLUMNS)
    },
    "storage.core.device.world": {
        "list": Command(storage.world_list, (DEVICE,), "table", storage.WORLD_COLUMNS)
    },
    "storage.core.device.vaai.status": {
        "get": Command(offload.vaai_status, (DEVICE,), columns=offload.VAAI_COLUMNS)
    },
    "storage.core.claimrule": {
        "list": Command(
            offload.claim_rules,
            (Param("claimrule-class|c", one_of=("MP", "Filter", "VAAI", "all")),),
            "table",
            offload.RULE_COLUMNS,
        )
    },
    "system.settings.advanced": {
        "list": Command(offload.settings, (Param("option|o"),), columns=offload.SETTING_COLUMNS)
    },
    "storage.core.adapter": {
        "list": Command(storage.adapter_list, (), "table", storage.ADAPTER_COLUMNS),
        "rescan": Command(
            storage.rescan,
            (
                Param("adapter|A"),
                Param("all|a"),
                Param("skip-claim|S"),
                Param("skip-fs-scan|F"),
                Param("type|t", one_of=("add", "all", "delete", "update")),
            ),
            "",
        ),
    },
    "storage.vmfs.extent": {"list": Command(storage.vmfs_extents, (), "table", storage.EXTENT_COLUMNS)},
    "storage.core.path": {
        "list": Command(storage.path_list, (DEVICE, Param("path|p")), columns=storage.PATH_COLUMNS)
    },
    "system.version": {"get": Command(software.version, columns=software.VERSION_COLUMNS)},
    "software.vib": {
        "get": Command(software.vib_get, (Param("vibname|n"),), columns=software.VIB_COLUMNS),
        "list": Command(software.vib_list, (), "table", software.SUMMARY_COLUMNS),
    },
    "vmkfstools": {},
}
"""namespace -> commands; those of the plugin are what is installed on the host"""


def execute(host: EsxiHost, request: Mapping[str, Any]) -> dict[str, object]:
    """Answer one forwarded call: response, fault, soapFault or pass."""
    if host.hostd_down:
        return _unreachable()
    down_until = host.hostd_down_until
    try:
        answer = _execute(host, request)
    except EsxcliFault as fault:
        answer = fault.answer()
    return answer if host.hostd_down_until == down_until else _unreachable()


def _execute(host: EsxiHost, request: Mapping[str, Any]) -> dict[str, object]:
    arguments = parse_arguments(request.get("arguments") or ())
    if request["moid"] == INFO:
        namespace = arguments.get("typeName", "").removeprefix("vim.EsxCLI.")
        return {"response": _info(host, namespace)} if namespace in TABLE else {"pass": True}
    namespace, _, name = request["method"].removeprefix("vim.EsxCLI.").rpartition(".")
    if namespace not in TABLE:
        return {"pass": True}
    command = dict(_commands(host, namespace)).get(name)
    if command is None or request["moid"] != "ha-cli-handler-" + namespace.replace(".", "-"):
        raise not_found()
    call = Call(f"{namespace.replace('.', ' ')} {name}", arguments)
    host.calls.append(call)
    _check(command, arguments)
    prefix = "VimEsxCLI" + (namespace + name).replace(".", "")
    instead = host.instead.get(call.command)
    response = (instead() if instead else command.act(host, arguments)).xml(prefix)
    host.publish()
    return {"response": response}


def _check(command: Command, arguments: Mapping[str, str]) -> None:
    known = {param.name: param for param in command.params}
    for name, value in arguments.items():
        if name not in known:
            raise bad_argument(name)
        if known[name].one_of and value not in known[name].one_of:
            raise failed(f"Invalid data constraint for parameter '{name}'.")
    for param in command.params:
        if param.required and not arguments.get(param.name):
            raise failed(f"Missing required parameter -{param.short}|--{param.long}")


def _commands(host: EsxiHost, namespace: str) -> Iterator[tuple[str, Command]]:
    """Yield the commands that this host has: the plugin's depend on what is installed."""
    if namespace == "vmkfstools" and not host.plugin_installed:
        raise not_found()
    yield from TABLE[namespace].items()
    for name, options in host.wrapper.commands.items() if namespace == "vmkfstools" else ():
        if name != "version" or host.plugin_version is not None:
            params = tuple(Param(f"{long}|{short}", required=True) for long, short in options.items())
            yield name, Command(partial(plugin.run, name), params, columns=plugin.COLUMNS)


def _info(host: EsxiHost, namespace: str) -> str:
    methods = "".join(_method(name, command) for name, command in _commands(host, namespace))
    title = namespace.rpartition(".")[2]
    return f'<obj {NAMESPACES} xsi:type="CLIInfoInfo">{_item(namespace, title)}{methods}</obj>'


def _method(name: str, command: Command) -> str:
    params = "".join(
        f"<param>{_item(param.name, param.long)}"
        f"<aliases>-{param.short}</aliases><aliases>--{param.long}</aliases><flag>false</flag></param>"
        for param in command.params
    )
    hints = {"formatter": command.formatter}
    if command.columns:
        kind, fields = command.columns
        hints = {f"fields:{kind}": fields} | hints
    shown = "".join(f"<hints><key>{key}</key><value>{value}</value></hints>" for key, value in hints.items())
    return f"<method>{_item(name, name)}{params}{shown}</method>"


def _item(name: str, shown: str) -> str:
    return (
        f"<name>{escape(name)}</name><displayName>{escape(shown)}</displayName><help>{escape(shown)}</help>"
    )


def _unreachable() -> dict[str, object]:
    return {
        "soapFault": "HostCommunication",
        "message": "Unable to communicate with the remote host, since it is disconnected.",
    }
