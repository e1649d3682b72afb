"""One harmless word follows a request through everything it causes: shared.observability.correlation."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.observability.correlation import accept, correlation_id
from tests.asking import client_of, small_app


@pytest.mark.parametrize(
    "offered", ["a", "0", "request-1", "01890a5d-ac96-774b-bcce-b302099a8057", "a.b_c:d", "x" * 64]
)
def test_a_harmless_id_is_kept(offered: str) -> None:
    assert accept(offered) == offered


@pytest.mark.parametrize(
    "offered",
    [
        None, "", " ", "-", "-a", "a b", "a\r\nX-Evil: 1", "a\n", "\na", "a\0", "x" * 65, "\u00e9", "\uff41", "\u0661",
        '{"a":1}', "a;b", "a,b", "<script>", "${jndi}", "%0d%0a", "a/b", "'",
    ],
)  # fmt: skip
def test_anything_else_is_replaced_by_a_new_id(offered: str | None) -> None:
    assert UUID(accept(offered)).version == 7


@given(st.text(st.characters()))
def test_whatever_is_offered_the_id_is_one_ascii_word(offered: str) -> None:
    accepted = accept(offered)
    assert accepted.isascii()
    assert accepted.isprintable()
    assert 1 <= len(accepted) <= 64
    assert not set(accepted) & set(" ,;\"'<>{}\r\n")


def test_new_ids_differ() -> None:
    assert accept(None) != accept(None)


async def test_an_answer_and_all_that_a_request_does_carry_its_id() -> None:
    app = small_app()

    @app.get("/")
    async def inside() -> str:
        return await asyncio.create_task(in_a_task())

    async def in_a_task() -> str:
        return correlation_id.get()

    async with client_of(app) as client:
        kept = await client.get("/", headers={"X-Request-ID": "request-1"})
        replaced = await client.get("/", headers=[(b"X-Request-ID", b"a\tb")])
        new = await client.get("/")

    assert kept.json() == kept.headers["x-request-id"] == "request-1"
    for answer in (replaced, new):
        assert answer.json() == answer.headers["x-request-id"]
        assert UUID(answer.json())
    assert correlation_id.get() == "-"


async def test_requests_at_the_same_time_keep_their_own_ids() -> None:
    app = small_app()
    together = asyncio.Barrier(20)

    @app.get("/")
    async def inside() -> str:
        await together.wait()
        return correlation_id.get()

    async with client_of(app) as client:
        ids = [f"request-{number}" for number in range(20)]
        answers = await asyncio.gather(*(client.get("/", headers={"X-Request-ID": each}) for each in ids))
    assert [answer.json() for answer in answers] == ids
