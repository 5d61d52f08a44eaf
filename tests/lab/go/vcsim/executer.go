package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const cliInfo = "ha-dynamic-type-manager-local-cli-cliinfo"

// executer stands in for one host's ManagedMethodExecuter and lets another program answer its esxcli calls:
// POST /execute with JSON on a Unix socket (call and answer below).
type executer struct {
	types.ManagedObjectReference
	stock mo.Reference
	host  *simulator.HostSystem
	http  *http.Client
}

// Lock does nothing: as a sync.Locker of its own the object escapes the simulator's lock per object, so calls to
// one host overlap as they do in reality.
func (*executer) Lock() {}

// Unlock does nothing, see Lock.
func (*executer) Unlock() {}

type argument struct {
	Name string `json:"name"`
	Val  string `json:"val"`
}

// call is what is asked.
type call struct {
	Host      string     `json:"host"`
	Moid      string     `json:"moid"`
	Version   string     `json:"version"`
	Method    string     `json:"method"`
	Arguments []argument `json:"arguments"`
}

// answer is one of: a response (XML), a fault of the call, a SOAP fault by its vim type, or "let stock vcsim do it".
type answer struct {
	Response  string `json:"response"`
	Fault     *fault `json:"fault"`
	SoapFault string `json:"soapFault"`
	Message   string `json:"message"`
	Pass      bool   `json:"pass"`
}

type fault struct {
	FaultMsg    string `json:"faultMsg"`
	FaultDetail string `json:"faultDetail"`
}

// executeSoapBody has the shape the simulator encodes; govmomi's own type lies in an internal package.
type executeSoapBody struct {
	Res    *executeSoapResponse `xml:"urn:vim25 ExecuteSoapResponse"`
	Fault_ *soap.Fault          `xml:"-"`
}

func (b *executeSoapBody) Fault() *soap.Fault { return b.Fault_ }

type executeSoapResponse struct {
	Returnval executeSoapResult `xml:"urn:vim25 returnval"`
}

type executeSoapResult struct {
	Response string            `xml:"response,omitempty"`
	Fault    *executeSoapFault `xml:"fault,omitempty"`
}

type executeSoapFault struct {
	FaultMsg    string `xml:"faultMsg"`
	FaultDetail string `xml:"faultDetail,omitempty"`
}

// bridge puts an executer before the stock one of a host.
func bridge(ctx *simulator.Context, host *simulator.HostSystem, socket string) {
	host.RetrieveManagedMethodExecuter(ctx, nil) // makes the stock one; its request is not looked at
	ref := types.ManagedObjectReference{Type: "ManagedMethodExecuter", Value: host.Self.Value}
	e := &executer{ManagedObjectReference: ref, stock: ctx.Map.Get(ref), host: host}
	if socket != "" {
		e.http = &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 16,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		}}
	}
	ctx.Map.Put(e)
}

// ExecuteSoap is found by the simulator by its name.
func (e *executer) ExecuteSoap(ctx *simulator.Context, req any) soap.HasFault {
	if fault := e.unreachable(ctx); fault != nil {
		return soapFault("The host does not answer.", fault)
	}
	c := read(e.host.Self.Value, req)
	if e.http == nil || !(strings.HasPrefix(c.Moid, "ha-cli-handler-") || c.Moid == cliInfo) {
		return e.pass(ctx, req)
	}
	for _, privilege := range privilegesOf(c.Method) {
		if denied(e.host.Self.Value, privilege) {
			return &executeSoapBody{Fault_: lacking(e.host.Self, privilege)}
		}
	}
	a, err := e.ask(c)
	if err != nil {
		log.Printf("%s on %s: %s", c.Method, c.Host, err)
		return soapFault(err.Error(), new(types.HostCommunication))
	}
	switch {
	case a.Pass:
		return e.pass(ctx, req)
	case a.SoapFault != "":
		return named(a.SoapFault, a.Message)
	case a.Fault != nil:
		return &executeSoapBody{Res: &executeSoapResponse{executeSoapResult{
			Fault: &executeSoapFault{a.Fault.FaultMsg, a.Fault.FaultDetail},
		}}}
	}
	return &executeSoapBody{Res: &executeSoapResponse{executeSoapResult{Response: a.Response}}}
}

// unreachable returns vCenter's fault for a host it has no connection to.
func (e *executer) unreachable(ctx *simulator.Context) (fault types.BaseMethodFault) {
	ctx.WithLock(e.host, func() {
		switch e.host.Runtime.ConnectionState {
		case types.HostSystemConnectionStateDisconnected:
			fault = new(types.HostNotConnected)
		case types.HostSystemConnectionStateNotResponding:
			fault = new(types.HostCommunication)
		}
	})
	return fault
}

func (e *executer) pass(ctx *simulator.Context, req any) soap.HasFault {
	method := reflect.ValueOf(e.stock).MethodByName("ExecuteSoap")
	return method.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(req)})[0].Interface().(soap.HasFault)
}

func (e *executer) ask(c call) (*answer, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	// No timeout: how long a host takes is for the program that plays it to say, and for the client to bear.
	res, err := e.http.Post("http://esxcli/execute", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the esxcli socket answered %s: %s", res.Status, text)
	}
	a := new(answer)
	return a, json.Unmarshal(text, a)
}

// read copies the request, whose type lies in govmomi's internal package.
func read(host string, req any) call {
	body := reflect.ValueOf(req).Elem()
	text := func(v reflect.Value, field string) string { return v.FieldByName(field).String() }
	c := call{
		Host: host, Moid: text(body, "Moid"), Version: text(body, "Version"), Method: text(body, "Method"),
		Arguments: []argument{},
	}
	arguments := body.FieldByName("Argument")
	for i := range arguments.Len() {
		c.Arguments = append(c.Arguments, argument{text(arguments.Index(i), "Name"), text(arguments.Index(i), "Val")})
	}
	return c
}

// named makes a SOAP fault of any vim fault type.
func named(kind, message string) soap.HasFault {
	if t, ok := types.TypeFunc()(kind); ok {
		if f, ok := reflect.New(t).Interface().(types.BaseMethodFault); ok {
			return soapFault(message, f)
		}
	}
	log.Printf("%s is no fault of the vim API", kind)
	return soapFault(kind+" is no fault of the vim API", new(types.SystemError))
}

func soapFault(message string, f types.BaseMethodFault) soap.HasFault {
	return &executeSoapBody{Fault_: simulator.Fault(message, f)}
}
