package main

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// DiskSpec is a virtual disk. With parents it is the newest link of a chain.
type DiskSpec struct {
	Path            string     `json:"path"` // [datastore] folder/disk.vmdk
	Capacity        int64      `json:"capacity"`
	Kind            string     `json:"kind"` // vmdk, vvol or rdm
	BackingObjectID string     `json:"backingObjectId"`
	DeviceName      string     `json:"deviceName"` // of an RDM: naa.… or vml.…
	Compatibility   string     `json:"compatibilityMode"`
	Parents         []LinkSpec `json:"parents"`   // outermost first, base last
	Allocated       *int64     `json:"allocated"` // bytes of its own extent; see layout for nil
	Encrypted       bool       `json:"encrypted"`
}

// LinkSpec is a link of a chain that is not written to any more.
type LinkSpec struct {
	Path            string `json:"path"`
	Capacity        int64  `json:"capacity"` // when it was frozen; as the newest link's if 0
	Allocated       *int64 `json:"allocated"`
	BackingObjectID string `json:"backingObjectId"`
	Snapshot        bool   `json:"snapshot"` // a snapshot of this VM froze it, and not one of another VM
}

func (spec LinkSpec) capacity(disk DiskSpec) int64 {
	if spec.Capacity != 0 {
		return spec.Capacity
	}
	return disk.Capacity
}

const controllerKey = 1000

func (b *builder) addDisks(vm *simulator.VirtualMachine, disks []DiskSpec) error {
	if len(disks) == 0 {
		return nil
	}
	controller := &types.ParaVirtualSCSIController{}
	controller.Key, controller.SharedBus = controllerKey, types.VirtualSCSISharingNoSharing
	controller.DeviceInfo = &types.Description{Label: "SCSI controller 0", Summary: "VMware paravirtual SCSI"}
	devices := []types.BaseVirtualDevice{controller}
	if vm.LayoutEx == nil {
		vm.LayoutEx = new(types.VirtualMachineFileLayoutEx)
	}
	for i, spec := range disks {
		backing, err := b.backing(vm, spec)
		if err != nil {
			return fmt.Errorf("disk %s: %w", spec.Path, err)
		}
		disk := virtualDisk(vm, i, spec.Capacity, backing)
		controller.Device = append(controller.Device, disk.Key)
		devices = append(devices, disk)
		layout(vm.LayoutEx, disk.Key, spec)
		b.freeze(vm, i, spec, backing)
	}
	vm.Config.Hardware.Device = append(vm.Config.Hardware.Device, devices...)
	return nil
}

func virtualDisk(
	vm *simulator.VirtualMachine, number int, capacity int64, backing types.BaseVirtualDeviceBackingInfo,
) *types.VirtualDisk {
	unit := int32(number)
	if unit >= 7 { // seven is the controller itself
		unit++
	}
	disk := &types.VirtualDisk{CapacityInBytes: capacity, CapacityInKB: capacity / 1024}
	disk.Key, disk.ControllerKey, disk.UnitNumber = 2000+int32(number), controllerKey, &unit
	disk.Backing = backing
	disk.DeviceInfo = &types.Description{
		Label:   fmt.Sprintf("Hard disk %d", number+1),
		Summary: fmt.Sprintf("%d KB", disk.CapacityInKB),
	}
	disk.DiskObjectId = fmt.Sprintf("%s-%d", vm.Self.Value, disk.Key)
	return disk
}

// freeze lets each snapshot that froze a link of the disk show that link as the disk, with its capacity of that time.
func (b *builder) freeze(
	vm *simulator.VirtualMachine, number int, spec DiskSpec, backing types.BaseVirtualDeviceBackingInfo,
) {
	var frozen []*types.VirtualDisk // newest first
	link, _ := backing.(*types.VirtualDiskFlatVer2BackingInfo)
	for _, parent := range spec.Parents {
		link = link.Parent
		if parent.Snapshot {
			frozen = append(frozen, virtualDisk(vm, number, parent.capacity(spec), link))
		}
	}
	snapshots := b.snapshots(vm)
	for i, disk := range frozen {
		config := &snapshots[len(snapshots)-1-i].Config
		config.Hardware.Device = append(config.Hardware.Device, disk)
	}
}

// snapshots returns a VM's snapshots, oldest first; in this lab each has at most one child.
func (b *builder) snapshots(vm *simulator.VirtualMachine) (found []*simulator.VirtualMachineSnapshot) {
	for next := vm.RootSnapshot; len(next) > 0; {
		snapshot := b.ctx.Map.Get(next[0]).(*simulator.VirtualMachineSnapshot)
		found = append(found, snapshot)
		next = snapshot.ChildSnapshot
	}
	return found
}

func (b *builder) backing(vm *simulator.VirtualMachine, spec DiskSpec) (types.BaseVirtualDeviceBackingInfo, error) {
	file, err := b.fileBacking(vm, spec.Path)
	if err != nil {
		return nil, err
	}
	thin := true
	switch spec.Kind {
	case "rdm":
		return b.rawBacking(spec, file), nil
	case "vmdk", "vvol":
		top := &types.VirtualDiskFlatVer2BackingInfo{
			VirtualDeviceFileBackingInfo: file,
			DiskMode:                     string(types.VirtualDiskModePersistent),
			ThinProvisioned:              &thin,
		}
		identify(top, spec.BackingObjectID, spec.Encrypted)
		base := top
		for _, parent := range spec.Parents {
			if file, err = b.fileBacking(vm, parent.Path); err != nil {
				return nil, err
			}
			base.DeltaDiskFormat = string(types.VirtualDiskDeltaDiskFormatSeSparseFormat)
			base.Parent = &types.VirtualDiskFlatVer2BackingInfo{
				VirtualDeviceFileBackingInfo: file, DiskMode: top.DiskMode, ThinProvisioned: &thin,
			}
			base = base.Parent
			identify(base, parent.BackingObjectID, spec.Encrypted)
		}
		return top, nil
	}
	return nil, fmt.Errorf("unknown kind %q", spec.Kind)
}

// identify names a link's VVol, and the key of an encrypted one: a chain is encrypted as a whole.
func identify(link *types.VirtualDiskFlatVer2BackingInfo, object string, encrypted bool) {
	if object != "" {
		link.BackingObjectId = &object
	}
	if encrypted {
		link.KeyId = &types.CryptoKeyId{KeyId: "1", ProviderId: &types.KeyProviderId{Id: "kms"}}
	}
}

func (b *builder) rawBacking(spec DiskSpec, file types.VirtualDeviceFileBackingInfo) types.BaseVirtualDeviceBackingInfo {
	mode := spec.Compatibility
	if mode == "" {
		mode = string(types.VirtualDiskCompatibilityModePhysicalMode)
	}
	uuid := lunUUID(spec.DeviceName)
	return &types.VirtualDiskRawDiskMappingVer1BackingInfo{
		VirtualDeviceFileBackingInfo: file,
		LunUuid:                      uuid,
		DeviceName:                   "vml." + uuid,
		CompatibilityMode:            mode,
		DiskMode:                     string(types.VirtualDiskModeIndependent_persistent),
	}
}

// fileBacking names a file, and makes VM and datastore know each other.
func (b *builder) fileBacking(vm *simulator.VirtualMachine, file string) (types.VirtualDeviceFileBackingInfo, error) {
	info := types.VirtualDeviceFileBackingInfo{FileName: file}
	ds, err := b.locate(file)
	if err != nil {
		return info, err
	}
	info.Datastore = &ds.Self
	b.ctx.Map.AddReference(b.ctx, vm, &vm.Datastore, ds.Self)
	b.ctx.Map.AddReference(b.ctx, ds, &ds.Vm, vm.Self)
	return info, nil
}

// layout lists the disk's files, base first: a descriptor and an extent for each link of the chain. Of an extent whose
// size is not given, a base's takes all of its capacity, a delta's what a fresh one takes.
func layout(all *types.VirtualMachineFileLayoutEx, disk int32, spec DiskSpec) {
	newest := LinkSpec{Path: spec.Path, Capacity: spec.Capacity, Allocated: spec.Allocated}
	chain := append([]LinkSpec{newest}, spec.Parents...)
	entry := types.VirtualMachineFileLayoutExDiskLayout{Key: disk}
	for i := len(chain) - 1; i >= 0; i-- {
		link, delta := chain[i], i < len(chain)-1
		size := link.capacity(spec)
		if delta {
			size = 1 << 20
		}
		if link.Allocated != nil {
			size = *link.Allocated
		}
		unit := types.VirtualMachineFileLayoutExDiskUnit{
			FileKey: []int32{addFile(all, link.Path, types.VirtualMachineFileLayoutExFileTypeDiskDescriptor, 512)},
		}
		if spec.Kind != "rdm" { // a mapping has no extent of its own
			unit.FileKey = append(unit.FileKey, addFile(all, extent(link.Path, delta),
				types.VirtualMachineFileLayoutExFileTypeDiskExtent, size))
		}
		entry.Chain = append(entry.Chain, unit)
	}
	all.Disk = append(all.Disk, entry)
}

func extent(descriptor string, delta bool) string {
	name := strings.TrimSuffix(descriptor, ".vmdk")
	if delta {
		return name + "-sesparse.vmdk"
	}
	return name + "-flat.vmdk"
}

func addFile(
	all *types.VirtualMachineFileLayoutEx, name string, kind types.VirtualMachineFileLayoutExFileType, size int64,
) int32 {
	key := int32(0)
	for _, file := range all.File {
		key = max(key, file.Key+1)
	}
	accessible := true
	all.File = append(all.File, types.VirtualMachineFileLayoutExFileInfo{
		Key: key, Name: name, Type: string(kind), Size: size, UniqueSize: size, Accessible: &accessible,
	})
	return key
}
