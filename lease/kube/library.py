"""The part of the `kubernetes` package that `api` uses, imported without the rest of it, and the ways to a cluster.

Its `__init__` modules import all models of all APIs: 0.85 s and 30 MB, against 0.15 s and 10 MB for what is used here
in a pod, and 0.3 s and 15 MB with a kubeconfig (whose loader wants oauthlib, requests and yaml).
"""

import functools
import importlib
import os
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

from lease.kube.errors import ApiError

_IMPORTING = threading.Lock()
"""held while `sys.modules` is not as others expect it"""


@dataclass(frozen=True)
class Library:
    """What is used of `kubernetes`, and of the urllib3 below it."""

    configuration: Callable[..., Any]
    rest: Callable[..., Any]
    loader: Any
    broken: tuple[type[Exception], ...]
    """what a call raises when no whole answer came"""
    unusable: tuple[type[Exception], ...]
    """what the loaders raise over files that are missing or not in order"""


class Way:
    """How to reach a cluster; `configuration` reads the files again each time, since tokens rotate."""

    def __init__(self, kubeconfig: str | None, master: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._master = master
        self._in_pod = not kubeconfig and not master and "KUBERNETES_SERVICE_HOST" in os.environ
        with _IMPORTING:
            self.library = _library("incluster_config" if self._in_pod else "kube_config")

    def configuration(self) -> Any:
        """Return a Configuration of the library; raises ApiError when nothing usable is found."""
        try:
            configuration = self._read()
        except self.library.unusable as error:
            if isinstance(error, (self.library.loader.ConfigException, OSError)):
                problem = str(error).rstrip(".")
            elif isinstance(error, (ImportError, *self.library.broken)):
                problem = "the token of its user's auth-provider has expired, and could not be renewed"
            else:
                problem = "it is not a valid kubeconfig"
            where = "service account" if self._in_pod else self._kubeconfig or "default kubeconfig"
            raise ApiError("", "", reason="Config", message=f"{where}: {problem}") from error
        configuration.host = (self._master or configuration.host).rstrip("/")
        return configuration

    def _read(self) -> Any:
        loader, configuration = self.library.loader, self.library.configuration(retries=False)
        if self._in_pod:
            files = loader.SERVICE_TOKEN_FILENAME, loader.SERVICE_CERT_FILENAME
            loader.InClusterConfigLoader(*files, try_refresh_token=False).load_and_set(configuration)
        elif self._kubeconfig or not self._master:
            loader.load_kube_config(
                self._kubeconfig, client_configuration=configuration, persist_config=False
            )
        return configuration


@functools.cache
def _library(loader: str) -> Library:
    with _package_inits_skipped():
        configuration = importlib.import_module("kubernetes.client.configuration").Configuration
        package: Any = sys.modules["kubernetes.client"]
        package.Configuration, package.ApiClient = configuration, _whole_api_client
        rest = importlib.import_module("kubernetes.client.rest")
        config = importlib.import_module(f"kubernetes.config.{loader}")
    broken: tuple[type[Exception], ...] = (rest.urllib3.exceptions.HTTPError, rest.ApiException, OSError)
    unusable: list[type[Exception]] = [ValueError, TypeError, AttributeError, LookupError, *broken]
    unusable.append(ImportError)  # the image lacks what renews the token of an auth-provider
    unusable.append(config.ConfigException)
    if loader == "kube_config":
        unusable.append(config.yaml.YAMLError)

    def client(configuration: Any) -> Any:
        try:
            complete_proxy(configuration, rest.urllib3.make_headers)
            made = rest.RESTClientObject(configuration)
        except (rest.urllib3.exceptions.HTTPError, ImportError, ValueError) as error:
            message = "the proxy that HTTPS_PROXY names cannot be used"
            raise ApiError("", "", reason="Config", message=message) from error
        made.pool_manager.connection_pool_kw["ssl_context"] = tls_context(configuration)
        return made

    return Library(configuration, client, config, broken, tuple(unusable))


def complete_proxy(configuration: Any, make_headers: Callable[..., Any]) -> None:
    """Read a proxy as curl and requests do: it may have no scheme, and its URL may hold user and password."""
    given = configuration.proxy
    if given:
        configuration.proxy = given if "//" in given else f"http://{given}"
        user = unquote(urlsplit(configuration.proxy).netloc.rpartition("@")[0])
        configuration.proxy_headers = make_headers(proxy_basic_auth=user or None)


def tls_context(configuration: Any) -> ssl.SSLContext:
    """Return a context that urllib3 completes by the configuration's CA and client certificate.

    Clusters' CAs, too, may leave out the key identifiers that Python 3.13, and urllib3 with it, began to insist on.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not (configuration.ssl_ca_cert or configuration.ca_cert_data):
        context.load_default_certs()
    return context


@contextmanager
def _package_inits_skipped() -> Iterator[None]:
    """Let single modules of `kubernetes` be imported without running the `__init__` of the packages above.

    In here, bare packages that only know their folder stand in for them. After it nothing of this is left in
    `sys.modules`, so code that imports `kubernetes` itself gets the whole package.
    """
    spec = find_spec("kubernetes")
    folder = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
    before = {name: sys.modules.pop(name) for name in _loaded()}
    for name in ("kubernetes", "kubernetes.client", "kubernetes.config", "kubernetes.utils"):
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [folder + name.removeprefix("kubernetes").replace(".", os.sep)]
    try:
        yield
    finally:
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(before)


def _loaded() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]


def _whole_api_client(*args: Any, **kwargs: Any) -> Any:
    """Stand in for ApiClient, which a kubeconfig needs only to refresh an OIDC token by an auth-provider."""
    return importlib.import_module("kubernetes.client").ApiClient(*args, **kwargs)
