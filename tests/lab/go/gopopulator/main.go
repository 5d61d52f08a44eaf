// Command gopopulator copies one disk onto one volume in the plainest way there is, with the libraries that Go programs
// use: client-go (protobuf bodies), govmomi (esxcli, datastore upload), net/http (chunked bodies), x/crypto/ssh. It
// shares no code with the populator, and takes Forklift's arguments and environment: a stranger, to judge the lab by.
//
// It is no model of good manners: it waits by sleeping, lets its Lease run out, and leaves the mapping where it fails.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

const patience = 2 * time.Minute

type job struct {
	vm, vmdk         string
	namespace, claim string
	method, script   string
	leaseNamespace   string
	sshPort          int
}

func main() {
	var j job
	flag.StringVar(&j.vm, "source-vm-id", "", "managed object id of the VM")
	flag.StringVar(&j.vmdk, "source-vmdk", "", "[datastore] folder/disk.vmdk")
	flag.StringVar(&j.namespace, "target-namespace", "", "namespace of the PVC")
	flag.StringVar(&j.claim, "owner-name", "", "name of the PVC")
	flag.StringVar(&j.script, "script", "", "the host's script, to be uploaded (method ssh)")
	flag.IntVar(&j.sshPort, "ssh-port", 22, "port of the hosts' SSH")
	flag.Parse()
	j.method, j.leaseNamespace = os.Getenv("ESXI_CLONE_METHOD"), os.Getenv("HOST_LEASE_NAMESPACE")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result, err := populate(ctx, j)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

type outcome struct {
	Volume string `json:"volume"`
	Device string `json:"device"`
	Lease  string `json:"lease"`
	Task   string `json:"task"`
}

func populate(ctx context.Context, j job) (*outcome, error) {
	cluster, err := newCluster()
	if err != nil {
		return nil, fmt.Errorf("kubernetes: %w", err)
	}
	volume, err := cluster.volume(ctx, j.namespace, j.claim)
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	site, err := newSite(ctx)
	if err != nil {
		return nil, fmt.Errorf("vcenter: %w", err)
	}
	defer site.logout(ctx)
	source, err := site.find(ctx, j.vm, j.vmdk)
	if err != nil {
		return nil, fmt.Errorf("vm: %w", err)
	}
	array := newArray()
	lun, err := array.find(ctx, volume.attributes["internalName"])
	if err != nil {
		return nil, fmt.Errorf("lun: %w", err)
	}
	group, err := array.mapTo(ctx, lun, source.host.Value, source.initiators)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	lease, err := cluster.holdSlot(ctx, j.leaseNamespace, source.host.Value)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if err := site.rescan(ctx, source, lun.device()); err != nil {
		return nil, fmt.Errorf("rescan: %w", err)
	}
	task, err := copyDisk(ctx, j, site, source, lun.device())
	if err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	if err := site.detach(ctx, source, lun.device()); err != nil {
		return nil, fmt.Errorf("detach: %w", err)
	}
	if err := array.unmap(ctx, lun, group); err != nil {
		return nil, fmt.Errorf("unmap: %w", err)
	}
	if err := site.forget(ctx, source); err != nil {
		return nil, fmt.Errorf("remove dead paths: %w", err)
	}
	return &outcome{volume.name, lun.device(), lease, task}, nil
}
