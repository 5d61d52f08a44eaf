package main

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// kernelModules are the modules of one host, of which one has options: PowerFlex's client.
type kernelModules struct {
	mo.HostKernelModuleSystem
	guid string
}

// loadModule gives a host the client with this GUID.
func (b *builder) loadModule(host *simulator.HostSystem, guid string) {
	ref := types.ManagedObjectReference{Type: "HostKernelModuleSystem", Value: "kernelModuleSystem-" + host.Self.Value}
	modules := &kernelModules{guid: guid}
	modules.Self = ref
	host.ConfigManager.KernelModuleSystem = &ref
	b.ctx.Map.Put(modules)
}

// QueryConfiguredModuleOptionString is found by the simulator by its name.
func (k *kernelModules) QueryConfiguredModuleOptionString(
	ctx *simulator.Context, req *types.QueryConfiguredModuleOptionString,
) soap.HasFault {
	body := new(methods.QueryConfiguredModuleOptionStringBody)
	if req.Name != "scini" || k.guid == "" {
		body.Fault_ = simulator.Fault("there is no such module", new(types.NotFound))
		return body
	}
	body.Res = &types.QueryConfiguredModuleOptionStringResponse{
		Returnval: fmt.Sprintf("IoctlIniGuidStr=%s IoctlMdmIPStr=192.0.2.1,192.0.2.2", k.guid),
	}
	return body
}
