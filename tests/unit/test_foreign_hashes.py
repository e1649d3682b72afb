"""Password hashes of other systems: the right password and no other, and no cost beyond a bound."""

from __future__ import annotations

import base64
import hashlib
import hmac

import bcrypt
import pytest
from argon2 import PasswordHasher

from shared.passwords.foreign import HashNotKnown, is_to_be_replaced, kind_of, read, refuse_unusable
from shared.passwords.hashing import Passwords

PASSWORD = "correct horse 🐴"
LONG = "x" * 73

# Public examples of phpass and of Firebase, made by their own programs.
PHPASS = "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"
FIREBASE = (
    "$firescrypt$ln=14,r=8,p=1$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78"
    "198JAdRuid5lQ==$Bw==$jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
)


def b64(value: bytes, *, adapted: bool = False) -> str:
    text = base64.b64encode(value).decode()
    return text.rstrip("=").replace("+", ".") if adapted else text


def of_bcrypt(password: str) -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()


def of_wordpress(password: str) -> str:
    digest = base64.b64encode(hmac.digest(b"wp-sha384", password.encode(), "sha384"))
    return "$wp" + bcrypt.hashpw(digest, bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def of_django(password: str) -> str:
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1000)
    return f"pbkdf2_sha256$1000$salt${b64(derived)}"


def of_passlib(password: str) -> str:
    derived = hashlib.pbkdf2_hmac("sha512", password.encode(), b"salt" * 4, 1000)
    return f"$pbkdf2-sha512$1000${b64(b'salt' * 4, adapted=True)}${b64(derived, adapted=True)}"


def of_scrypt(password: str) -> str:
    derived = hashlib.scrypt(password.encode(), salt=b"salt", n=2**10, r=8, p=1, dklen=32)
    return f"$scrypt$ln=10,r=8,p=1${b64(b'salt').rstrip('=')}${b64(derived).rstrip('=')}"


MADE = {
    "bcrypt": of_bcrypt,
    "bcrypt of PHP": lambda password: of_bcrypt(password).replace("$2b$", "$2y$"),
    "WordPress": of_wordpress,
    "Django": of_django,
    "passlib": of_passlib,
    "scrypt": of_scrypt,
}


@pytest.mark.parametrize("kind", MADE)
def test_the_right_password_matches_and_a_wrong_one_does_not(kind: str) -> None:
    known = read(MADE[kind](PASSWORD))
    assert known.matches(PASSWORD.encode())
    for wrong in (PASSWORD[:-1], PASSWORD + " 1", "", "\0", PASSWORD.encode().decode("latin-1")):
        assert not known.matches(wrong.encode())


@pytest.mark.parametrize(("stored", "password"), [(PHPASS, b"test12345"), (FIREBASE, b"user1password")])
def test_what_their_own_programs_have_made_is_read(stored: str, password: bytes) -> None:
    assert read(stored).matches(password)
    assert not read(stored).matches(password[:-1])
    assert not read(stored).matches(password + b"x")


@pytest.mark.parametrize("kind", [each for each in MADE if "bcrypt" not in each])
def test_all_73_bytes_of_a_password_count(kind: str) -> None:
    known = read(MADE[kind](LONG))
    assert known.matches(LONG.encode())
    assert not known.matches(LONG[:-1].encode())


def test_bcrypt_has_read_72_bytes_and_such_a_password_is_not_hashed_anew() -> None:
    stored = of_bcrypt(LONG)
    assert read(stored).matches(LONG.encode())
    assert read(stored).matches(LONG[:72].encode() + b"a slip of the finger")
    assert not is_to_be_replaced(stored, LONG)
    assert is_to_be_replaced(stored, LONG[:72])
    assert all(is_to_be_replaced(MADE[kind](LONG), LONG) for kind in MADE if "bcrypt" not in kind)


def test_wordpress_trims_and_a_password_that_it_has_trimmed_is_not_hashed_anew() -> None:
    stored = MADE["WordPress"](PASSWORD)
    assert read(stored).matches(f" {PASSWORD}\n".encode())
    assert not is_to_be_replaced(stored, f" {PASSWORD}\n")
    assert is_to_be_replaced(stored, PASSWORD)


def test_hashes_of_one_format_and_cost_are_of_one_kind() -> None:
    for kind, made in MADE.items():
        assert kind_of(made("a")) == kind_of(made("b")), kind
    assert len({kind_of(each) for each in (*(made("a") for made in MADE.values()), PHPASS, FIREBASE)}) == len(MADE) + 2
    assert kind_of(of_bcrypt("x")) != kind_of(of_bcrypt("x").replace("$04$", "$05$"))


async def test_an_argon2id_hash_of_what_was_typed_is_taken_too() -> None:
    typed = "\ufb01ve"  # with a ligature, which NFKC takes apart
    passwords = Passwords(memory_kib=8, passes=1)
    for stored in (PasswordHasher(1, 8, 1).hash(typed), await passwords.hash(typed)):
        assert await passwords.verify(typed, stored)
        assert not await passwords.verify("six", stored)
    passwords.close()


def test_ours_stays() -> None:
    ours = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    assert not is_to_be_replaced(ours, PASSWORD)
    refuse_unusable(ours)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (of_bcrypt("x").replace("$04$", "$20$"), "cost=20"),
        ("$wp" + of_bcrypt("x").replace("$04$", "$31$"), "cost=31"),
        (of_django("x").replace("$1000$", "$99999999$"), "rounds=99999999"),
        (of_passlib("x").replace("$1000$", "$0$"), "rounds=0"),
        (of_scrypt("x").replace("ln=10", "ln=20"), "memory"),
        (of_scrypt("x").replace("p=1", "p=99"), "p=99"),
        (FIREBASE.replace("ln=14", "ln=30"), "ln=30"),
        (PHPASS.replace("$P$9", "$P$z"), "cost=63"),
        ("$argon2id$v=19$m=99999999,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "m=99999999"),
        ("$argon2id$v=16$m=8,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "version 19"),
        ("$argon2id$", "PHC"),
        ("$argon2i$v=19$m=8,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "docs/import.md"),
        ("$pbkdf2$1000$A$A", "Base64"),
        ("plain text", "docs/import.md"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "docs/import.md"),
        ("", "docs/import.md"),
    ],
)
def test_what_costs_too_much_or_is_no_known_hash_is_refused_with_what_is_wrong(stored: str, said: str) -> None:
    with pytest.raises(HashNotKnown) as refused:
        refuse_unusable(stored)
    assert said in str(refused.value)
    if stored:
        assert stored not in str(refused.value)
