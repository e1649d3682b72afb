"""A client names the version that it has by the tag that reached it, whatever the gateway made of ours."""

from __future__ import annotations

import pytest

from shared.web.entity_tags import names

ETAG = '"5"'


@pytest.mark.parametrize(
    "header",
    [
        ETAG, f" {ETAG} ", "*", 'W/"5"', '"5-gzip"', 'W/"5-gzip"', '"5"-gzip', '"5-br"', '"5-zstd"',
        f'"4", {ETAG}', '"4",W/"5"',
    ],
)  # fmt: skip
def test_the_version_is_named_by_our_tag_and_by_what_gateways_make_of_it(header: str) -> None:
    assert names(header, ETAG)


@pytest.mark.parametrize(
    "header",
    ["", "5", '"4"', 'W/"4"', '"4-gzip"', '"55"', '"5-other"', '"-gzip5"', 'w/"5"', '"5', '5"', '"", "*"', '"gzip"'],
)
def test_nothing_else_names_it(header: str) -> None:
    assert not names(header, ETAG)
