"""The lab: one consistent world on loopback in which the real program does its real work.

A storage network with LUNs of real bytes (`san`), an array that maps them (`arrays`, a folder for each vendor), ESXi
hosts that see a LUN only when it is mapped and they have rescanned since (`esxi`, with `vmkfstools` copying), stock
vcsim as their vCenter (`vcenter`, `go/`), a Kubernetes API (`kube`: a real kube-apiserver with etcd, or a small one
in-process for the demo), and the controller that scrapes (`controller`). Everything speaks TLS of one authority (`pki`)
on ports of its own. In front of vCenter, array and API stand proxies that number each call and can make any of them
fail (`faults`). `world` says what there is, `lab.Lab` puts it together, `program.Program` runs the populator in it as
Forklift would.

The simulators keep state and speak the real protocols: other people's clients may use them (`make lab`), and the
vendors' own clients judge them (`tests/contract`).
"""
