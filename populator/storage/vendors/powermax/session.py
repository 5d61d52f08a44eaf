"""How Unisphere lets us in: credentials in each call; the first one also says which versions of the API it has."""

from collections.abc import Mapping

from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.login import Basic, Send
from populator.storage.vendors.powermax import names

VERSION = "/univmax/restapi/version"


class Session(Basic):
    """See the module."""

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self._hostname = access.hostname
        self.api = ""
        """of its versions the one to use; empty before the first call"""

    def begin(self, send: Send) -> Mapping[str, str]:
        """Choose the version of the API."""
        headers = {**super().begin(send), "Application-Type": "xcopy-populator"}
        answer = send("GET", VERSION, "tell its version", headers=headers)
        unisphere = answer.text("version")
        offered = answer.texts("supported_api_versions")
        self.api = names.api_version(offered, unisphere)
        if not self.api:
            has = f", which offers the API versions {', '.join(offered)}" if offered else ""
            raise StorageError(
                f"Unisphere at {self._hostname} is {unisphere}{has}; this program needs API version "
                f"{' or '.join(names.APIS)}.",
                "Use Unisphere 9.2, or 10.0 and newer releases that offer one of them.",
            )
        return headers
