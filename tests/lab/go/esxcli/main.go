// Command esxcli runs one esxcli command on a host through vCenter, by govmomi's own client (the one behind
// `govc host.esxcli`), and prints its rows as JSON: a client that knows nothing of ours, to judge the lab by.
//
// Usage: esxcli URL HOST WORD…, as in `esxcli https://127.0.0.1:8989/sdk host-21 storage core device list`.
// ESXCLI_USERNAME and ESXCLI_PASSWORD log in, ESXCLI_CA_FILE holds the authority to trust.
// Exit codes: 0 with rows on standard output; 1 with one line of JSON, {"error": …, "detail": …}, on standard error;
// 2 when govmomi does not know an option (its parser ends the process).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/cli/esx"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const timeout = 2 * time.Minute

func main() {
	if len(os.Args) < 5 {
		fail(errors.New("usage: esxcli URL HOST NAMESPACE… COMMAND [OPTION…]"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	response, err := run(ctx, os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fail(err)
	}
	rows := response.Values
	if response.String != "" {
		rows = []esx.Values{{"": {response.String}}} // some commands answer with a bare value
	}
	if rows == nil {
		rows = []esx.Values{}
	}
	if err := json.NewEncoder(os.Stdout).Encode(rows); err != nil {
		fail(err)
	}
}

func run(ctx context.Context, address, host string, words []string) (*esx.Response, error) {
	client, err := login(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Logout(context.WithoutCancel(ctx)) }()
	ref := types.ManagedObjectReference{Type: "HostSystem", Value: host}
	executor, err := esx.NewExecutor(ctx, client.Client, ref)
	if err != nil {
		return nil, err
	}
	return executor.Run(ctx, words)
}

func login(ctx context.Context, address string) (*govmomi.Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	transport := soap.NewClient(u, false)
	if err := transport.SetRootCAs(os.Getenv("ESXCLI_CA_FILE")); err != nil {
		return nil, err
	}
	vim, err := vim25.NewClient(ctx, transport)
	if err != nil {
		return nil, err
	}
	client := &govmomi.Client{Client: vim, SessionManager: session.NewManager(vim)}
	user := url.UserPassword(os.Getenv("ESXCLI_USERNAME"), os.Getenv("ESXCLI_PASSWORD"))
	return client, client.Login(ctx, user)
}

func fail(err error) {
	answer := map[string]string{"error": err.Error()}
	var fault *esx.Fault
	if errors.As(err, &fault) {
		answer["detail"] = fault.Detail
	}
	text, _ := json.Marshal(answer)
	fmt.Fprintln(os.Stderr, string(text))
	os.Exit(1)
}
