"""PEM as people paste it: the certificates come out whole, whatever stands around and between them."""

import base64
import ssl
import subprocess
from pathlib import Path

import pytest

from populator.pem import certificates, decoded
from tests.lab.pki import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def trusted(pki: Pki) -> str:
    """Return the CA as `openssl x509 -trustout` has it: with OpenSSL's notes behind the certificate."""
    command = ["openssl", "x509", "-in", str(pki.ca_file), "-trustout", "-addtrust", "serverAuth"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_only_the_blocks_count(pki: Pki) -> None:
    pem = pki.ca_pem
    one_line = pem.replace("\n", "\\n")
    for written in (
        pem,
        pem.strip(),
        f"# Müller\u2019s “CA” \u2013 gültig\n{pem}",
        f"\ufeff{pem}",
        pem.replace("\n", "\r\n"),
        one_line,
        one_line.replace("\\n", "\\r\\n"),
        f'"{one_line}"',
        f"Subject: \udcfc\n{pem}\udcfc",
        pem.replace("\n", "\n  "),
        pem.replace(" CERTIFICATE", " X509 CERTIFICATE"),
        trusted(pki),
    ):
        assert certificates(written) == pem, written


def test_all_of_a_bundle_are_taken(pki: Pki, tmp_path: Path) -> None:
    other = Pki(tmp_path).ca_pem
    assert certificates(f"one:\n{pki.ca_pem}\ntwo:\n{other}") == pki.ca_pem + other
    ssl.create_default_context(cadata=certificates(pki.ca_pem + other))
    assert certificates(" \n") == ""


def test_what_is_no_certificate_is_named(pki: Pki) -> None:
    broken = pki.ca_pem.replace("MI", "!!", 1)
    cut_off = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
    key = "-----BEGIN RSA PRIVATE KEY-----\ngeheim\n-----END RSA PRIVATE KEY-----"
    for written, says in (
        ("not a PEM", "no certificate in PEM"),
        (key, "no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----", "no certificate in PEM"),
        (pki.ca_pem + broken, "number 2, that cannot be read"),
        (cut_off, "number 1"),
        ("-----BEGIN CERTIFICATE----------END CERTIFICATE-----", "number 1"),
    ):
        with pytest.raises(ValueError, match=says) as caught:
            certificates(written)
        assert "geheim" not in str(caught.value)


def test_a_key_is_read_through_the_same_marks() -> None:
    pem = "-----BEGIN RSA PRIVATE KEY-----\ngeheim\n-----END RSA PRIVATE KEY-----\n"
    encoded = base64.b64encode(pem.encode()).decode()
    for written in (
        pem,
        f"\ufeff{pem}",
        pem.replace("\n", "\\n"),
        encoded,
        f"\ufeff{encoded}\r\n",
        base64.b64encode(f"\ufeff{pem}".encode()).decode(),
    ):
        assert decoded(written) == pem
    for nonsense in ("no base64!", "\udc80", base64.b64encode(b"\xff\xfe").decode()):
        assert decoded(nonsense) == ""
