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
	"github.com/vmware/govmomi/vim25/types"
)

// hostChange is what a test may do to a host while the simulator runs; what is nil stays.
type hostChange struct {
	Host              string                           `json:"host"`
	BootTime          *time.Time                       `json:"bootTime"`
	ConnectionState   *types.HostSystemConnectionState `json:"connectionState"`
	InMaintenanceMode *bool                            `json:"inMaintenanceMode"`
}

// control serves POST /host and POST /expire on a Unix socket until the returned function is called.
func control(socket string, model *simulator.Model) (func(), error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /host", func(w http.ResponseWriter, r *http.Request) {
		var change hostChange
		err := json.NewDecoder(r.Body).Decode(&change)
		if err == nil {
			err = changeHost(model, change)
		}
		reply(w, err)
	})
	mux.HandleFunc("POST /expire", func(w http.ResponseWriter, _ *http.Request) { reply(w, expire(model)) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("control socket: %s", err)
		}
	}()
	return func() { _ = server.Close() }, nil
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
	if change.BootTime != nil {
		set("bootTime", change.BootTime)
	}
	if change.ConnectionState != nil {
		set("connectionState", *change.ConnectionState)
	}
	if change.InMaintenanceMode != nil {
		set("inMaintenanceMode", *change.InMaintenanceMode)
	}
	if len(changes) == 0 {
		return errors.New("nothing to change")
	}
	// A context of our own: the simulator's locks are held by context, and requests run beside us.
	ctx := &simulator.Context{Context: model.Service.Context.Context, Map: model.Map()}
	model.Map().AtomicUpdate(ctx, host, changes)
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
