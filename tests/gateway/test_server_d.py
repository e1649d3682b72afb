"""What an operator adds below server.d: the two examples, as they are but for ports, paths and addresses."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.asking import problem
from tests.gateway.conftest import Start
from tests.gateway.gateway import GATEWAY, Gateway
from tests.servers.ports import free_ports


def certificate(folder: Path) -> None:
    """For 127.0.0.1, signed by itself: tls.crt and tls.key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    (folder / "tls.key").write_bytes(pem)


@pytest.fixture
def tls(start: Start, tmp_path_factory: pytest.TempPathFactory) -> tuple[Gateway, int, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder)
    (port,) = free_ports(1)
    example = (GATEWAY / "tls.conf.example").read_text()
    config = example.replace(" /run/tls/", f" {folder}/").replace("listen 8443", f"listen {port}")
    return start(server={"tls.conf": config}), port, ssl.create_default_context(cafile=str(folder / "tls.crt"))


def test_with_the_example_for_tls_clients_are_served_over_tls(tls: tuple[Gateway, int, ssl.SSLContext]) -> None:
    gateway, port, context = tls
    answer = httpx.get(f"https://127.0.0.1:{port}/api/v1/auth/x", verify=context, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert gateway.auth.last().header("x-forwarded-proto") == ["https"]
    assert "strict-transport-security" not in gateway.http.get("/api/v1/auth/x").headers


def test_plain_http_on_the_port_for_tls_is_told_so(tls: tuple[Gateway, int, ssl.SSLContext]) -> None:
    _, port, _ = tls
    problem(httpx.get(f"http://127.0.0.1:{port}/docs", trust_env=False), 400, "bad_request")


@pytest.mark.parametrize(
    ("trusted", "said", "seen"),
    [
        # The client has written the first of each itself.
        ("127.0.0.1", "198.51.100.66, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.0/8", "198.51.100.66, 203.0.113.9, 127.0.0.5", "203.0.113.9"),
        ("192.0.2.0/24", "198.51.100.66, 203.0.113.9", "127.0.0.1"),
    ],
    ids=["one load balancer", "two in a row", "anybody else"],
)
def test_a_load_balancer_s_word_on_the_client_counts_and_nobody_else_s(
    start: Start, trusted: str, said: str, seen: str
) -> None:
    example = (GATEWAY / "load-balancer.conf.example").read_text()
    gateway = start(server={"load-balancer.conf": example.replace("192.0.2.0/24", trusted)})
    gateway.http.get("/api/v1/auth/x", headers={"X-Forwarded-For": said})
    assert gateway.auth.last().header("x-forwarded-for") == [seen]
