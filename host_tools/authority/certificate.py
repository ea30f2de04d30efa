"""A certificate for a server on this computer, made by itself: for demonstrations and tests only."""

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from host_tools.matching.durable import replacing

_DAYS = 90


def make_certificate(server: Path, trusted: Path, now_s: int) -> None:
    """Make key and certificate for localhost.

    Args:
        server: receives both (PEM), for the server alone.
        trusted: receives the certificate, for clients: `SSL_CERT_FILE` names it to them.
        now_s: Unix s; it is valid from the day before on, for 90 days.
    """
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begins = datetime.fromtimestamp(now_s, UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with replacing(server) as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(private + certificate)
    with replacing(trusted) as stream:
        stream.write(certificate)
