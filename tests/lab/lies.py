"""Answers that are wrong, though the service is well and the connection, too: what a sweep puts in place of true ones.

============  =======================================================
``refused``   the service fails the call: a CLI fault ("Out of resources"), SystemError, 500; it has done nothing
``missing``   the service says that what was asked for is not there; it has done nothing
``garbage``   the service does it, the answer is of no form
``empty``     the service does it, the answer has nothing in it
``stale``     the service does it, the answer is that of the same call before
============  =======================================================
"""

import json
from dataclasses import dataclass

LIES = ("refused", "missing", "garbage", "empty", "stale")
UNDONE = frozenset({"refused", "missing"})
"""those for which the service never sees the call"""

NONSENSE = b"\x00<%nothing that anybody could read"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{}</soapenv:Body></soapenv:Envelope>'
)
EXECUTED = '<ExecuteSoapResponse xmlns="urn:vim25"><returnval>{}</returnval></ExecuteSoapResponse>'
CLI_FAULT = (
    "<fault><faultMsg>{message}</faultMsg><faultDetail>&lt;obj xmlns:xsi="
    '"http://www.w3.org/2001/XMLSchema-instance" xmlns="urn:vim25" xsi:type="{kind}"&gt;{inner}&lt;/obj&gt;'
    "</faultDetail></fault>"
)
EMPTY_LIST = '<obj {xsi} xmlns="urn:vim25" xsi:type="ArrayOfDataObject"/>'


@dataclass(frozen=True)
class Answer:
    """Status, media type and body."""

    status: int
    media_type: str
    body: bytes


def lie(kind: str, service: str, label: str, true: Answer | None) -> Answer:
    """Return the answer to give instead of the true one, which is None for a call that was not made."""
    if kind == "garbage":
        return Answer(200, true.media_type if true else "application/json", NONSENSE)
    if service == "vcenter":
        return _soap(kind, label)
    return _rest(kind, service)


def _soap(kind: str, label: str) -> Answer:
    esxcli, method = label.startswith("esxcli "), label
    if kind == "refused" and esxcli:
        return _body(
            EXECUTED.format(_cli_fault("VimEsxCLICLIFault", "EsxCLI.CLIFault.summary", "Out of resources"))
        )
    if kind == "missing" and esxcli:
        said = "The object or item referred to could not be found."
        return _body(EXECUTED.format(_cli_fault("NotFound", said)))
    if kind == "refused":
        return _fault("SystemError", "A general system error occurred: Out of resources")
    if kind == "missing":
        return _fault(
            "ManagedObjectNotFound", "The object has already been deleted or has not been completely created"
        )
    if esxcli:
        return _body(EXECUTED.format(f"<response>{_escaped(EMPTY_LIST)}</response>"))
    return _body(f'<{method}Response xmlns="urn:vim25"></{method}Response>')


def _cli_fault(kind: str, message: str, *errors: str) -> str:
    inner = "".join(f"&lt;errMsg&gt;{error}&lt;/errMsg&gt;" for error in errors)
    return CLI_FAULT.format(kind=kind, message=message, inner=inner)


def _fault(kind: str, message: str) -> Answer:
    fault = (
        f"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{message}</faultstring><detail>"
        f'<{kind}Fault xmlns="urn:vim25" xsi:type="{kind}"/></detail></soapenv:Fault>'
    )
    return _body(fault, 500)


def _body(inner: str, status: int = 200) -> Answer:
    return Answer(status, "text/xml; charset=utf-8", ENVELOPE.format(inner).encode())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _rest(kind: str, service: str) -> Answer:
    if kind == "empty":
        return Answer(200, "application/json", b"{}")
    status, code, word = (500, "262185", "InternalError") if kind == "refused" else (404, "4", "NotFound")
    if service == "kubernetes":
        answer: dict[str, object] = {"kind": "Status", "status": "Failure", "code": status, "reason": word}
        answer["message"] = "there is no such thing" if status == 404 else "out of resources"
    else:
        answer = {
            "error": {"code": code, "message": "entry doesn't exist" if status == 404 else "out of resources"}
        }
    return Answer(status, "application/json", json.dumps(answer).encode())
