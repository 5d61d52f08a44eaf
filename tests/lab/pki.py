"""A certificate authority of the lab's own, so that every service speaks real, verifiable TLS."""

import datetime
import ipaddress
import itertools
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LIFETIME = datetime.timedelta(days=90)


@dataclass(frozen=True)
class Cert:
    """A certificate and its key as PEM files."""

    cert_file: Path
    key_file: Path


def name(common_name: str) -> x509.Name:
    """Return an X.509 name with nothing but a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return an unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Pki:
    """Issues server certificates below one CA that lives as long as its directory; for any number of threads."""

    def __init__(self, directory: Path, *, key_ids: bool = True) -> None:
        """`key_ids`: whether certificates name keys by identifiers, which many companies' own CAs leave out."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._key_ids = key_ids
        self._number = itertools.count(1)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._ca = self._sign(name("xcopy lab CA"), self._key.public_key(), ca=True)
        self.ca_pem = self._ca.public_bytes(serialization.Encoding.PEM).decode()
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_text(self.ca_pem)

    def issue(self, common_name: str, *hosts: str) -> Cert:
        """Write a server certificate for the hosts, 127.0.0.1, ::1 and localhost by default."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(name(common_name), key.public_key(), hosts=hosts or LOOPBACK)
        stem = f"{common_name}-{next(self._number)}"
        files = Cert(self.directory / f"{stem}.pem", self.directory / f"{stem}.key")
        files.cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        files.key_file.touch(mode=0o600)
        files.key_file.write_bytes(pem(key))
        return files

    def server_context(self, common_name: str, *names: str) -> ssl.SSLContext:
        """Return a context for a server on loopback, which may have names as well."""
        files = self.issue(common_name, *LOOPBACK, *names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.cert_file, files.key_file)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts this CA and nothing else."""
        return ssl.create_default_context(cadata=self.ca_pem)

    def _sign(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        hosts: tuple[str, ...] = (),
        *,
        ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name("xcopy lab CA"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - LIFETIME)
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if self._key_ids:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False
            ).add_extension(issuer, critical=False)
        if ca:
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
            builder = builder.add_extension(
                x509.SubjectAlternativeName([general_name(h) for h in hosts]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def general_name(host: str) -> x509.GeneralName:
    """Return an IP address or a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
