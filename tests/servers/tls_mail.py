"""The tests' mail server as a relay has it: STARTTLS first, then a login, then mail."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers.mail import MailSink
from tests.servers.misbehaving_smtp import hang_up

USERNAME = "login2fa"


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server of the tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(MailSink.host))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "mail-server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


class TlsMailSink(MailSink):
    """Takes mail from one who has shown `password`; `logins` are the passwords that it was shown."""

    def __init__(self, certificate: Path, password: str) -> None:
        super().__init__()
        self.logins: list[str] = []
        self._password = password
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        self._options = {
            "tls_context": context,
            "require_starttls": True,
            "authenticator": self._authenticate,
            "auth_required": True,
        }

    async def __aexit__(self, *exception: object) -> None:
        for protocol in self._protocols:
            if protocol.transport is not None and not (protocol.session and protocol.session.ssl):
                # Nobody tells aiosmtpd of a handshake that failed, and it would keep its connection for ever.
                hang_up(protocol)
                protocol.connection_lost(None)
        await super().__aexit__(*exception)

    def _authenticate(self, *arguments: Any) -> AuthResult:
        shown = arguments[-1]
        assert isinstance(shown, LoginPassword)
        self.logins.append(shown.password.decode())
        return AuthResult(success=self.logins[-1] == self._password, handled=False)
