package main

import (
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// authorization is the stock authorization manager, but for users who lack a privilege somewhere: stock vcsim grants
// everything to everybody.
type authorization struct {
	simulator.AuthorizationManager
}

// denial is a privilege that the user lacks on an object.
type denial struct {
	Object    string `json:"object"`
	Privilege string `json:"privilege"`
}

var (
	denials      []denial
	denialsMutex sync.Mutex
)

// deny replaces all denials.
func deny(all []denial) error {
	denialsMutex.Lock()
	defer denialsMutex.Unlock()
	denials = all
	return nil
}

func denied(object, privilege string) bool {
	denialsMutex.Lock()
	defer denialsMutex.Unlock()
	return slices.Contains(denials, denial{object, privilege})
}

// HasPrivilegeOnEntities is found by the simulator by its name. As on a real vCenter it takes System.Read to ask.
func (*authorization) HasPrivilegeOnEntities(req *types.HasPrivilegeOnEntities) soap.HasFault {
	const read = "System.Read"
	var answer []types.EntityPrivilege
	for _, entity := range req.Entity {
		if denied(entity.Value, read) {
			return &methods.HasPrivilegeOnEntitiesBody{Fault_: lacking(entity, read)}
		}
		privileges := types.EntityPrivilege{Entity: entity}
		for _, id := range req.PrivId {
			privileges.PrivAvailability = append(privileges.PrivAvailability, types.PrivilegeAvailability{
				PrivId: id, IsGranted: !denied(entity.Value, id),
			})
		}
		answer = append(answer, privileges)
	}
	return &methods.HasPrivilegeOnEntitiesBody{Res: &types.HasPrivilegeOnEntitiesResponse{Returnval: answer}}
}

// lacking is what vCenter answers to a call for which the user lacks a privilege.
func lacking(object types.ManagedObjectReference, privilege string) *soap.Fault {
	return simulator.Fault(
		"Permission to perform this operation was denied.",
		&types.NoPermission{Object: &object, PrivilegeId: privilege},
	)
}

// privilegesOf returns what an esxcli call takes on its host: one for all of them, and one more for what changes storage.
func privilegesOf(method string) []string {
	needed := []string{"Global.Settings"}
	if strings.HasPrefix(method, "vim.EsxCLI.storage.core.") && !strings.HasSuffix(method, "list") &&
		!strings.HasSuffix(method, "get") {
		needed = append(needed, "Host.Config.Storage")
	}
	return needed
}
