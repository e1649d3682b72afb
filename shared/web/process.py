"""The life cycle of a process: start, serve, report health, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from shared.web.protocol import BoundedHttp

log = structlog.get_logger()

Check = Callable[[], Awaitable[bool]]
Reason = Callable[[], str]


def check_of(is_good: Callable[[], bool]) -> Check:
    async def check() -> bool:
        return is_good()

    return check


# Longer than a gateway keeps an idle connection (nginx: 60 s): else it sends a request into a closing one.
KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048  # as uvicorn has it


class CannotListen(Exception):
    """The message names the address and the reason, and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A composed service; `app` is None for a worker. `reasons` explain failed checks to the operator."""

    app: ASGIApp | None
    checks: Mapping[str, Check] = field(default_factory=dict)
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    keep_alive: int = KEEP_ALIVE_SECONDS


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `stop_signal`: two servers in one process would replace each other's handlers."""
        yield


def listen(host: str, port: int, *, hint: str) -> socket.socket:
    """A bound socket; raises `CannotListen`, whose text ends with `hint`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(f"Cannot listen on {host}:{port}: {error.strerror}. {hint}") from None
    return bound


@asynccontextmanager
async def serving(
    app: ASGIApp, *bound: socket.socket, grace: float, keep_alive: int = KEEP_ALIVE_SECONDS
) -> AsyncIterator[None]:
    """Serve `app` inside the block, then drain for at most `grace` seconds. `keep_alive`: idle seconds allowed."""
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # shared.web.understood handles TRUSTED_PROXIES
        lifespan="off",
        timeout_graceful_shutdown=max(1, round(grace)),
        timeout_keep_alive=keep_alive,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(list(bound)), name="http server")
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn reports its start only by a flag
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await task


def management(checks: Mapping[str, Check], reasons: Mapping[str, Reason] = MappingProxyType({})) -> ASGIApp:
    """`/livez`, `/metrics`, and `/readyz`: 503 unless all checks pass.

    `?exclude=NAME` (repeatable, as in Kubernetes) ignores a check; an unknown name adds a `warning`.
    `?verbose` runs all checks, and adds the known reasons of failed ones.
    """
    # Else each counter and histogram has a second series, which nobody reads.
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library has no type here
    livez = Route("/livez", JSONResponse({"status": "alive"}), methods=["GET"])

    async def readyz(request: Request) -> Response:
        exclude, verbose = request.query_params.getlist("exclude"), "verbose" in request.query_params
        # An excluded check is not run: if it hangs, it would use up the probe's timeout.
        due = {name: check for name, check in checks.items() if verbose or name not in exclude}
        results = dict(zip(due, await asyncio.gather(*map(_holds, due.values())), strict=True))
        failed = [name for name, holds in results.items() if not holds]
        ready = set(failed) <= set(exclude)
        body: dict[str, object] = {"status": "ready" if ready else "not ready", "checks": results}
        if excluded := [name for name in checks if name in exclude]:
            body["excluded"] = excluded
        if unknown := sorted(set(exclude) - set(checks)):
            body["warning"] = f"no such check: {', '.join(unknown)}"
        if verbose:
            body["reasons"] = {name: reasons[name]() for name in failed if name in reasons}
        return JSONResponse(body, 200 if ready else 503, {"Cache-Control": "no-store"})

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[livez, Route("/readyz", readyz), Route("/metrics", metrics)])


async def _holds(check: Check) -> bool:
    try:
        async with asyncio.timeout(3):
            return await check()
    except Exception as error:  # noqa: BLE001 - a check that raises has failed
        log.warning("readiness check failed", error=type(error).__name__)
        return False


def stop_signal() -> asyncio.Event:
    """The first SIGTERM or SIGINT sets the event; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


@asynccontextmanager
async def served(
    running: Running, operator: socket.socket, *public: socket.socket, grace: float
) -> AsyncIterator[None]:
    """Serve `management` on `operator`, and the app on `public`, inside the block; then drain, at most `grace` s."""
    for each in public:
        each.listen(_BACKLOG)  # `management` may call it ready a moment before it is served: connections wait meanwhile
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(serving(management(running.checks, running.reasons), operator, grace=1))
        if running.app is not None and public:
            await stack.enter_async_context(serving(running.app, *public, grace=grace, keep_alive=running.keep_alive))
        # Freeze the 300,000 start-up objects: scanning them would pause about every thousandth request for 50 ms.
        gc.collect()
        gc.freeze()
        log.info("serving", management_port=operator.getsockname()[1])
        yield
        log.info("stopping")
