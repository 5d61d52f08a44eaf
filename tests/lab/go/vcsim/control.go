package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// hostChange is what a test may do to a host while the simulator runs; what is nil stays.
type hostChange struct {
	Host              string                           `json:"host"`
	BootTime          *time.Time                       `json:"bootTime"`
	BootTimeUnknown   bool                             `json:"bootTimeUnknown"`
	ConnectionState   *types.HostSystemConnectionState `json:"connectionState"`
	InMaintenanceMode *bool                            `json:"inMaintenanceMode"`
	ClockOffset       *float64                         `json:"clockOffset"` // seconds
}

// vmChange is the same for a VM.
type vmChange struct {
	VM              string                               `json:"vm"`
	ConnectionState *types.VirtualMachineConnectionState `json:"connectionState"`
	PowerState      *types.VirtualMachinePowerState      `json:"powerState"`
}

// control serves POST /host, /vm, /withhold, /deny and /expire on a Unix socket until the returned function is called.
func control(socket string, model *simulator.Model) (func(), error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /host", handle(func(change hostChange) error { return changeHost(model, change) }))
	mux.HandleFunc("POST /vm", handle(func(change vmChange) error { return changeVM(model, change) }))
	mux.HandleFunc("POST /withhold", handle(withhold))
	mux.HandleFunc("POST /deny", handle(deny))
	mux.HandleFunc("POST /expire", func(w http.ResponseWriter, _ *http.Request) { reply(w, expire(model)) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("control socket: %s", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}

// handle reads a request's JSON and does with it what is to be done.
func handle[T any](act func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request T
		err := json.NewDecoder(r.Body).Decode(&request)
		if err == nil {
			err = act(request)
		}
		reply(w, err)
	}
}

func reply(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func changeHost(model *simulator.Model, change hostChange) error {
	ref := types.ManagedObjectReference{Type: "HostSystem", Value: change.Host}
	host, ok := model.Map().Get(ref).(*simulator.HostSystem)
	if !ok {
		return fmt.Errorf("no host %q", change.Host)
	}
	var changes []types.PropertyChange
	set := func(property string, value any) {
		changes = append(changes, types.PropertyChange{Name: "runtime." + property, Val: value})
	}
	if change.BootTimeUnknown { // the simulator's own update cannot take a value away
		ctx := &simulator.Context{Context: model.Service.Context.Context, Map: model.Map()}
		ctx.WithLock(host, func() { host.Runtime.BootTime = nil })
		return nil
	}
	if change.ClockOffset != nil {
		clock := model.Map().Get(clockOf(host)).(*hostClock)
		clock.offset.Store(int64(*change.ClockOffset * float64(time.Second)))
		return nil
	}
	if change.BootTime != nil {
		set("bootTime", change.BootTime)
	}
	if change.ConnectionState != nil {
		set("connectionState", *change.ConnectionState)
	}
	if change.InMaintenanceMode != nil {
		set("inMaintenanceMode", *change.InMaintenanceMode)
	}
	return update(model, host, changes)
}

func changeVM(model *simulator.Model, change vmChange) error {
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: change.VM}
	vm, ok := model.Map().Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return fmt.Errorf("no VM %q", change.VM)
	}
	var changes []types.PropertyChange
	if change.ConnectionState != nil {
		changes = append(changes, types.PropertyChange{Name: "runtime.connectionState", Val: *change.ConnectionState})
	}
	if change.PowerState != nil {
		changes = append(changes, types.PropertyChange{Name: "runtime.powerState", Val: *change.PowerState})
	}
	return update(model, vm, changes)
}

func update(model *simulator.Model, object mo.Reference, changes []types.PropertyChange) error {
	if len(changes) == 0 {
		return errors.New("nothing to change")
	}
	// A context of our own: the simulator's locks are held by context, and requests run beside us.
	ctx := &simulator.Context{Context: model.Service.Context.Context, Map: model.Map()}
	model.Map().AtomicUpdate(ctx, object, changes)
	return nil
}

// expire ends every session. The next call of each gives NotAuthenticated, but RetrieveProperties(Ex), which as on a
// real vCenter answers, with the same fault in the missingSet of each object.
func expire(model *simulator.Model) error {
	ctx := *model.Service.Context
	manager := model.Map().SessionManager()
	var keys []string
	for _, session := range sessions(model) {
		keys = append(keys, session.Key)
	}
	body := manager.TerminateSession(&ctx, &types.TerminateSession{This: manager.Self, SessionId: keys})
	if f := body.Fault(); f != nil {
		return errors.New(f.String)
	}
	return nil
}
