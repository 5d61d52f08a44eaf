package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// HostSpec is one ESXi host.
type HostSpec struct {
	Name     string        `json:"name"`
	Adapters []AdapterSpec `json:"adapters"`
	Address  string        `json:"address"` // of its management interface; empty: vCenter tells none
}

// DatastoreSpec is a datastore: of the Kind if given; else VMFS on a device where DiskName is set, else a VVol container.
type DatastoreSpec struct {
	Name      string     `json:"name"`
	Directory string     `json:"directory"` // where its files lie on this machine
	DiskName  string     `json:"diskName"`
	Hosts     []string   `json:"hosts"`
	Capacity  int64      `json:"capacity"`
	Paths     []PathSpec `json:"paths"`
	Kind      string     `json:"kind"` // NFS, NFS41 or vsan, as vSphere spells them
}

// VMSpec is a virtual machine with disks and nothing else of note.
type VMSpec struct {
	Name      string     `json:"name"`
	Host      string     `json:"host"`
	Disks     []DiskSpec `json:"disks"`
	PoweredOn bool       `json:"poweredOn"`
}

// builder fills an empty datacenter through the simulator's own in-process client.
type builder struct {
	config     *Config
	ctx        *simulator.Context
	client     *vim25.Client
	folders    *object.DatacenterFolders
	pool       *object.ResourcePool
	hosts      map[string]*simulator.HostSystem
	datastores map[string]*simulator.Datastore
	ready      *Ready
}

// build makes one datacenter with one cluster and what the config lists; nothing of vcsim's default inventory.
func build(config *Config) (*simulator.Model, *Ready, error) {
	model := simulator.VPX()
	model.Portgroup, model.Host, model.Cluster, model.Datastore, model.Machine = 0, 0, 0, 0, 0
	if err := model.Create(); err != nil {
		return nil, nil, err
	}
	b := &builder{
		config:     config,
		ctx:        model.Service.Context,
		hosts:      map[string]*simulator.HostSystem{},
		datastores: map[string]*simulator.Datastore{},
		ready:      &Ready{Hosts: map[string]string{}, VMs: map[string]string{}, Datastores: map[string]string{}},
	}
	limited := new(collector)
	limited.Self = model.ServiceContent.PropertyCollector
	b.ctx.Map.Put(limited)
	stock := b.ctx.Map.Get(*model.ServiceContent.AuthorizationManager).(*simulator.AuthorizationManager)
	b.ctx.Map.Put(&authorization{*stock})
	if err := b.fill(model); err != nil {
		model.Remove()
		return nil, nil, err
	}
	return model, b.ready, nil
}

func (b *builder) fill(model *simulator.Model) (err error) {
	if b.client, err = vim25.NewClient(b.ctx, model.Service); err != nil {
		return err
	}
	cluster, err := b.addCluster()
	if err != nil {
		return err
	}
	for _, spec := range b.config.Hosts {
		if err := b.addHost(cluster, spec); err != nil {
			return fmt.Errorf("host %s: %w", spec.Name, err)
		}
	}
	for _, spec := range b.config.Datastores {
		if err := b.addDatastore(spec); err != nil {
			return fmt.Errorf("datastore %s: %w", spec.Name, err)
		}
	}
	for _, spec := range b.config.Hosts {
		if err := b.attachStorage(spec); err != nil {
			return fmt.Errorf("host %s: %w", spec.Name, err)
		}
	}
	for _, spec := range b.config.VMs {
		if err := b.addVM(spec); err != nil {
			return fmt.Errorf("VM %s: %w", spec.Name, err)
		}
	}
	return nil
}

func (b *builder) addCluster() (*object.ClusterComputeResource, error) {
	dc := object.NewDatacenter(b.client, b.ctx.Map.Any("Datacenter").Reference())
	var err error
	if b.folders, err = dc.Folders(b.ctx); err != nil {
		return nil, err
	}
	cluster, err := b.folders.HostFolder.CreateCluster(b.ctx, "lab", types.ClusterConfigSpecEx{})
	if err != nil {
		return nil, err
	}
	b.pool, err = cluster.ResourcePool(b.ctx)
	return cluster, err
}

func (b *builder) addHost(cluster *object.ClusterComputeResource, spec HostSpec) error {
	task, err := cluster.AddHost(b.ctx, types.HostConnectSpec{HostName: spec.Name}, true, nil, nil)
	if err != nil {
		return err
	}
	ref, err := result(b.ctx, task)
	if err != nil {
		return err
	}
	host := b.ctx.Map.Get(ref).(*simulator.HostSystem)
	host.Runtime.StandbyMode = string(types.HostStandbyModeNone)
	host.Config.FileSystemVolume = nil // the template's volumes are not ours
	host.Config.VirtualNicManagerInfo = management(spec.Address)
	bridge(b.ctx, host, b.config.EsxcliSocket)
	addClock(b.ctx, host)
	b.hosts[spec.Name] = host
	b.ready.Hosts[spec.Name] = ref.Value
	return nil
}

// management returns interfaces as a host has them: one for vMotion, and one for management if it has an address.
func management(address string) *types.HostVirtualNicManagerInfo {
	info := &types.HostVirtualNicManagerInfo{}
	for _, each := range []struct{ kind, device, address string }{
		{"vmotion", "vmk1", "192.0.2.1"}, {"management", "vmk0", address},
	} {
		if each.address == "" {
			continue
		}
		nic := types.HostVirtualNic{Device: each.device, Key: each.kind + ".key-" + each.device}
		nic.Spec.Ip = &types.HostIpConfig{IpAddress: each.address}
		info.NetConfig = append(info.NetConfig, types.VirtualNicManagerNetConfig{
			NicType:       each.kind,
			CandidateVnic: []types.HostVirtualNic{nic},
			SelectedVnic:  []string{nic.Key},
		})
	}
	return info
}

// addDatastore mounts a local datastore everywhere, then makes it look like VMFS or VVol.
func (b *builder) addDatastore(spec DatastoreSpec) error {
	if len(spec.Hosts) == 0 {
		return fmt.Errorf("no host mounts it")
	}
	for _, name := range spec.Hosts {
		host, ok := b.hosts[name]
		if !ok {
			return fmt.Errorf("unknown host %s", name)
		}
		system, err := object.NewHostSystem(b.client, host.Self).ConfigManager().DatastoreSystem(b.ctx)
		if err != nil {
			return err
		}
		ds, err := system.CreateLocalDatastore(b.ctx, spec.Name, spec.Directory)
		if err != nil {
			return err
		}
		// A second host's answer has an empty reference, since the object is the first one's.
		if ds.Reference().Value != "" {
			b.datastores[spec.Name] = b.ctx.Map.Get(ds.Reference()).(*simulator.Datastore)
		}
	}
	ds := b.datastores[spec.Name]
	info := *ds.Info.GetDatastoreInfo()
	info.FreeSpace, info.MaxFileSize = spec.Capacity, spec.Capacity
	ds.Summary.Capacity, ds.Summary.FreeSpace = spec.Capacity, spec.Capacity
	ds.Info, ds.Summary.Type = volumeInfo(spec, info, len(b.ready.Datastores))
	b.ready.Datastores[spec.Name] = ds.Self.Value
	return nil
}

// addVM creates the VM without disks by vcsim's own means, then adds the disks by hand: vcsim would insist on
// making their files, and knows neither chains nor VVols nor raw mappings.
func (b *builder) addVM(spec VMSpec) error {
	host, ok := b.hosts[spec.Host]
	if !ok {
		return fmt.Errorf("unknown host %s", spec.Host)
	}
	home, err := b.home(spec, host)
	if err != nil {
		return err
	}
	task, err := b.folders.VmFolder.CreateVM(b.ctx, types.VirtualMachineConfigSpec{
		Name:     spec.Name,
		GuestId:  string(types.VirtualMachineGuestOsIdentifierOtherGuest),
		NumCPUs:  1,
		MemoryMB: 64,
		Files:    &types.VirtualMachineFileInfo{VmPathName: home.String()},
	}, b.pool, object.NewHostSystem(b.client, host.Self))
	if err != nil {
		return err
	}
	ref, err := result(b.ctx, task)
	if err != nil {
		return err
	}
	vm := b.ctx.Map.Get(ref).(*simulator.VirtualMachine)
	client := object.NewVirtualMachine(b.client, ref)
	if err := b.addSnapshots(client, spec.Disks); err != nil {
		return err
	}
	if err := b.addDisks(vm, spec.Disks); err != nil {
		return err
	}
	fillEnums(vm)
	b.ready.VMs[spec.Name] = ref.Value
	if !spec.PoweredOn {
		return nil
	}
	if task, err = client.PowerOn(b.ctx); err != nil {
		return err
	}
	return task.Wait(b.ctx)
}

// fillEnums sets what vcsim leaves empty: pyVmomi refuses a whole `runtime` or `summary` for an enum without a value.
func fillEnums(vm *simulator.VirtualMachine) {
	for _, runtime := range []*types.VirtualMachineRuntimeInfo{&vm.Runtime, &vm.Summary.Runtime} {
		runtime.ConnectionState = types.VirtualMachineConnectionStateConnected
		runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateNotConfigured
		runtime.RecordReplayState = types.VirtualMachineRecordReplayStateInactive
		if runtime.PowerState == "" {
			runtime.PowerState = types.VirtualMachinePowerStatePoweredOff
		}
	}
	vm.Summary.OverallStatus = types.ManagedEntityStatusGreen
	vm.Summary.QuickStats.GuestHeartbeatStatus = types.ManagedEntityStatusGray
}

// home returns where the VM's configuration lies: in a folder named like the VM beside its first disk, or on another
// datastore where vcsim could not put it. What an earlier vCenter over the same directory left there is removed,
// since vcsim refuses to overwrite it.
func (b *builder) home(spec VMSpec, host *simulator.HostSystem) (object.DatastorePath, error) {
	var candidates []*simulator.Datastore
	if len(spec.Disks) > 0 {
		first, err := b.locate(spec.Disks[0].Path)
		if err != nil {
			return object.DatastorePath{}, err
		}
		candidates = append(candidates, first)
	}
	for _, ref := range host.Datastore {
		candidates = append(candidates, b.ctx.Map.Get(ref).(*simulator.Datastore))
	}
	for _, ds := range candidates {
		// vcsim wants three hosts for a VVol file, and cannot read a path with a second bracket.
		if ds.Summary.Type == string(types.HostFileSystemVolumeFileSystemTypeVMFS) && !strings.Contains(ds.Name, "]") {
			home := object.DatastorePath{Datastore: ds.Name, Path: path.Join(spec.Name, spec.Name+".vmx")}
			return home, removeOld(filepath.Join(ds.Summary.Url, spec.Name))
		}
	}
	return object.DatastorePath{}, fmt.Errorf("its host mounts no VMFS datastore (without brackets in its name)")
}

func removeOld(folder string) error {
	for _, pattern := range []string{"*.vmx", "*.vmsn", "*.vmsd", "vmware.log"} {
		old, _ := filepath.Glob(filepath.Join(escape(folder), pattern))
		for _, file := range old {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// locate finds the datastore of a path by the names there are, since a name may hold brackets.
func (b *builder) locate(file string) (*simulator.Datastore, error) {
	for name, ds := range b.datastores {
		if strings.HasPrefix(file, "["+name+"] ") {
			return ds, nil
		}
	}
	return nil, fmt.Errorf("%q lies on no datastore", file)
}

// addSnapshots makes as many snapshots as froze links of the deepest chain.
func (b *builder) addSnapshots(vm *object.VirtualMachine, disks []DiskSpec) error {
	depth := 0
	for _, disk := range disks {
		frozen := 0
		for _, parent := range disk.Parents {
			if parent.Snapshot {
				frozen++
			}
		}
		depth = max(depth, frozen)
	}
	for i := range depth {
		task, err := vm.CreateSnapshot(b.ctx, fmt.Sprintf("snapshot %d", i+1), "", false, false)
		if err != nil {
			return err
		}
		if err := task.Wait(b.ctx); err != nil {
			return err
		}
	}
	return nil
}

// escape keeps a name from being read as a glob pattern.
func escape(name string) string {
	var quoted []rune
	for _, r := range name {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, r)
	}
	return string(quoted)
}

func result(ctx context.Context, task *object.Task) (types.ManagedObjectReference, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	info, err := task.WaitForResult(ctx)
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	return info.Result.(types.ManagedObjectReference), nil
}
