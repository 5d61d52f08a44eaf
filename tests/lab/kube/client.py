"""A small JSON client of the Kubernetes API, independent of the program's own: what tests act and look with.

A connection per request: it may be used by any number of threads, and nothing is repeated behind a test's back.
"""

import http.client
import json
import ssl
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.lab.kube.resources import KINDS, path

Json = dict[str, Any]


class Refused(Exception):
    """The server answered with something else than success; `status` is HTTP's, `body` the Status object."""

    def __init__(self, request: str, status: int, body: Json) -> None:
        super().__init__(f"{request}: {status} {body.get('reason', '')}: {body.get('message', '')}")
        self.status = status
        self.body = body


class Client:
    """Speaks as the bearer of one token; with an empty token as nobody."""

    def __init__(self, url: str, context: ssl.SSLContext, token: str, timeout: float = 20.0) -> None:
        self._address = urlsplit(url).netloc
        self._context = context
        self._headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout = timeout

    def get(self, where: str, **params: str) -> Json:
        """Return an object, or a list with its metadata."""
        return self.request("GET", where, params=params)

    def list(self, where: str, **params: str) -> list[Json]:
        """Return the items of a collection."""
        items: list[Json] = self.get(where, **params)["items"]
        return items

    def create(self, where: str, body: Json) -> Json:
        """Create an object in a collection."""
        return self.request("POST", where, body)

    def replace(self, where: str, body: Json) -> Json:
        """Replace an object."""
        return self.request("PUT", where, body)

    def delete(self, where: str) -> Json:
        """Delete an object."""
        return self.request("DELETE", where)

    def change(self, where: str, edit: Callable[[Json], None], sub: str = "") -> Json:
        """Read an object, let `edit` change it, and write it, or a subresource of it; again on a conflict."""
        while True:
            body = self.get(where)
            edit(body)
            try:
                return self.replace(f"{where}/{sub}" if sub else where, body)
            except Refused as refused:
                if refused.status != 409:
                    raise

    def apply(self, body: Json) -> Json:
        """Create an object where its kind and metadata say, or make an existing one equal to it."""
        metadata = body["metadata"]
        collection = path(KINDS[body["kind"]].plural, metadata.get("namespace"))
        try:
            return self.create(collection, body)
        except Refused as refused:
            if refused.body.get("reason") != "AlreadyExists":
                raise
        return self.replace(f"{collection}/{metadata['name']}", body)

    def watch(self, where: str, **params: str) -> Generator[Json, None, None]:
        """Begin a watch; the generator ends when the server ends it, closing the generator ends it as well."""
        return _events(*self._send("GET", where, None, {"watch": "true", **params}))

    def request(self, verb: str, where: str, body: Any = None, params: dict[str, str] | None = None) -> Json:
        """Send one request and return the JSON of a success; a body that is a string is sent as it is."""
        connection, response = self._send(verb, where, body, params or {})
        try:
            answer: Json = json.loads(response.read())
            return answer
        finally:
            connection.close()

    def _send(
        self, verb: str, where: str, body: Any, params: dict[str, str]
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        url = f"{where}?{urlencode(params)}" if params else where
        data = body if isinstance(body, str) else None if body is None else json.dumps(body)
        connection = http.client.HTTPSConnection(self._address, context=self._context, timeout=self._timeout)
        try:
            connection.request(verb, url, data, self._headers)
            response = connection.getresponse()
            if response.status >= 300:
                raise Refused(f"{verb} {url}", response.status, _status(response))
        except BaseException:
            connection.close()
            raise
        return connection, response


def _events(
    connection: http.client.HTTPSConnection, response: http.client.HTTPResponse
) -> Generator[Json, None, None]:
    try:
        while line := response.readline():
            yield json.loads(line)
    finally:
        connection.close()


def _status(response: http.client.HTTPResponse) -> Json:
    text = response.read().decode()
    try:
        body = json.loads(text)
    except ValueError:
        return {"message": text}
    return body if isinstance(body, dict) else {"message": text}
