package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// AdapterSpec is a storage adapter: an initiator of iSCSI (an IQN) or of Fibre Channel (two WWNs in hex).
type AdapterSpec struct {
	Device    string `json:"device"` // vmhba64
	Kind      string `json:"kind"`   // iscsi, fc, or sdc: PowerFlex's client, which shows itself like fc
	Initiator string `json:"initiator"` // an IQN, or the client's GUID
	WWNN      string `json:"wwnn"`
	WWPN      string `json:"wwpn"`
	Status    string `json:"status"` // online, offline, unbound or unknown
}

// PathSpec is one path to a datastore's device. Hosts without that adapter do not have the path.
type PathSpec struct {
	Adapter string `json:"adapter"`
	State   string `json:"state"` // active, standby, disabled, dead
}

const block = 512

// attachStorage replaces the template's storage by the adapters, LUNs and paths of the config.
func (b *builder) attachStorage(spec HostSpec) error {
	host := b.hosts[spec.Name]
	storage := &types.HostStorageDeviceInfo{MultipathInfo: new(types.HostMultipathInfo)}
	for i, adapter := range spec.Adapters {
		hba, err := hostBusAdapter(adapter, int32(i))
		if err != nil {
			return err
		}
		storage.HostBusAdapter = append(storage.HostBusAdapter, hba)
		if adapter.Kind == "sdc" {
			b.loadModule(host, adapter.Initiator)
		}
		storage.SoftwareInternetScsiEnabled = storage.SoftwareInternetScsiEnabled || adapter.Kind == "iscsi"
	}
	for _, ds := range b.config.Datastores {
		if ds.DiskName != "" && slices.Contains(ds.Hosts, spec.Name) {
			addLun(storage, spec, ds.DiskName, ds.Capacity, ds.Paths)
		}
	}
	for _, vm := range b.config.VMs {
		for _, disk := range vm.Disks {
			if disk.Kind == "rdm" && vm.Host == spec.Name && !isVML(disk.DeviceName) {
				addLun(storage, spec, disk.DeviceName, disk.Capacity, everyPath(spec))
			}
		}
	}
	host.Config.StorageDevice = storage
	system := b.ctx.Map.Get(*host.ConfigManager.StorageSystem).(*simulator.HostStorageSystem)
	system.StorageDeviceInfo = storage
	system.HBA = storage.HostBusAdapter // else RescanAllHba swaps in vcsim's own adapters
	return nil
}

func hostBusAdapter(spec AdapterSpec, bus int32) (types.BaseHostHostBusAdapter, error) {
	base := types.HostHostBusAdapter{Key: adapterKey(spec), Device: spec.Device, Bus: bus, Status: spec.Status}
	switch spec.Kind {
	case "iscsi":
		base.Model, base.Driver, base.StorageProtocol = "iSCSI Software Adapter", "iscsi_vmk", "scsi"
		return &types.HostInternetScsiHba{
			HostHostBusAdapter: base, IsSoftwareBased: true, IScsiName: spec.Initiator,
		}, nil
	case "fc", "sdc":
		wwnn, err := worldWideName(spec.WWNN)
		if err != nil {
			return nil, err
		}
		wwpn, err := worldWideName(spec.WWPN)
		if err != nil {
			return nil, err
		}
		base.Model, base.Driver, base.StorageProtocol = "Emulex LightPulse LPe32002", "lpfc", "scsi"
		if spec.Kind == "sdc" {
			base.Model, base.Driver = "scini", "scini"
		}
		return &types.HostFibreChannelHba{
			HostHostBusAdapter: base,
			NodeWorldWideName:  wwnn,
			PortWorldWideName:  wwpn,
			PortType:           types.FibreChannelPortTypeFabric,
			Speed:              32,
		}, nil
	}
	return nil, fmt.Errorf("adapter %s: unknown kind %q", spec.Device, spec.Kind)
}

// worldWideName returns the name as vSphere does: the same 64 bits, read as a signed number.
func worldWideName(hex string) (int64, error) {
	name, err := strconv.ParseUint(hex, 16, 64)
	return int64(name), err
}

func adapterKey(spec AdapterSpec) string {
	if spec.Kind != "iscsi" {
		return "key-vim.host.FibreChannelHba-" + spec.Device
	}
	return "key-vim.host.InternetScsiHba-" + spec.Device
}

func everyPath(spec HostSpec) []PathSpec {
	var paths []PathSpec
	for _, adapter := range spec.Adapters {
		paths = append(paths, PathSpec{Adapter: adapter.Device, State: "active"})
	}
	return paths
}

// addLun shows a device to the host, once, by the paths whose adapter the host has.
func addLun(storage *types.HostStorageDeviceInfo, spec HostSpec, device string, size int64, paths []PathSpec) {
	uuid := lunUUID(device)
	scsi := "key-vim.host.ScsiDisk-" + uuid
	number := len(storage.ScsiLun)
	for _, known := range storage.ScsiLun {
		if known.GetScsiLun().Key == scsi {
			return
		}
	}
	local := false
	storage.ScsiLun = append(storage.ScsiLun, &types.HostScsiDisk{
		ScsiLun: types.ScsiLun{
			HostDevice:       types.HostDevice{DeviceName: "/vmfs/devices/disks/" + device, DeviceType: "disk"},
			Key:              scsi,
			Uuid:             uuid,
			CanonicalName:    device,
			DisplayName:      "Fibre or iSCSI Disk (" + device + ")",
			LunType:          string(types.ScsiLunTypeDisk),
			Vendor:           "NETAPP  ", // as INQUIRY has them, filled up with blanks
			Model:            "LUN C-Mode      ",
			OperationalState: []string{string(types.ScsiLunStateOk)},
			VStorageSupport:  string(types.ScsiLunVStorageSupportStatusVStorageSupported),
		},
		Capacity:   types.HostDiskDimensionsLba{BlockSize: block, Block: size / block},
		DevicePath: "/vmfs/devices/disks/" + device,
		LocalDisk:  &local,
	})
	unit := types.HostMultipathInfoLogicalUnit{
		Key: "key-vim.host.MultipathInfo.LogicalUnit-" + uuid,
		Id:  uuid,
		Lun: scsi,
		Policy: &types.HostMultipathInfoLogicalUnitPolicy{
			Policy: "VMW_PSP_RR",
		},
	}
	for i, path := range paths {
		for _, adapter := range spec.Adapters {
			if adapter.Device == path.Adapter {
				unit.Path = append(unit.Path, lunPath(unit.Key, adapter, path.State, i, number))
			}
		}
	}
	storage.MultipathInfo.Lun = append(storage.MultipathInfo.Lun, unit)
}

func lunPath(unit string, adapter AdapterSpec, state string, target, number int) types.HostMultipathInfoPath {
	name := fmt.Sprintf("%s:C0:T%d:L%d", adapter.Device, target, number)
	working := state == string(types.MultipathStateActive)
	return types.HostMultipathInfoPath{
		Key:           "key-vim.host.MultipathInfo.Path-" + name,
		Name:          name,
		PathState:     state,
		State:         state,
		IsWorkingPath: &working,
		Adapter:       adapterKey(adapter),
		Lun:           unit,
	}
}

func isVML(device string) bool { return strings.HasPrefix(device, "vml.") }

// lunUUID returns what follows "vml." in a device's second name: type, LUN number (always 0 here), NAA name,
// and the first six letters of the model. Devices without a worldwide name have the letters of their own.
func lunUUID(device string) string {
	kind, id, _ := strings.Cut(device, ".")
	switch kind {
	case "vml":
		return id
	case "naa", "eui":
		return fmt.Sprintf("0200000000%s%x", id, "LUN C-")
	}
	return fmt.Sprintf("0000000000%x", id)
}

// volumeInfo returns a datastore's info and its summary's type; number tells the volumes apart.
func volumeInfo(spec DatastoreSpec, info types.DatastoreInfo, number int) (types.BaseDatastoreInfo, string) {
	volume := types.HostFileSystemVolume{Name: spec.Name, Capacity: spec.Capacity}
	switch spec.Kind {
	case "NFS", "NFS41":
		volume.Type = spec.Kind
		return &types.NasDatastoreInfo{
			DatastoreInfo: info,
			Nas: &types.HostNasVolume{
				HostFileSystemVolume: volume, RemoteHost: "nas.lab", RemotePath: "/" + spec.Name,
			},
		}, volume.Type
	case "vsan":
		return &types.VsanDatastoreInfo{DatastoreInfo: info}, spec.Kind
	}
	if spec.DiskName == "" {
		volume.Type = string(types.HostFileSystemVolumeFileSystemTypeVVOL)
		return &types.VvolDatastoreInfo{
			DatastoreInfo: info,
			VvolDS:        &types.HostVvolVolume{HostFileSystemVolume: volume, ScId: "vvol:" + spec.Name},
		}, volume.Type
	}
	volume.Type = string(types.HostFileSystemVolumeFileSystemTypeVMFS)
	local := false
	return &types.VmfsDatastoreInfo{
		DatastoreInfo:          info,
		MaxPhysicalRDMFileSize: 64 << 40,
		MaxVirtualRDMFileSize:  62 << 40,
		Vmfs: &types.HostVmfsVolume{
			HostFileSystemVolume: volume,
			BlockSizeMb:          1,
			MaxBlocks:            63963136,
			MajorVersion:         6,
			Version:              "6.82",
			Uuid:                 fmt.Sprintf("5f000000-00000001-0000-%012x", number),
			Extent:               []types.HostScsiDiskPartition{{DiskName: spec.DiskName, Partition: 1}},
			Local:                &local,
		},
	}, volume.Type
}
