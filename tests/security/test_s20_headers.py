"""S20: the header of a token names nothing that is fetched, opened or looked up."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.auth.tokens.keys import generate
from tests.forging import Signer
from tests.security.doors import KINDS, Doors
from tests.security.somebody import LoggedIn

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[object, ...]) -> None:
    # Can't be taken away again, and is called for all that Python does: so it looks at its list first.
    if _opened is not None and event == "open":
        _opened.append(str(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The paths of all files that are opened meanwhile."""
    global _opened  # noqa: PLW0603 - an audit hook has no other way to learn of it
    _opened = []
    yield _opened
    _opened = None


@pytest.fixture
async def trap() -> AsyncIterator[tuple[str, list[object]]]:
    """An address, and who has connected to it."""
    callers: list[object] = []

    async def called(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        writer.close()

    async with await asyncio.start_server(called, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", callers


@pytest.mark.parametrize("kind", KINDS)
async def test_no_kid_is_a_path_a_query_or_an_address(
    doors: Doors, person: LoggedIn, forger: Signer, opened: list[str], tmp_path: Path, kind: str
) -> None:
    bait = generate(tmp_path / "bait")
    kids = {
        "a key file": str(bait),
        "a key file, from far": "../" * 20 + str(bait).lstrip("/"),
        "a key file by URL": f"file://{bait}",
        "a device": "/dev/null",
        "SQL": "' OR 1=1; --",
        "SQL that makes a row": "x' UNION SELECT 'AAAA",
        "NUL": f"{forger.kid}\0",
        "nothing": "",
        "half a pair": "\ud800",
        "of 5 kB": "k" * 5000,
    }
    tokens = {name: person.with_header(kind, forger, kid=kid) for name, kid in kids.items()}
    no_texts: tuple[Any, ...] = (None, 1, True, [forger.kid], {})
    tokens |= {f"{kid!r}": person.with_header(kind, forger, kid=kid) for kid in no_texts}
    opened.clear()

    assert await doors.not_refused(kind, tokens) == {}
    assert [path for path in opened if "bait" in path or "dev" in path] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kid_of_10_kb_is_refused_by_its_size(doors: Doors, person: LoggedIn, forger: Signer, kind: str) -> None:
    """In a header 431, which forward-auth tells a gateway as 403; in a body 422."""
    assert set(await doors.ask(kind, person.with_header(kind, forger, kid="k" * 10_000))) <= {403, 422, 431}


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_but_alg_kid_and_typ_is_taken_and_nobody_is_called(
    doors: Doors,
    person: LoggedIn,
    forger: Signer,
    trap: tuple[str, list[object]],
    opened: list[str],
    tmp_path: Path,
    kind: str,
) -> None:
    address, callers = trap
    bait = tmp_path / "bait.json"
    members = {
        "jku": f"http://{address}/keys.json",
        "jku to a file": f"file://{bait}",
        "x5u": f"http://{address}/cert.pem",
        "x5c": ["MIIB"],
        "x5t": "abc",
        "jwk": forger.jwk,
        "crit": ["exp"],
        "crit, empty": [],
        "zip": "DEF",
        "b64": False,
        "b64, true": True,
        "cty": "JWT",
    }
    tokens = {
        name: person.with_header(kind, forger, **{name.split(maxsplit=1)[0].rstrip(","): value})
        for name, value in members.items()
    }
    stranger = Signer("stranger")
    tokens["a key of one's own"] = person.with_header(kind, stranger, kid=stranger.kid, jwk=stranger.jwk)
    opened.clear()

    assert await doors.not_refused(kind, tokens) == {}
    assert callers == []
    assert [path for path in opened if "bait" in path] == []
    assert 401 not in await doors.ask(kind, person.with_header(kind, forger))
