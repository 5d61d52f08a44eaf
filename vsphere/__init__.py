"""vSphere and ESXi as one copy needs them: log-in, inventory, esxcli, devices, the vmkfstools clone.

Knows neither Kubernetes nor the storage array nor the program around it. What is disruptive to a host (rescan,
clone, detach, dead-path removal) takes the `Held` host lease as a required parameter.
"""
