"""PEM as people paste it: comments, marks and line ends of any editor around the blocks, which alone count. Pure."""

import base64
import re
import ssl

CERTIFICATE = re.compile(r"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----(.*?)-----END \1-----", re.DOTALL)
FILLING = re.compile(r"\\[rnt]|\s|\ufeff")
"""what is in a block besides base64; `\\n` in two characters is a line end that went through JSON or a shell"""
SEQUENCE = 0x30


def certificates(text: str) -> str:
    """Return the certificates of a bundle as plain PEM; empty for a blank text.

    Raises `ValueError`, whose text follows "this" in a sentence, where there is none or one cannot be read.
    """
    blocks = CERTIFICATE.findall(text)
    if text.strip() and not blocks:
        raise ValueError("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    return "".join(_certificate(number, body) for number, (_, body) in enumerate(blocks, 1))


def _certificate(number: int, body: str) -> str:
    try:
        der = _first_element(base64.b64decode(FILLING.sub("", body), validate=True))
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError):
        raise ValueError(f"holds a certificate, number {number}, that cannot be read") from None
    return ssl.DER_cert_to_PEM_cert(der)


def _first_element(der: bytes) -> bytes:
    """Return the certificate itself: in a TRUSTED one OpenSSL's notes about it follow."""
    if len(der) < 4 or der[0] != SEQUENCE:
        raise ValueError("not a certificate")
    more = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + more], "big") if more else der[1]
    return der[: 2 + more + length]


def decoded(value: str) -> str:
    """Return the text that a variable holds as base64, as Forklift gives keys, or as it is; empty for nonsense."""
    value = value.strip().removeprefix("\ufeff").strip()
    if value.startswith("-----BEGIN"):
        return value.replace("\\r", "").replace("\\n", "\n").strip() + "\n"
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode("utf-8-sig")
    except ValueError:
        return ""
