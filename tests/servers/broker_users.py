"""The broker's users as `login2fa broker-users` defines them, in a virtual host of a broker that the tests started."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from urllib.parse import quote, unquote, urlsplit

from deploy.rabbitmq.definitions import broker_users, definitions
from deploy.rabbitmq.grants import USERS_OF_BROKER


def load_broker_users(ctl: Callable[..., str], admin_url: str) -> dict[str, str]:
    """The URL of each, by process or `operator`, on the virtual host of `admin_url`; the topology is there then."""
    parts = urlsplit(admin_url)
    # Users belong to the broker and not to a virtual host.
    prefix = unquote(parts.path[1:]) or "all"
    address = parts.netloc.rpartition("@")[2]
    urls = {
        role: f"{parts.scheme}://{quote(f'{prefix}.{role}', '')}:{secrets.token_urlsafe(16)}@{address}{parts.path}"
        for role in USERS_OF_BROKER
    }
    load_definitions(ctl, json.dumps(definitions(broker_users(urls), {})))
    return urls


def load_definitions(ctl: Callable[..., str], text: str) -> None:
    """As `rabbitmqctl import_definitions`, which reads a file that the node would have to have."""
    encoded = base64.b64encode(text.encode()).decode()
    ctl("eval", f'ok = rabbit_definitions:import_raw(base64:decode(<<"{encoded}">>)).')
