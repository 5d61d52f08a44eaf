"""The vmkfstools wrapper of one host, called through vCenter as the esxcli plugin `vmkfstools`.

Whether hostd hands on a refusal of the script as its answer or as a fault is not known of every release; both
become the same answer here.
"""

from functools import partial

from vsphere.errors import EsxcliFault, EsxcliNotFound, Setting, WrapperMissing
from vsphere.model import CloneMethod
from vsphere.paths import VmdkPath, encode, refuse_unsafe
from vsphere.ports import Commands, Guard
from vsphere.wrapper.answers import parse_answer
from vsphere.wrapper.contract import POLL_SECONDS, START_SECONDS, STOP_SECONDS, Answer, Version

TRY_VIB = (
    "Install the VIB on the host; where it is installed, restart hostd, which loads plugins when it starts."
)


class Plugin:
    """Satisfies `vsphere.wrapper.contract.Wrapper`, which says what each method promises."""

    method = CloneMethod.VIB

    def __init__(self, esxcli: Commands) -> None:
        self._esxcli = esxcli
        self.host = esxcli.host

    def spell(self, path: VmdkPath, version: Version) -> str:
        if version.decodes:
            return encode(path)
        refuse_unsafe(path)
        return path.host_path

    def version(self) -> Answer:
        return self._call("version", repeat=True)

    def clone(self, source: str, device: str, guard: Guard, limit: int) -> Answer:
        # Over a new connection, so that it cannot be lost in one that vCenter was closing.
        call = partial(
            self._call, seconds=START_SECONDS, fresh=True, guard=guard, sourcevmdk=source, targetlun=device
        )
        return call("cloneLimited", limit=str(limit)) if limit else call("clone")

    def verify(self, source: str, device: str, task: str, samples: str) -> Answer:
        return self._call(
            "verify", POLL_SECONDS, sourcevmdk=source, targetlun=device, id=task, samples=samples
        )

    def task_get(self, task: str) -> Answer:
        return self._call("taskGet", POLL_SECONDS, id=task)

    def task_clean(self, task: str) -> Answer:
        return self._call("taskClean", POLL_SECONDS, repeat=True, id=task)

    def task_stop(self, task: str) -> Answer:
        return self._call("taskStop", STOP_SECONDS, id=task)

    def task_list(self) -> Answer:
        return self._call("taskList", POLL_SECONDS, repeat=True)

    def _call(
        self,
        command: str,
        seconds: float = 30.0,
        *,
        repeat: bool = False,
        fresh: bool = False,
        guard: Guard | None = None,
        **arguments: str,
    ) -> Answer:
        words = f"vmkfstools {command}"
        try:
            if repeat:
                return parse_answer(self._esxcli.ask(words, seconds, guard=guard, **arguments))
            return parse_answer(self._esxcli.run(words, seconds, fresh=fresh, guard=guard, **arguments))
        except EsxcliNotFound as error:
            text = f"Host {self.host} has no vmkfstools plugin loaded."
            raise WrapperMissing(text, TRY_VIB, Setting.PLUGIN) from error
        except EsxcliFault as error:
            answer = Answer("1", error.reason)
            # What hostd itself could not do tells nothing of a task.
            if error.unclear or (
                command in {"verify", "taskGet", "taskStop", "taskClean"} and not answer.facts
            ):
                raise
            return answer

    def close(self) -> None:
        """Do nothing: the session is not ours."""
