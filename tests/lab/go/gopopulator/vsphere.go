package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/cli/esx"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// site is vCenter by govmomi.
type site struct{ *govmomi.Client }

func newSite(ctx context.Context) (*site, error) {
	address := &url.URL{Scheme: "https", Host: os.Getenv("GOVMOMI_HOSTNAME"), Path: "/sdk"}
	transport := soap.NewClient(address, false)
	if err := transport.SetRootCAs(os.Getenv("SSL_CERT_FILE")); err != nil {
		return nil, err
	}
	vim, err := vim25.NewClient(ctx, transport)
	if err != nil {
		return nil, err
	}
	client := &govmomi.Client{Client: vim, SessionManager: session.NewManager(vim)}
	user := url.UserPassword(os.Getenv("GOVMOMI_USERNAME"), os.Getenv("GOVMOMI_PASSWORD"))
	return &site{client}, client.Login(ctx, user)
}

func (s *site) logout(ctx context.Context) { _ = s.Logout(context.WithoutCancel(ctx)) }

type source struct {
	host       types.ManagedObjectReference
	address    string
	path       object.DatastorePath
	initiators []string
	adapters   []string
}

// file is the disk's path on the host.
func (s *source) file() string { return path.Join("/vmfs/volumes", s.path.Datastore, s.path.Path) }

func (s *site) find(ctx context.Context, vm, vmdk string) (*source, error) {
	found := &source{}
	if !found.path.FromString(vmdk) {
		return nil, fmt.Errorf("%q is no datastore path", vmdk)
	}
	collector := property.DefaultCollector(s.Client.Client)
	var machine mo.VirtualMachine
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: vm}
	if err := collector.RetrieveOne(ctx, ref, []string{"runtime.host", "config.hardware.device"}, &machine); err != nil {
		return nil, err
	}
	if !owns(object.VirtualDeviceList(machine.Config.Hardware.Device), vmdk) {
		return nil, fmt.Errorf("VM %s has no disk %s", vm, vmdk)
	}
	found.host = *machine.Runtime.Host
	var host mo.HostSystem
	wanted := []string{"config.storageDevice.hostBusAdapter", "config.virtualNicManagerInfo.netConfig"}
	if err := collector.RetrieveOne(ctx, found.host, wanted, &host); err != nil {
		return nil, err
	}
	for _, adapter := range host.Config.StorageDevice.HostBusAdapter {
		if iscsi, ok := adapter.(*types.HostInternetScsiHba); ok {
			found.initiators = append(found.initiators, iscsi.IScsiName)
			found.adapters = append(found.adapters, iscsi.Device)
		}
	}
	for _, network := range host.Config.VirtualNicManagerInfo.NetConfig {
		if network.NicType == "management" && len(network.CandidateVnic) > 0 {
			found.address = network.CandidateVnic[0].Spec.Ip.IpAddress
		}
	}
	return found, nil
}

func owns(devices object.VirtualDeviceList, vmdk string) bool {
	for _, device := range devices.SelectByType((*types.VirtualDisk)(nil)) {
		backing, ok := device.GetVirtualDevice().Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		for ; ok && backing != nil; backing = backing.Parent {
			if backing.FileName == vmdk {
				return true
			}
		}
	}
	return false
}

func (s *site) esxcli(ctx context.Context, on *source, words ...string) ([]esx.Values, error) {
	executor, err := esx.NewExecutor(ctx, s.Client.Client, on.host)
	if err != nil {
		return nil, err
	}
	response, err := executor.Run(ctx, words)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(words, " "), err)
	}
	return response.Values, nil
}

func (s *site) rescan(ctx context.Context, on *source, device string) error {
	for range 5 {
		rows, err := s.esxcli(ctx, on, "storage", "core", "device", "list", "-d", device)
		if err == nil && len(rows) > 0 && rows[0].Value("Status") == "on" {
			return nil
		}
		if _, err := s.esxcli(ctx, on, "storage", "core", "adapter", "rescan", "-t", "add", "-a", "1"); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s did not appear", device)
}

func (s *site) detach(ctx context.Context, on *source, device string) error {
	if _, err := s.esxcli(ctx, on, "storage", "core", "device", "set", "--state", "off", "-d", device); err != nil {
		return err
	}
	_, err := s.esxcli(ctx, on, "storage", "core", "device", "detached", "remove", "-d", device)
	return err
}

func (s *site) forget(ctx context.Context, on *source) error {
	for _, adapter := range on.adapters {
		if _, err := s.esxcli(ctx, on, "storage", "core", "adapter", "rescan", "-t", "delete", "-A", adapter); err != nil {
			return err
		}
	}
	return nil
}

// upload puts the host's script onto the disk's datastore.
func (s *site) upload(ctx context.Context, on *source, script []byte) error {
	finder := find.NewFinder(s.Client.Client)
	center, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return err
	}
	store, err := finder.SetDatacenter(center).Datastore(ctx, on.path.Datastore)
	if err != nil {
		return err
	}
	return store.Upload(ctx, bytes.NewReader(script), "secure-vmkfstools-wrapper", nil)
}

// answer is what the host's wrapper answers with: a status, and a message that holds JSON.
type answer struct {
	Status string
	TaskID string `json:"taskId"`
	Exit   string `json:"exitCode"`
	Error  string `json:"stdErr"`
}

func read(status, message string) (*answer, error) {
	a := &answer{Status: status}
	if strings.HasPrefix(message, "{") {
		if err := json.Unmarshal([]byte(message), a); err != nil {
			return nil, err
		}
	}
	if status != "0" {
		return nil, fmt.Errorf("the wrapper says: %s", message)
	}
	return a, nil
}
