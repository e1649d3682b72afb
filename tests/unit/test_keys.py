"""The signing keys: how they are made and published, and which are refused: services.auth.tokens.keys."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from services.auth.tokens.keys import KeyRing, KeysInvalid, generate
from tests.pem_files import write_key

# A key on secp112r1, which no library of ours knows.
EXOTIC = b"""-----BEGIN PRIVATE KEY-----
ME4CAQAwEAYHKoZIzj0CAQYFK4EEAAYENzA1AgEBBA5BHTbbJdvry0Eu3uoSSKEg
Ax4ABE1sUbOyN7Vxw7GDhsWOYe+nQACK1O5kTGH93GI=
-----END PRIVATE KEY-----
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def published(ring: KeyRing) -> list[str]:
    return [key["kid"] for key in json.loads(ring.document()[0])["keys"]]


def signed_by(ring: KeyRing) -> str:
    return ring.signing_key().kid


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- made


def test_a_new_key_is_readable_by_its_owner_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        path = generate(folder)
    finally:
        os.umask(before)
    assert (mode(path), mode(folder)) == (0o600, 0o700)


def test_nothing_but_whole_keys_is_left_in_the_folder(folder: Path) -> None:
    paths = {generate(folder), generate(folder)}
    assert set(folder.iterdir()) == paths


def test_a_new_key_signs_at_once_and_is_published_with_what_a_client_needs(folder: Path) -> None:
    generate(folder)
    ring = KeyRing(folder)
    (key,) = json.loads(ring.document()[0])["keys"]

    assert {name: key[name] for name in ("kty", "crv", "alg", "use")} == {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
    }
    assert key["kid"] == signed_by(ring)


def test_the_published_document_holds_no_private_part(folder: Path) -> None:
    for name, private in {
        "a": ec.generate_private_key(ec.SECP256R1()),
        "b": ed25519.Ed25519PrivateKey.generate(),
        "c": rsa.generate_private_key(65537, 2048),
    }.items():
        write_key(folder / f"{name}.pem", private)
    document = json.loads(KeyRing(folder).document()[0])
    assert len(document["keys"]) == 3
    for key in document["keys"]:
        assert not set(key) & {"d", "p", "q", "dp", "dq", "qi", "k"}


def test_the_key_id_is_the_thumbprint_of_rfc_7638(folder: Path) -> None:
    # The example of RFC 8037, appendix A.3.
    private = ed25519.Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    write_key(folder / "rfc.pem", private)
    assert published(KeyRing(folder)) == ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
    ],
)
def test_each_supported_kind_of_key_signs_and_verifies(folder: Path, make: Callable[[], Any], algorithm: str) -> None:
    write_key(folder / "own.pem", make())
    ring = KeyRing(folder)
    key = ring.signing_key()
    token = jwt.encode({"sub": "me"}, key.private, key.algorithm)
    public = ring.find(key.kid)

    assert key.algorithm == algorithm
    assert public is not None
    assert jwt.decode(token, public, [algorithm]) == {"sub": "me"}


# --- refused


@pytest.mark.parametrize(
    "private",
    [
        lambda: rsa.generate_private_key(65537, 1024),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate,
    ],
)
def test_a_key_of_another_kind_or_too_short_is_named(folder: Path, private: Callable[[], Any]) -> None:
    write_key(folder / "own.pem", private())
    with pytest.raises(KeysInvalid, match=r"own\.pem is neither P-256, Ed25519 nor RSA"):
        KeyRing(folder)


def test_a_file_that_is_no_private_key_is_named_without_its_content(folder: Path) -> None:
    good = generate(folder)
    whole = good.read_bytes()
    private = serialization.load_pem_private_key(whole, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    contents = {
        "empty": b"",
        "text": b"canary",
        "exotic": EXOTIC,
        "half": whole[: len(whole) // 2],
        "public": private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        "encrypted": private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        ),
    }
    for name, content in contents.items():
        (folder / f"{name}.pem").write_bytes(content)
        with pytest.raises(KeysInvalid, match=rf"{name}\.pem is no readable, unencrypted PEM") as refused:
            KeyRing(folder)
        assert "canary" not in str(refused.value)
        (folder / f"{name}.pem").unlink()


def test_a_folder_without_keys_or_without_existence_tells_how_to_make_one(folder: Path, tmp_path: Path) -> None:
    for empty in (folder, tmp_path):
        with pytest.raises(KeysInvalid, match="login2fa keys generate"):
            KeyRing(empty)
