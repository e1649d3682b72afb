"""Our gateway's very configuration on an nginx of the tests, in front of small upstreams."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers.dns import Dns, dns
from tests.servers.nginx import Nginx, expanded, running_nginx
from tests.servers.ports import free_ports
from tests.servers.upstream import Upstream, upstream

GATEWAY = Path(__file__).parents[2] / "deploy" / "gateway"
ORIGINS = ("https://app.example.com", "https://other.example.com")
TEMPLATES = sorted((GATEWAY / "templates").glob("*.template"))


@dataclass(frozen=True, slots=True)
class Gateway:
    """`auth`, `users` and `portal` are found by names like auth.test, which `names` may give other addresses."""

    nginx: Nginx
    http: httpx.Client
    livez: str
    names: Dns
    auth: Upstream
    users: Upstream
    portal: Upstream


@contextmanager
def running_gateway(
    folder: Path,
    static: Path,
    *,
    changes: Mapping[str, str] | None = None,
    server: Mapping[str, str] | None = None,
    **variables: str,
) -> Iterator[Gateway]:
    """Run it in `folder`, `static` being the documentation; `changes` replaces texts, `server` adds to server.d."""
    with ExitStack() as stack:
        names = stack.enter_context(dns())
        auth, users, portal = (stack.enter_context(upstream()) for _ in range(3))
        names.addresses = {f"{service}.test": ["127.0.0.1"] for service in ("auth", "users", "portal")}
        port, livez = free_ports(2)
        variables = {
            "AUTH_UPSTREAM": f"auth.test:{auth.port}",
            "USERS_UPSTREAM": f"users.test:{users.port}",
            "PORTAL_UPSTREAM": f"portal.test:{portal.port}",
            "GATEWAY_RESOLVER": names.address,
            "CORS_ORIGINS": ", ".join(ORIGINS),
            **variables,
        }
        places = {"listen 8080": f"listen {port}", "listen 8081": f"listen {livez}"}
        _configure(folder, static, variables, {**places, **(changes or {})})
        for name, content in (server or {}).items():
            (folder / "server.d").mkdir(exist_ok=True)
            (folder / "server.d" / name).write_text(content)
        nginx = stack.enter_context(running_nginx(folder, port))
        http = stack.enter_context(httpx.Client(base_url=nginx.url, timeout=30, trust_env=False))
        yield Gateway(nginx, http, f"http://127.0.0.1:{livez}", names, auth, users, portal)


def _configure(folder: Path, static: Path, variables: Mapping[str, str], changes: Mapping[str, str]) -> None:
    """As the image lays it out; but what nginx reads and writes is below `folder` and `static`."""
    for name in ("tmp", "conf.d"):
        (folder / name).mkdir()
    texts = {"nginx.conf": (GATEWAY / "nginx.conf").read_text().replace(" /tmp/", f" {folder}/tmp/")}
    for template in TEMPLATES:
        text = template.read_text().replace("/usr/share/nginx/login2fa", str(static))
        texts[f"conf.d/{template.name.removesuffix('.template')}"] = text
    for old, new in changes.items():
        # A change that finds nothing would leave its test without a subject.
        assert sum(text.count(old) for text in texts.values()) == 1, old
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    for name, text in texts.items():
        (folder / name).write_text(expanded(text, variables) if name.startswith("conf.d") else text)


def connected(gateway: Gateway) -> socket.socket:
    """For requests that no HTTP library would send."""
    return socket.create_connection(("127.0.0.1", gateway.nginx.port), 30)


def raw(gateway: Gateway, request: bytes) -> str:
    """What the gateway answers to these bytes until it closes the connection."""
    with connected(gateway) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
