"""ESXi hosts with state, reached as vCenter reaches them: esxcli calls on a Unix socket.

`stack` is the physics of adapters, paths and devices, `copies` the vmkfstools processes. What starts them is our own
`script`, run for real in a `sandbox` with `stubs`, or `wrapper`, a model of version 0.3.3. `host` is all together;
`commands` is the table of esxcli commands with `storage`, `plugin` and `software` behind it, `wire` their XML, `server`
the socket.
"""

from tests.lab.esxi.copies import CopyFaults
from tests.lab.esxi.host import OURS, STOCK, EsxiHost
from tests.lab.esxi.server import EsxcliServer
from tests.lab.esxi.stack import Adapter

__all__ = ["OURS", "STOCK", "Adapter", "CopyFaults", "EsxcliServer", "EsxiHost"]
