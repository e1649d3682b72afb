"""S46 on RabbitMQ's own TLS listener, whose certificate an authority of the operator's has signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.messaging.amqp import AmqpBus
from shared.messaging.amqp.broker import declare_topology
from shared.messaging.bus import BusUnavailable
from tests.recording import otp_message
from tests.servers.ports import free_ports
from tests.servers.private_authority import PrivateAuthority
from tests.servers.rabbitmq_node import PrivateNode, installed_sbin

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(installed_sbin() is None, reason="needs RabbitMQ's own programs, to configure a TLS listener"),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> PrivateAuthority:
    return PrivateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> PrivateAuthority:
    return PrivateAuthority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def tls_url(authority: PrivateAuthority) -> Iterator[str]:
    sbin = installed_sbin()
    assert sbin is not None
    certificate, key = authority.server()
    node, (port,) = PrivateNode(sbin), free_ports(1)
    with (node._folder / "rabbitmq.conf").open("a") as configuration:
        configuration.write(
            f"listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {authority.certificate}\n"
            f"ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n"
        )
    try:
        node.start()
        yield f"amqps://{node.user}:{node.password}@127.0.0.1:{port}/"
    finally:
        node.remove()


async def test_who_trusts_the_authority_publishes_by_the_url_or_by_ssl_cert_file(
    tls_url: str, authority: PrivateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{tls_url}?cafile={authority.certificate}"
    await declare_topology(url)
    buses = [AmqpBus(url)]
    await buses[0].publish(otp_message())

    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    buses.append(AmqpBus(tls_url))
    await buses[1].publish(otp_message())
    for bus in buses:
        await bus.close()


@pytest.mark.parametrize(
    ("host", "trusts", "said"),
    [
        ("localhost", "authority", "certificate is not valid for 'localhost'"),
        ("127.0.0.1", "stranger", "certificate verify failed"),
    ],
    ids=["of another name", "of an authority that nobody trusts"],
)
async def test_no_address_with_another_certificate_is_used_and_the_error_says_why(
    tls_url: str, host: str, trusts: str, said: str, request: pytest.FixtureRequest
) -> None:
    trusted: Path = request.getfixturevalue(trusts).certificate
    url = f"{tls_url.replace('127.0.0.1', host)}?cafile={trusted}"
    bus = AmqpBus(url, url)
    with pytest.raises(BusUnavailable, match=said) as refused:
        await bus.publish(otp_message())
    assert f"{host}:" in str(refused.value)
    await bus.close()
