package main

import (
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// hostClock is a host's date and time, which stock vcsim does not have; it may be wrong by an offset.
type hostClock struct {
	mo.HostDateTimeSystem
	offset atomic.Int64
}

// addClock gives a host a clock that is right.
func addClock(ctx *simulator.Context, host *simulator.HostSystem) {
	clock := new(hostClock)
	clock.Self = clockOf(host)
	host.ConfigManager.DateTimeSystem = &clock.Self
	ctx.Map.Put(clock)
}

func clockOf(host *simulator.HostSystem) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "HostDateTimeSystem", Value: "dateTimeSystem-" + host.Self.Value}
}

// QueryDateTime is found by the simulator by its name.
func (c *hostClock) QueryDateTime(*types.QueryDateTime) soap.HasFault {
	now := time.Now().Add(time.Duration(c.offset.Load()))
	return &methods.QueryDateTimeBody{Res: &types.QueryDateTimeResponse{Returnval: now.UTC()}}
}
