"""Where a browser may be sent: what is accepted, and how it is written then. What is refused: tests/security, S59."""

from __future__ import annotations

import pytest

from shared.redirects import LONGEST, Place, Redirects

REDIRECTS = Redirects(
    "https://login.example.com/", ["https://*.example.com", "https://app.example.org:8443", "http://[::1]:8080"]
)


@pytest.mark.parametrize(
    ("target", "written"),
    [
        ("https://app.example.com", "https://app.example.com/"),
        ("https://app.example.com?a=1", "https://app.example.com/?a=1"),
        ("https://app.example.com#x", "https://app.example.com/#x"),
        ("HTTPS://App.EXAMPLE.com:443/Path?Q=A", "https://app.example.com/Path?Q=A"),
        ("https://a.b-c.d_e.example.com/", "https://a.b-c.d_e.example.com/"),
        ("https://app.example.org:8443/a", "https://app.example.org:8443/a"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("https://login.example.com/account", "https://login.example.com/account"),
    ],
)
def test_a_listed_target_is_put_together_anew(target: str, written: str) -> None:
    assert REDIRECTS.allowed(target) == written
    assert REDIRECTS.allowed(written) == written


@pytest.mark.parametrize(
    "rest",
    [
        "/orders/7?a=1&b=2#part",
        "/a%2Fb/%2e%2e/?next=https%3A%2F%2Fevil.test%2F&rd=//evil.test",
        "/?q[]=1&t={x}|y^z`'~!*();:@,+$",
        f"/{'x' * (LONGEST - 40)}",
    ],
)
def test_path_query_and_fragment_stay_as_they_were(rest: str) -> None:
    assert REDIRECTS.allowed(f"https://app.example.com{rest}") == f"https://app.example.com{rest}"
    assert REDIRECTS.allowed(rest) == rest


def test_the_path_of_a_page_of_ours_is_told_from_any_other() -> None:
    own = {"https://login.example.com/account?x=1": "/account?x=1", "/account": "/account"}
    others = [
        "https://app.example.com/",
        "https://login.example.com//evil.test/",
        "https://login.example.com.evil/",
        None,
    ]

    assert {target: REDIRECTS.own_path(target) for target in own} == own
    assert [REDIRECTS.own_path(target) for target in others] == [None] * len(others)


@pytest.mark.parametrize("issuer", ["http://localhost:8201", "http://[::1]:8201/", "https://Login.example.com:443/"])
def test_the_pages_of_the_issuer_are_allowed_without_being_listed(issuer: str) -> None:
    own = Redirects(issuer, [])

    assert own.own_path(own.allowed(f"{issuer.rstrip('/')}/account?x=1")) == "/account?x=1"
    assert own.allowed("https://app.example.com/") is None


def test_an_issuer_that_no_target_can_name_has_its_own_paths_all_the_same() -> None:
    own = Redirects("https://login.example.com.", [])

    assert (own.allowed("/account"), own.allowed("https://login.example.com./")) == ("/account", None)


@pytest.mark.parametrize(
    "entry",
    [
        "", "*", "https://*", "https://*.", "https://*example.com", "https://a.*.example.com", "https://*.*.example.com",
        "app.example.com", "//app.example.com", "ftp://app.example.com", "javascript://app.example.com",
        "https://app.example.com/", "https://app.example.com/path", "https://app.example.com?x", "https://u@example.com",
        "https://App.example.com", "https://app.example.com:443", "http://app.example.com:80", "https://app.example.com:",
        "https://app.example.com:0", "https://app.example.com:65536", "https://app.example.com.", "https://ä.example.com",
    ],
)  # fmt: skip
def test_an_entry_that_is_no_origin_is_refused_with_an_example_of_one(entry: str) -> None:
    with pytest.raises(ValueError, match="an origin like https"):
        Place.parse(entry)
