"""Our cookies as a browser sends them, beside those that sibling subdomains have set."""

from __future__ import annotations

import pytest

from shared.web.cookies import GATE, SESSION, CookieTwice, cookie


def read(*headers: bytes, name: str = SESSION) -> str | None:
    return cookie({"headers": [(b"cookie", each) for each in headers]}, name)


def test_a_cookie_is_read_wherever_it_stands() -> None:
    assert (
        read(b"__Host-login2fa=v")
        == read(b"a=b; __Host-login2fa=v;c=d")
        == read(b"a=b", b" __Host-login2fa = v\t")
        == "v"
    )
    assert read(b"a=b; __Host-login2fa-form=v") is None
    for twice in ([b"__Host-login2fa=v; __Host-login2fa=v"], [b"__Host-login2fa=v", b"__Host-login2fa=w"]):
        with pytest.raises(CookieTwice):
            read(*twice)


@pytest.mark.parametrize("name", [SESSION, GATE])
def test_a_name_that_only_looks_like_ours_to_a_reader_of_other_spaces_is_another_name(name: str) -> None:
    """Browsers keep `__Host-` for the host itself, and let any sibling set a cookie whose name begins with the byte A0
    or 85 (tried with Chromium 156): those are spaces in Latin-1.
    """
    ours = name.encode()
    for space in (b"\xa0", b"\x85", b"\x1c", b"\x1f", b"\x0b", b"\x0c", b"\xc2\xa0", b"\xe2\x80\x80"):
        for planted in (space + ours, ours + space, space + ours + space):
            assert read(planted + b"=planted", name=name) is None
            assert read(planted + b"=planted; " + ours + b"=v", name=name) == "v"
            assert read(ours + b"=v; " + planted + b"=planted", name=name) == "v"
