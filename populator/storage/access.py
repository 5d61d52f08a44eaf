"""What a driver is given to reach its array."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Access:
    """Address, credentials and the vendor's own settings; the repr holds no secret."""

    hostname: str
    """host, host:port or a URL, of which only host and port count: HTTPS is all we speak"""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    verify: bool = True
    """whether the array's certificate must be trusted"""
    timeout: float = 30.0
    """seconds for one call"""
    options: Mapping[str, str] = field(default_factory=dict)
    """the vendor's keys of the Secret, such as `ONTAP_SVM`"""
