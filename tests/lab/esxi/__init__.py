"""ESXi hosts with state, reached as vCenter reaches them: esxcli calls on a Unix socket.

`stack` is the physics of adapters, paths and devices, `copies` the vmkfstools processes, `wrapper` the script that
starts them, `host` all of it together; `commands` is the table of esxcli commands with `storage`, `plugin` and
`software` behind it, `wire` their XML, `server` the socket.
"""

from tests.lab.esxi.copies import CopyFaults
from tests.lab.esxi.host import EsxiHost
from tests.lab.esxi.server import EsxcliServer
from tests.lab.esxi.stack import Adapter

__all__ = ["Adapter", "CopyFaults", "EsxcliServer", "EsxiHost"]
