"""The public keys of a folder at a real address, as users asks auth for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.auth.tokens.keys import KeyRing
from shared.web.process import listen, serving


@asynccontextmanager
async def serving_jwks(folder: Path) -> AsyncIterator[str]:
    """The public keys at a real address, for as long as the block lasts."""

    async def jwks(_request: Request) -> Response:
        return Response(KeyRing(folder).document()[0], media_type="application/jwk-set+json")

    bound = listen("127.0.0.1", 0, hint="")
    async with serving(Starlette(routes=[Route("/jwks.json", jwks)]), bound, grace=1):
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/jwks.json"
