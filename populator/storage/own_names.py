"""What populators call the objects that they make on an array, and know them by. Pure.

Forklift's Go populator begins names in the same way, so what either leaves behind is recognised by both. How they
end is the vendor's matter.
"""

OURS = "xcopy-"
FOR_A_HOST = f"{OURS}hostsystem-"
FOR_ALL_HOSTS = f"{OURS}esxs"
"""made by populators before MTV 2.10.4, one for all hosts"""


def stem(host: str) -> str:
    """Return how the names begin of what is made for a host."""
    return f"{FOR_A_HOST}{in_names(host)}"


def in_names(host: str) -> str:
    """Return a host's id as it stands in names."""
    return host.lower().replace(":", "-")
