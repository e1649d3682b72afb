"""Each example as its first lines say to run it, on free ports."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from string import Template

from tests.servers.caddy import running_caddy
from tests.servers.envoy import running_envoy
from tests.servers.nginx import expanded, running_nginx

EXAMPLES = Path(__file__).parents[3] / "deploy" / "gateway" / "examples"

Gateway = Callable[[Callable[[str], str], Mapping[str, str], Path], AbstractContextManager[str]]


def as_it_is(example: str) -> str:
    return example


def administrators_only(example: str) -> str:
    """As the comment in each of them says."""
    return demanding("/admin")(example)


def demanding(demands: str) -> Callable[[str], str]:
    """As the page beside them says."""
    return lambda example: example.replace("/api/v1/auth/forward", f"/api/v1/auth/forward{demands}")


def passing_the_token_on(example: str) -> str:
    """As the comment in each of them says."""
    return re.sub(r".*(request_headers_to_remove|request_header -Authorization).*\n", "", example).replace(
        'Authorization "";', "Authorization $http_authorization;"
    )


# What stands around an example in the public image, but for the places that nginx writes to.
NGINX = """
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include conf.d/*.conf;
}
"""


def _nginx(name: str) -> Gateway:
    @contextmanager
    def gateway(edited: Callable[[str], str], variables: Mapping[str, str], folder: Path) -> Iterator[str]:
        (folder / "conf.d").mkdir()
        example = edited((EXAMPLES / name).read_text())
        (folder / "conf.d" / "default.conf").write_text(expanded(example, variables))
        (folder / "nginx.conf").write_text(NGINX)
        with running_nginx(folder, int(variables["PORT"])) as server:
            yield server.url

    return gateway


def _caddy(name: str) -> Gateway:
    def gateway(
        edited: Callable[[str], str], variables: Mapping[str, str], folder: Path
    ) -> AbstractContextManager[str]:
        (folder / "Caddyfile").write_text(edited((EXAMPLES / name).read_text()))
        return running_caddy(variables, int(variables["PORT"]), folder)

    return gateway


def _envoy(name: str) -> Gateway:
    def gateway(
        edited: Callable[[str], str], variables: Mapping[str, str], folder: Path
    ) -> AbstractContextManager[str]:
        example = edited((EXAMPLES / name).read_text())
        configuration = Template(example).substitute(variables)  # as envsubst does it
        return running_envoy(configuration, int(variables["PORT"]), folder)

    return gateway


ASKING: dict[str, Gateway] = {
    "nginx": _nginx("nginx.conf.template"),
    "caddy": _caddy("Caddyfile"),
    "envoy": _envoy("envoy-ext-authz.yaml"),
}
FOR_BROWSERS: dict[str, Gateway] = {
    "nginx": _nginx("nginx-browsers.conf.template"),
    "caddy": _caddy("Caddyfile-browsers"),
    "envoy": _envoy("envoy-browsers.yaml"),
}
CHECKING_ITSELF = _envoy("envoy-jwt-authn.yaml")
