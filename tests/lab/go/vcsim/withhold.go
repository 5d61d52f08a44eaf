package main

import (
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// collector is the stock property collector, but for users who lack a privilege: as a real vCenter does, it leaves out
// what they may not read, and says so by NoPermission in the object's missingSet.
type collector struct {
	simulator.PropertyCollector
}

// rule withholds a property, and all below it, of one object, or ("*") of any task: nobody knows its id beforehand.
type rule struct {
	Object    string `json:"object"`
	Path      string `json:"path"`
	Privilege string `json:"privilege"`
}

// The rules are the process's: the simulator makes a new collector, with no fields set, for each session.
var (
	rules      []rule
	rulesMutex sync.Mutex
)

// withhold replaces all rules.
func withhold(all []rule) error {
	rulesMutex.Lock()
	defer rulesMutex.Unlock()
	rules = all
	return nil
}

// RetrievePropertiesEx is found by the simulator by its name.
func (c *collector) RetrievePropertiesEx(ctx *simulator.Context, req *types.RetrievePropertiesEx) soap.HasFault {
	answer := c.PropertyCollector.RetrievePropertiesEx(ctx, req)
	body, ok := answer.(*methods.RetrievePropertiesExBody)
	if !ok || body.Res == nil || body.Res.Returnval == nil {
		return answer
	}
	rulesMutex.Lock()
	defer rulesMutex.Unlock()
	for i := range body.Res.Returnval.Objects {
		object := &body.Res.Returnval.Objects[i]
		for _, rule := range rules {
			if rule.Object == object.Obj.Value || rule.Object == "*" && object.Obj.Type == "Task" {
				rule.apply(object, asked(req, object.Obj.Type))
			}
		}
	}
	return answer
}

// asked returns the properties that were asked for of objects of a type.
func asked(req *types.RetrievePropertiesEx, kind string) (paths []string) {
	for _, spec := range req.SpecSet {
		for _, set := range spec.PropSet {
			if set.Type == kind || set.Type == "ManagedEntity" {
				paths = append(paths, set.PathSet...)
			}
		}
	}
	return paths
}

func (r rule) apply(object *types.ObjectContent, asked []string) {
	shown := object.PropSet[:0]
	for _, property := range object.PropSet {
		if !r.covers(property.Name) {
			shown = append(shown, property)
		}
	}
	object.PropSet = shown
	for _, path := range asked {
		if r.covers(path) {
			object.MissingSet = append(object.MissingSet, types.MissingProperty{
				Path: path,
				Fault: types.LocalizedMethodFault{
					Fault:            &types.NoPermission{Object: &object.Obj, PrivilegeId: r.Privilege},
					LocalizedMessage: "Permission to perform this operation was denied.",
				},
			})
		}
	}
}

func (r rule) covers(path string) bool { return path == r.Path || strings.HasPrefix(path, r.Path+".") }
