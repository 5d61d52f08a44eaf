"""What users of this program call settings that other parts speak of."""

from collections.abc import Mapping

from vsphere.errors import Setting
from vsphere.model import DiskKind

BY_HOST: Mapping[DiskKind, str] = {DiskKind.VVOL: "DISABLE_VVOL_METHOD", DiskKind.RDM: "DISABLE_RDM_METHOD"}
"""the variables by which the kinds of disks that an array may copy by itself are left to a host"""

NAMES: Mapping[Setting, str] = {
    Setting.VCENTER_ADDRESS: "The address is GOVMOMI_HOSTNAME (--vsphere-hostname).",
    Setting.VCENTER_LOGIN: "They are GOVMOMI_USERNAME and GOVMOMI_PASSWORD, in a pod from the provider's Secret.",
    Setting.VCENTER_CA: "The bundle is `cacert`, in a pod from the provider's Secret; GOVMOMI_INSECURE=true verifies "
    "nothing.",
    Setting.CLONE_METHOD: "The method is ESXI_CLONE_METHOD.",
    Setting.PRIVATE_KEY: "SSH_PRIVATE_KEY is the base64 of one: base64 -w0 <key file>.",
    Setting.KNOWN_HOSTS: "They are SSH_KNOWN_HOSTS.",
    Setting.FINGERPRINTS: "Expected are SSH_HOST_FINGERPRINTS, or SSH_KNOWN_HOSTS.",
    Setting.KEY_LINE: "For the SSH method, `populator ssh-key` prints the line.",
    Setting.VIB: "`populator vib build` does.",
    Setting.PLUGIN: "`populator vib install` does that; deploy/docs/host.md says what else can be done.",
}
"""a sentence each, to stand behind a hint of `vsphere`"""

KUBECONFIG = "The kubeconfig is KUBECONFIG (--kubeconfig)."
"""the same, of the one setting that hints of `lease` are about"""
