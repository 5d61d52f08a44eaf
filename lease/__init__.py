"""The host lease: at most so many holders per ESXi host, by Lease objects of Kubernetes as slots.

What it promises: at most one holder per slot at any version of the record, since every write names the version it
replaces; a slot whose holder died is free again once its promise has expired, under any offset of clocks; a slot that
is released is taken by a waiter at once; a holder knows when it can no longer be certain, before others may go on.

What it does not promise: that actions exclude each other. A holder that is stopped or cut off may have a command under
way on a host that knows nothing of leases; there is no fencing. So it protects the stability of a host, not data:
data are safe because each LUN has one writer and the result is checked.

It needs get, list, watch, create and update of leases in one namespace. Other programs that follow the rules of a Lease
(client-go's, or renewTime plus duration) may share the slots.

A slot is held from the first step of the work to its end (`throughout.CopyLock`), or for each step alone
(`stepwise.StepLock`); either way a step is done inside a context of what `hold` gives, so the work need not know which
it is. Both are made of `hostlock.HostLock`.

`hostlock` holds and lets steps begin; `waiting` queues, and `glance` looks whether that is still needed; `renewal`
keeps what was had, and gives it back; `slots` makes the calls; `decision` has the rules for one slot, `crowd` those for
many waiters, and `record` the format, all pure; `overview` is for onlookers; `kube` is the door to Kubernetes, which
the rest of a program may use, too.
"""
