"""The properties that ONTAP's REST API has for each kind of object: all that `fields` may name. Data only.

As NetApp's SDK of 9.19.1 lists them; `tests/contract/test_ontap_sdk.py` compares.
"""

LUNS = (
    "access_mode",
    "attributes",
    "auto_delete",
    "class",
    "clone",
    "comment",
    "consistency_group",
    "copy",
    "create_time",
    "enabled",
    "encryption",
    "location",
    "lun_maps",
    "metric",
    "movement",
    "name",
    "os_type",
    "qos_policy",
    "serial_number",
    "serial_number_hex",
    "space",
    "statistics",
    "status",
    "svm",
    "uuid",
    "vvol",
)
IGROUPS = (
    "comment",
    "connectivity_tracking",
    "delete_on_unmap",
    "igroups",
    "initiators",
    "lun_maps",
    "name",
    "os_type",
    "parent_igroups",
    "portset",
    "protocol",
    "replication",
    "supports_igroups",
    "svm",
    "target",
    "uuid",
)
LUN_MAPS = (
    "igroup",
    "logical_unit_number",
    "lun",
    "replicated",
    "reporting_nodes",
    "svm",
)
ISCSI_SESSIONS = (
    "connections",
    "igroups",
    "initiator",
    "isid",
    "svm",
    "target_portal_group",
    "target_portal_group_tag",
    "tsih",
)
FC_LOGINS = (
    "igroups",
    "initiator",
    "interface",
    "protocol",
    "svm",
)
