"""The script of the vmkfstools plugin, version 0.3.3, to the letter: what it prints, and its weaknesses.

A model of the script and of its plugin: `answer` is what the script prints for a command of the plugin. The script
escapes nothing for XML, and the plugin puts arguments between quotes for a shell: whoever breaks out of them is noted
in `injections` and gets no copy.
"""

import posixpath
import re
import secrets
import threading
import zlib
from collections.abc import Callable, Mapping

from tests.lab.esxi.copies import Copies, Task
from tests.lab.esxi.wire import failed

XML = (
    '<?xml version="1.0" ?>\n<output xmlns="http://www.vmware.com/Products/ESX/5.0/esxcli/">\n'
    '    <structure typeName="result">\n'
    '        <field name="status"><string>{status}</string></field>\n'
    '        <field name="message"><string>{message}</string></field>\n'
    "    </structure>\n</output>\n"
)
ALLOWED = ("/vmfs/volumes/", "/vmfs/devices/disks/", "/tmp/")
_SHELL = re.compile(r"[;&|`$()<>\n'\"\\*?]")


Operation = Callable[[Mapping[str, str]], tuple[str, str]]
"""arguments -> status and message"""
COMMANDS = {
    "clone": {"source-vmdk": "s", "target-lun": "t"},
    "taskGet": {"id": "i"},
    "taskClean": {"id": "i"},
    "version": {},
}
"""of the plugin, with the long and short names of what they take"""


class Stock:
    """The script on one host, and the task directories in the host's /tmp."""

    commands = COMMANDS
    verifications: tuple[str, ...] = ()
    """it knows no comparisons"""

    def __init__(self, copies: Copies) -> None:
        self.copies = copies
        self.version: str | None = "0.3.3"
        self.injections: list[str] = []
        self.tasks: dict[str, Task] = {}
        self._pid = 2_100_000 + zlib.crc32(copies.name.encode()) % 900_000  # no host counts like another
        self._lock = threading.Lock()

    def answer(self, command: str, arguments: Mapping[str, str]) -> str:
        """Return what the script prints; raise for arguments that break out of the plugin's quotes."""
        # The id stands on the command line without quotes, the paths between single ones.
        broken = [
            value
            for name, value in arguments.items()
            if (_SHELL.search(value) if name == "id" else "'" in value)
        ]
        if broken:
            self.injections += broken
            raise failed("sh: syntax error: unterminated quoted string")
        operations: dict[str, Operation] = {
            "clone": self._clone,
            "taskGet": self._task_get,
            "taskClean": self._task_clean,
            "version": lambda _: ("0", f'{{"version":"{self.version}"}}'),
        }
        status, message = operations[command](arguments)
        return XML.format(status=status, message=message)

    def power_off(self) -> None:
        """Do nothing: the copies are all that runs."""

    def reboot(self) -> None:
        """Lose what is in memory."""
        self.tasks.clear()

    def close(self) -> None:
        """Do nothing; see `power_off`."""

    def _clone(self, options: Mapping[str, str]) -> tuple[str, str]:
        source, target = options["sourcevmdk"], options["targetlun"]
        for path in (source, target):
            if problem := _path_problem(path):
                return "1", f"Path validation error: {problem}: {path}"
        naa = posixpath.basename(posixpath.normpath(target))
        with self._lock:
            self._pid += 7
            task = Task(_uuid(), self._pid, source, f"{source}-rdmdisk-{self._pid}", naa)
            self.tasks[task.id] = task
        self.copies.start(task)
        return "0", f'{{"taskId": "{task.id}", "pid": {task.pid}, "xcopyUsed": false}}'

    def _task_get(self, options: Mapping[str, str]) -> tuple[str, str]:
        task = self.tasks.get(options["id"])
        if not task:
            return "1", _error(options["id"], "Task not found")
        alive = task.alive
        exitcode = task.exitcode or ("" if alive else "1")  # a killed shell never wrote the file
        facts = f'"lastLine": "{_json(_last_line(task.out))}", "xcopyUsed": {self._xcopy_used(task)}'
        head = f'"taskId": "{task.id}", "pid": {task.pid}, "exitCode": "{exitcode}"'
        return "0", f'{{{head}, {facts}, "stdErr": "{_json(task.err)}"}}'

    def _task_clean(self, options: Mapping[str, str]) -> tuple[str, str]:
        with self._lock:
            task = self.tasks.pop(options["id"], None)
        if not task:
            return "1", _error(options["id"], "Task not found")
        self.copies.remove_mapping(task)  # the copy itself is not ended
        return "0", ""

    def _xcopy_used(self, task: Task) -> str:
        if self.copies.xcopy is None or task.device not in self.copies.stack.devices:
            return "null"
        return "true" if self.copies.clone_write_ops[task.device] else "false"


def _path_problem(path: str) -> str:
    if ".." in path:
        return "Invalid path detected"
    return "" if posixpath.normpath(path).startswith(ALLOWED) else "Path not in allowed directories"


def _uuid() -> str:
    digits = secrets.token_hex(16)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _last_line(out: str) -> str:
    """Return what follows the last line end of the final 4096 bytes; a `\\r` at the very end leaves nothing."""
    return out[-4096:].removesuffix("\n").replace("\r", "\n").rsplit("\n", 1)[-1]


def _json(text: str) -> str:
    for char, escaped in (
        ("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"),
        ("\r", "\\r"), ("\b", "\\b"), ("\f", "\\f"),
    ):  # fmt: skip
        text = text.replace(char, escaped)
    return text


def _error(task_id: str, text: str) -> str:
    return f'{{"taskId": "{task_id}", "stdErr": "{text}", "xcopyUsed": false}}'
