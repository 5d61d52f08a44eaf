"""The vSphere XCOPY volume populator: one disk of a VM onto one Kubernetes volume, by the array itself.

How it hangs together, in the order in which one disk meets it::

    cli  ->  settings  ->  process  ->  wiring  ->  populate          the story: read this one first
                             |                        |
                             |   volume   PVC -> prime PVC -> PV -> volume handle        (Kubernetes)
                             |   writer   one writer for a volume, by a Lease            (Kubernetes)
                             |   storage  volume handle -> LUN; group; mapping           (array)
                             |   vsphere  VM -> disk and host; device; vmkfstools clone  (vCenter, ESXi)
                             |   lease    two slots per ESXi host                        (Kubernetes)
                             |   undo     whatever was changed is put back, newest first
                             |
                             +-- metrics, report, log, clock: what is told to whom, and when it has to end

Beside that, `populator vib` brings the package of `vsphere/esxi` onto hosts: `cli/vib`, `fleet_settings`, `fleet` (many
hosts at a time), `vsphere/esxi/installer` (one host: look, `decision`, act by `software`, make sure), `vsphere/ssh`.

Directions: `populate` sees contracts and values only; `wiring` alone knows which real part stands behind which;
`vsphere` and `lease` know neither each other nor this package; vendors below `storage` do not know each other.
Each foreign library has one door, where its errors become ours: pyVmomi `vsphere/soap.py` (`esxcli.py` adds
types to it), kubernetes `lease/library.py`, requests `storage/http.py` with `proxy.py`, tenacity `retry.py`, click
`cli`, paramiko `vsphere/ssh.py` with `ssh_keys.py`, time `clock.py`, names `resolver.py`. What a failure is worth as
exit code and reason stands in `report.py`.

Words: *volume* is the Kubernetes side, *LUN* the array's, *device* ESXi's, *disk* the virtual machine's. A *slot*
is one of the two Lease objects of a host; who holds one (`Held`) may shake the host: rescan, clone, detach. A
*mapping* makes a LUN visible to a *group* of a host's initiators under a *LUN id*. *Undo* puts the world back in order.
"""

__version__ = "0.1.0"
