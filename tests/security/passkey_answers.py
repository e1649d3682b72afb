"""Answers of a passkey as an attacker sends them: true but for one thing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from login2fa_testing.software_passkey import Changes
from login2fa_testing.webauthn_bytes import Flags, base64url, from_base64url

Body = dict[str, Any]
SIGNED_FIELDS = ("clientDataJSON", "authenticatorData", "signature")

# Changes that the browser or the authenticator would have to make. All of it is signed, and so by the right key.
CHANGES: Mapping[str, Changes] = {
    "another origin": {"origin": "https://login.example.net"},
    "an origin above ours": {"origin": "http://localhost"},
    "another port": {"origin": "http://localhost:9999"},
    "another relying party": {"rp_id": "example.net"},
    "nobody verified": {"flags": Flags.UP},
    "nobody present": {"flags": Flags.UV},
    "synced, but not to be": {"flags": Flags.UP | Flags.UV | Flags.BS},
    "another challenge": {"client_data": {"challenge": base64url(bytes(32))}},
    "the challenge with padding": {"client_data": {"challenge": base64url(bytes(32)) + "="}},
    "a challenge that is a number": {"client_data": {"challenge": 7}},
    "a registration": {"client_data": {"type": "webauthn.create"}},
    "a payment": {"client_data": {"type": "payment.get"}},
    "a frame of another origin": {"client_data": {"crossOrigin": True}},
    "a frame, in words": {"client_data": {"crossOrigin": "false"}},
    "the page around it": {"client_data": {"topOrigin": "https://login.example.net"}},
    "a token binding that nobody knows": {"client_data": {"tokenBinding": {"status": "broken"}}},
    "another's handle": {"user_handle": bytes(32)},
    "an empty handle": {"user_handle": b""},
    "another's credential": {"credential_id": b"another"},
    "an empty credential": {"credential_id": b""},
    "an endless credential": {"credential_id": bytes(1024)},
}


def _respelled(field: str, respell: Callable[[str], str]) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body["credential"]["response"][field] = respell(body["credential"]["response"][field])

    return change


def _flipped(text: str) -> str:
    data = from_base64url(text)
    return base64url(data[:-1] + bytes([data[-1] ^ 1]))


def _set(*path: str, to: Any) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        place = body
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = to

    return change


def _another_spelling(text: str) -> str:
    """Another spelling of the same bytes, where the last character has bits that stand for none."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1] if len(text) % 4 else text + "===="


# What is done to the body on its way.
RESPELLINGS: Mapping[str, Callable[[str], str]] = {
    "a bit of it": _flipped,
    "nothing of it": lambda _: "",
    "half of it": lambda text: text[: len(text) // 2],
    "it twice": lambda text: text + text,
    "it with padding": lambda text: text + "=",
    "it and a line break": lambda text: text + "\n",
    "it and what base64 overlooks": lambda text: text + "!!",
    "one character too many": lambda text: text + "A",
    "another spelling of it": _another_spelling,
    "the digits of another script": lambda text: text[:-1] + "\u0661",
    "a NUL": lambda text: text + "\0",
    "deep JSON": lambda _: base64url(b"[" * 3000),
    "JSON that is no object": lambda _: base64url(b"[]"),
    "another JSON": lambda _: base64url(b'{"type": "webauthn.get"}'),
    "no UTF-8": lambda _: base64url(b"\xff\xfe{}"),
    "more numbers than fit": lambda _: base64url(b'{"challenge": ' + b"9" * 3000 + b"}"),
}
ON_ITS_WAY: Mapping[str, Callable[[Body], None]] = {
    **{f"{field}: {name}": _respelled(field, how) for field in SIGNED_FIELDS for name, how in RESPELLINGS.items()},
    "the id alone": _set("credential", "id", to=base64url(b"another")),
    "the raw id alone": _set("credential", "rawId", to=base64url(b"another")),
    "an id with padding": lambda body: body["credential"].update(id=body["credential"]["id"] + "="),
    "another type": _set("credential", "type", to="password"),
    "no ceremony": _set("ceremony", to=""),
    "a ceremony that nobody signed": lambda body: body.update(ceremony=body["ceremony"][:-4] + "AAAA"),
    "a handle that is no base64url": _set("credential", "response", "userHandle", to="?"),
}


def mutated(body: Body, dice: Random) -> Body:
    """Anything, anywhere, but for what is not looked at: it is never the true answer."""
    other = copy.deepcopy(body)
    response = other["credential"]["response"]
    place, name = dice.choice([(response, field) for field in SIGNED_FIELDS] + [(other["credential"], "id")])
    place[name] = _damaged(place[name], dice)
    return other


def _damaged(text: str, dice: Random) -> str:
    data = bytearray(from_base64url(text))
    at = dice.randrange(len(data))
    match dice.randrange(5):
        case 0:
            data[at] ^= 1 << dice.randrange(8)
        case 1:
            del data[at:]
        case 2:
            data[at:at] = dice.randbytes(dice.randrange(1, 40))
        case 3:
            data[at : at + 4] = bytes(each ^ 0xFF for each in data[at : at + 4])
        case _:
            return text[:at] + dice.choice("=!\n +/\u0661") + text[at:]
    return base64url(bytes(data))
