"""TLS to storage arrays: whom we trust, at a door that verifies by that alone."""

import os
import ssl
from pathlib import Path
from typing import Any

import requests.adapters

from populator.errors import StorageError


def tls_context(*, verify: bool) -> ssl.SSLContext:
    """Return a context that trusts the system's store (SSL_CERT_FILE names another), or REQUESTS_CA_BUNDLE alone."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(
            cafile=None if bundle and Path(bundle).is_dir() else bundle,
            capath=bundle if bundle and Path(bundle).is_dir() else None,
        )
    except OSError as error:  # ssl's own errors are of this kind
        raise StorageError(
            f"REQUESTS_CA_BUNDLE names {bundle!r}, which is no bundle of PEM certificates that can be read.",
            "Let it name a file or folder of PEM certificates, or remove the variable.",
        ) from error
    # As at the other doors: companies' own CAs leave out the key identifiers that Python 3.13 began to insist on, and
    # people put the server's certificate itself into the bundle.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Adapter(requests.adapters.HTTPAdapter):
    """Verifies by a context of ours alone, where requests would take a bundle of its own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Let connections to the array use the context."""
        super().init_poolmanager(*args, ssl_context=self._context, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Let connections through a proxy use it, too."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)

    def build_connection_pool_key_attributes(self, *args: Any, **options: Any) -> Any:
        """Put an IPv6 address back into the brackets of which requests has taken it: urllib3 looks there for a zone."""
        parts, pool = super().build_connection_pool_key_attributes(*args, **options)
        host = str(parts["host"])
        return {**parts, "host": f"[{host}]" if ":" in host else host}, pool

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:  # noqa: ARG002 - requests' own
        """Leave the store as it is."""
        conn.cert_reqs = self._context.verify_mode
