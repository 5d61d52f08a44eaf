"""The vSphere XCOPY volume populator: one disk of a VM onto one Kubernetes volume, by the array itself.

How it hangs together, in the order in which one disk meets it::

    cli  ->  settings  ->  process  ->  wiring  ->  stories/populate     the story: read it first,
                             |                        |         then xcopy (a host copies), array_copy (the array does)
                             |                        |
                             |   plan     PVC -> prime PVC -> PV -> volume handle        (Kubernetes)
                             |   writer   one writer for a volume, by a Lease            (Kubernetes)
                             |   storage  volume handle -> LUN; group; mapping           (array)
                             |   vsphere  VM -> disk and host; device; vmkfstools clone  (vCenter, ESXi)
                             |   lease    two slots per ESXi host                        (Kubernetes)
                             |   undo     whatever was changed is put back, newest first
                             |
                             +-- report, log, clock: what is published, and where, and when it has to end

Beside that, `populator vib` brings the wrapper as a package onto hosts: `cli/vib`, `settings/fleet`, `stories/fleet`
(many hosts at a time; `wiring_fleet` has its parts), `vsphere/vib/installer` (one host: look, `decision`, act by
`software`, make sure).

`populator preflight` looks, before anything is touched, at all that a populate depends on: `stories/preflight` and its
three parts ask for looks by `stories/looks` (`wiring_preflight` has them, on the look-ups of a populate), `preflight`
says what each means, `cli/preflight_page` prints it.

Directions: `stories` see contracts and values only, and ask for what they need by `stories/parts`; `wiring` alone knows
which real part stands behind which, builds each on its first use, and closes it at the end (`reach` has the ways out);
`vsphere` and `lease` know neither each other nor this package; vendors below `storage` do not know each other.
Each foreign library has one door, where its errors become ours: pyVmomi `vsphere/vcenter/soap.py` (`host/esxcli.py`
adds types to it), kubernetes `lease/kube/library.py`, requests `storage/http.py` with `storage/tls.py`,
`storage/failures.py` and `proxy.py`, tenacity `retry.py`, click `cli`, paramiko `vsphere/host/ssh.py` with
`ssh_keys.py`, time `clock.py`, names `resolver.py`. Exit code and reason of each failure stand in `report/outcome.py`.

Words: *volume* is the Kubernetes side, *LUN* the array's, *device* ESXi's, *disk* the virtual machine's. A *slot*
is one of the two Lease objects of a host; its holder (`Held`) may do what is disruptive to the host: rescan, clone,
detach. A *mapping* makes a LUN visible to a *group* of a host's initiators under a *LUN id*. *Undo* puts the world
back in order.
"""

__version__ = "0.1.0"
