"""The vmkfstools wrapper of one host, called over SSH as the script that the host's key line starts from a datastore.

Works with our script and the stock one (0.3.x), by our key line and the stock one. The stock script takes the
command line apart at blanks and lets the shell expand it, so names that would not survive that are refused; ours is
told them percent-encoded. The answer is read before the exit code, which says less.
"""

import re
from xml.etree import ElementTree

from vsphere.errors import Setting, Unreadable, VsphereError, WrapperMissing, is_passing
from vsphere.host.ssh import Output, Ssh
from vsphere.model import CloneMethod
from vsphere.paths import VmdkPath, encode, refuse_unsafe
from vsphere.ports import Guard, Retry
from vsphere.wrapper.contract import POLL_SECONDS, STOP_SECONDS, Answer, Version
from vsphere.wrapper.key_line import REFUSAL, RENAME

SPLIT = {" ": "a blank", "*": "an asterisk", "?": "a question mark", "[": "an opening bracket"}
"""what the stock script loses beyond what `refuse_unsafe` names: it expands its command line without quotes"""
UNSAFE_DATASTORE = frozenset(";/'\"\\$`*?")
"""the semicolon ends the name in a request; the others mean something to a stock key line, which does not quote"""
NAMESPACE = "{http://www.vmware.com/Products/ESX/5.0/esxcli/}"
RENEW = "Renew the host's key line."
NOT_THERE = ("no such file", "can't open", "cannot open", "not found")
"""a shell's words for a script that is not there, in lower case"""


class Script:
    """Satisfies `vsphere.wrapper.contract.Wrapper`, which says what each method promises.

    The connection is its own from now on.
    """

    method = CloneMethod.SSH

    def __init__(self, ssh: Ssh, datastore: str, retry: Retry) -> None:
        """`datastore` has the script; raises where its name cannot be told to the host safely."""
        if set(datastore) & UNSAFE_DATASTORE or not datastore.isprintable() or not datastore.strip("."):
            raise VsphereError(
                f"Datastore {datastore!r} cannot be used by the SSH method because of its name.",
                RENAME,
                Setting.CLONE_METHOD,
            )
        self._ssh = ssh
        self.datastore = datastore
        self._retry = retry
        self.host = ssh.login.host

    def spell(self, path: VmdkPath, version: Version) -> str:
        if version.decodes:
            return encode(path)
        refuse_unsafe(path)
        for character, name in SPLIT.items():
            if character in path.host_path:
                raise VsphereError(
                    f"The disk {str(path)!r} cannot be copied by the host's script: it has {name} in its name.",
                    f"Let the host run this program's script (version {version.number or 'unknown'} runs there), or "
                    "rename the datastore or folder.",
                )
        return path.host_path

    def version(self) -> Answer:
        return self._retry(lambda: self._call("--version"), is_passing)

    def clone(self, source: str, device: str, guard: Guard, limit: int) -> Answer:
        return self._call(f"--clone -s {source} -t {device}{f' -l {limit}' if limit else ''}", guard=guard)

    def verify(self, source: str, device: str, task: str, samples: str) -> Answer:
        return self._call(f"--verify -s {source} -t {device} -i {task} -n {samples}", POLL_SECONDS)

    def task_get(self, task: str) -> Answer:
        return self._call(f"--task-get -i {task}", POLL_SECONDS)

    def task_clean(self, task: str) -> Answer:
        return self._retry(lambda: self._call(f"--task-clean -i {task}", POLL_SECONDS), is_passing)

    def task_stop(self, task: str) -> Answer:
        return self._call(f"--task-stop -i {task}", STOP_SECONDS)

    def task_list(self) -> Answer:
        return self._retry(lambda: self._call("--task-list", POLL_SECONDS), is_passing)

    def ask_key_line(self, operation: str) -> str:
        """Return what the host's key line itself says to an operation without a datastore."""
        output = self._retry(lambda: self._ssh.run(f"DS=;CMD={operation}"), is_passing)
        return (output.stdout + output.stderr).strip()

    def close(self) -> None:
        self._ssh.close()

    def _call(self, command: str, seconds: float | None = None, guard: Guard | None = None) -> Answer:
        output = self._ssh.run(
            f"DS={self.datastore};CMD={command}", seconds=self._shorter(seconds), guard=guard
        )
        answer = parse_output(output)
        if answer is None:
            raise self._unreadable(output)
        if answer.status != "0" and answer.message.startswith(REFUSAL):
            raise WrapperMissing(
                f"Host {self.host} does not start the script ({answer.message}).", RENEW, Setting.KEY_LINE
            )
        return answer

    def _shorter(self, seconds: float | None) -> float | None:
        return seconds and min(seconds, self._ssh.seconds)

    def _unreadable(self, output: Output) -> VsphereError:
        said = " ".join((output.stdout + output.stderr).split())[:200] or "nothing"
        if output.status != 0 and any(words in said.lower() for words in NOT_THERE):
            return WrapperMissing(
                f"Host {self.host} does not find the script on datastore {self.datastore!r} ({said}).",
                "See whether the host has that datastore mounted, and secure-vmkfstools-wrapper in its root.",
            )
        return Unreadable(
            f"The script on host {self.host} gave no answer that can be read (exit status {output.status}: {said}).",
            RENEW,
            Setting.KEY_LINE,
        )


def parse_output(output: Output) -> Answer | None:
    """Read the answer from what a command printed; None where there is none."""
    fields = _fields(output.stdout) or _fields(output.stdout + output.stderr)
    status = fields.get("status", "").strip()
    return Answer(status, fields.get("message", "").strip()) if status else None


def _fields(text: str) -> dict[str, str]:
    start, end = text.find("<output"), text.rfind("</output>")
    if start < 0 or end < 0:
        return {}
    try:
        tree = ElementTree.fromstring(text[start : end + len("</output>")])  # noqa: S314 - no entities: cut above
    except ElementTree.ParseError:
        # The stock script escapes nothing, so a path or message with & or < in it is no XML.
        return dict(re.findall(r'<field name="(\w+)"><string>(.*?)</string></field>', text, re.DOTALL))
    return {
        field.get("name", ""): field.findtext(f"{NAMESPACE}string") or ""
        for field in tree.iter(f"{NAMESPACE}field")
    }
