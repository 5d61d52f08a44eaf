package main

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// DiskSpec is a virtual disk. With parents it is the newest link of a snapshot chain.
type DiskSpec struct {
	Path            string   `json:"path"` // [datastore] folder/disk.vmdk
	Capacity        int64    `json:"capacity"`
	Kind            string   `json:"kind"` // vmdk, vvol or rdm
	BackingObjectID string   `json:"backingObjectId"`
	DeviceName      string   `json:"deviceName"` // of an RDM: naa.… or vml.…
	Compatibility   string   `json:"compatibilityMode"`
	Parents         []string `json:"parents"`   // outermost first, base last
	Allocated       *int64   `json:"allocated"` // bytes of the base's extent; all of them if nil
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
		unit := int32(i)
		if unit >= 7 { // seven is the controller itself
			unit++
		}
		disk := &types.VirtualDisk{CapacityInBytes: spec.Capacity, CapacityInKB: spec.Capacity / 1024}
		disk.Key, disk.ControllerKey, disk.UnitNumber = 2000+int32(i), controllerKey, &unit
		disk.Backing = backing
		disk.DeviceInfo = &types.Description{
			Label:   fmt.Sprintf("Hard disk %d", i+1),
			Summary: fmt.Sprintf("%d KB", disk.CapacityInKB),
		}
		disk.DiskObjectId = fmt.Sprintf("%s-%d", vm.Self.Value, disk.Key)
		controller.Device = append(controller.Device, disk.Key)
		devices = append(devices, disk)
		layout(vm.LayoutEx, disk.Key, spec)
	}
	vm.Config.Hardware.Device = append(vm.Config.Hardware.Device, devices...)
	return nil
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
		base := top
		for _, path := range spec.Parents {
			if file, err = b.fileBacking(vm, path); err != nil {
				return nil, err
			}
			base.DeltaDiskFormat = string(types.VirtualDiskDeltaDiskFormatSeSparseFormat)
			base.Parent = &types.VirtualDiskFlatVer2BackingInfo{
				VirtualDeviceFileBackingInfo: file, DiskMode: top.DiskMode, ThinProvisioned: &thin,
			}
			base = base.Parent
		}
		// The object belongs to the base in this lab; real vCenter names one for each link of the chain.
		if spec.BackingObjectID != "" {
			base.BackingObjectId = &spec.BackingObjectID
		}
		return top, nil
	}
	return nil, fmt.Errorf("unknown kind %q", spec.Kind)
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

// layout lists the disk's files, base first: a descriptor and an extent for each link of the chain.
func layout(all *types.VirtualMachineFileLayoutEx, disk int32, spec DiskSpec) {
	chain := append([]string{spec.Path}, spec.Parents...)
	entry := types.VirtualMachineFileLayoutExDiskLayout{Key: disk}
	for i := len(chain) - 1; i >= 0; i-- {
		size := int64(1 << 20) // what a fresh delta takes
		if i == len(chain)-1 {
			size = spec.Capacity
			if spec.Allocated != nil {
				size = *spec.Allocated
			}
		}
		unit := types.VirtualMachineFileLayoutExDiskUnit{
			FileKey: []int32{addFile(all, chain[i], types.VirtualMachineFileLayoutExFileTypeDiskDescriptor, 512)},
		}
		if spec.Kind != "rdm" { // a mapping has no extent of its own
			unit.FileKey = append(unit.FileKey, addFile(all, extent(chain[i], i < len(chain)-1),
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
