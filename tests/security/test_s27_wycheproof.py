"""S27: the JSON Web Signature vectors of Wycheproof (C2SP): every invalid one is rejected by the reader of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from jwt.api_jws import PyJWS

from shared import signed_tokens
from shared.jwks import signing_keys
from shared.signed_tokens import ALGORITHMS, Kind, TokenInvalid, read
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


def signature_accepted(vector: Vector) -> bool:
    """What is left of the reader without its rules about header and claims: the vectors hold no claims."""
    key = vector.find("")
    if key is None or key.algorithm_name not in ALGORITHMS or not signed_tokens._COMPACT.fullmatch(vector.token):
        return False
    try:
        PyJWS().decode_complete(vector.token, key.key, algorithms=[key.algorithm_name])
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return True


def test_the_reader_rejects_every_vector_and_raises_nothing_else() -> None:
    seen = 0
    for vector in all_vectors():
        seen += 1
        with pytest.raises(TokenInvalid):
            read(vector.token, ANY_KIND, vector.find)
    assert seen == 401


def test_no_invalid_signature_passes_even_without_the_rules_about_header_and_claims() -> None:
    passed = [(each.number, each.comment) for each in all_vectors() if not each.valid and signature_accepted(each)]
    assert passed == []


def test_the_valid_ones_of_our_algorithms_pass_there() -> None:
    """Else the test above would prove nothing."""
    ours = [each for each in all_vectors() if each.valid and each.key.get("alg") in ALGORITHMS and "use" in each.key]
    assert len(ours) >= 4
    assert [(each.number, each.comment) for each in ours if not signature_accepted(each)] == []
