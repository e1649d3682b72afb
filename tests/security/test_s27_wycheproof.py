"""S27: the JSON Web Signature vectors of Wycheproof (C2SP): every invalid one is rejected by the reader of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import jwt
import pytest
from jwt.api_jws import PyJWS

from shared.tokens.remote_keys import signing_keys
from shared.tokens.signed import ALGORITHMS, Kind, TokenInvalid, read
from tests.security.vectors import vectors

ANY_KIND = Kind("JWT", "anybody", "anybody")


@dataclass(frozen=True)
class Vector:
    number: int
    comment: str
    token: str
    valid: bool
    key: dict[str, Any]

    def find(self, _kid: str) -> jwt.PyJWK | None:
        """The vector's key under any name, if it is one that we would take from a key set."""
        try:
            return signing_keys({"keys": [self.key | {"kid": "any"}]}).get("any")
        except jwt.PyJWTError:
            return None


def all_vectors() -> Iterator[Vector]:
    for group in vectors("wycheproof_jws.json")["testGroups"]:
        key = group.get("public") or group["private"]
        for test in group["tests"]:
            yield Vector(test["tcId"], test["comment"], test["jws"], test["result"] == "valid", key)


class SignatureAccepted(Exception):
    """The reader has come to the claims, and the vectors hold none."""


@pytest.fixture
def signature_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader without its rules about a header, and without all that it does after the signature."""
    verify, header_of = PyJWS.decode_complete, jwt.get_unverified_header

    def verify_alone(*arguments: Any, **options: Any) -> NoReturn:
        verify(*arguments, **options)
        raise SignatureAccepted

    def good_header(token: str) -> dict[str, Any]:
        return {"alg": header_of(token).get("alg"), "kid": "any", "typ": ANY_KIND.typ}

    monkeypatch.setattr(PyJWS, "decode_complete", verify_alone)
    monkeypatch.setattr(jwt, "get_unverified_header", good_header)


def signature_accepted(vector: Vector) -> bool:
    with pytest.raises((SignatureAccepted, TokenInvalid)) as ended:
        read(vector.token, ANY_KIND, vector.find)
    return ended.type is SignatureAccepted


def test_the_reader_rejects_every_vector_and_raises_nothing_else() -> None:
    seen = 0
    for vector in all_vectors():
        seen += 1
        with pytest.raises(TokenInvalid):
            read(vector.token, ANY_KIND, vector.find)
    assert seen == 401


@pytest.mark.usefixtures("signature_alone")
def test_no_invalid_signature_passes_even_without_the_rules_about_header_and_claims() -> None:
    passed = [(each.number, each.comment) for each in all_vectors() if not each.valid and signature_accepted(each)]
    assert passed == []


@pytest.mark.usefixtures("signature_alone")
def test_the_valid_ones_of_our_algorithms_pass_there() -> None:
    """Else the test above would prove nothing."""
    ours = [each for each in all_vectors() if each.valid and each.key.get("alg") in ALGORITHMS and "use" in each.key]
    assert len(ours) >= 4
    assert [(each.number, each.comment) for each in ours if not signature_accepted(each)] == []
