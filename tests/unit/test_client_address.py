"""What an address tells of its client."""

from __future__ import annotations

import pytest

from shared.client_address import network_of, proxy_test


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1"),
        ("2001:db8::1:2:3:4", "2001:db8:0:0:5::"),
        ("::1", "::2"),
        ("fe80::1%eth0", "fe80::2"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_these_are_one_client(one: str, other: str) -> None:
    assert network_of(one) == network_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("192.0.2.1", "192.0.2.2"), ("2001:db8:1:2::1", "2001:db8:1:3::1"), ("::ffff:192.0.2.1", "::ffff:192.0.2.2")],
)
def test_these_are_two(one: str, other: str) -> None:
    assert network_of(one) != network_of(other)


def test_what_is_no_address_is_kept_short() -> None:
    assert network_of("unknown") == "unknown"
    assert len(network_of("x" * 8000)) == 64


@pytest.mark.parametrize(
    ("trusted", "address", "is_one"),
    [
        ("10.0.0.0/8, 127.0.0.1", "10.1.2.3", True),
        ("10.0.0.0/8, 127.0.0.1", "127.0.0.1", True),
        ("10.0.0.0/8, 127.0.0.1", "192.0.2.1", False),
        ("fd00::/8", "fd00::1", True),
        ("fd00::/8", "10.1.2.3", False),
        ("", "127.0.0.1", False),
        ("*", "127.0.0.1", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("2001:DB8:0::1", "2001:db8::1", True),
        ("127.0.0.1", "unknown", False),
    ],
)
def test_only_the_proxies_that_are_named_are_proxies(trusted: str, address: str, is_one: bool) -> None:
    assert proxy_test(trusted)(address) is is_one
