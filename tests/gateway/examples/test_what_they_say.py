"""Each example says in its first line whether it was run, and the page beside them names it."""

from __future__ import annotations

import re

import pytest

from deploy.gateway.docs import document
from tests.gateway.examples.gateways import EXAMPLES

FILES = sorted(path.name for path in EXAMPLES.iterdir() if path.name != "README.md")
BY_PREFIX = ("envoy", "traefik")  # pass on whatever begins with X-Auth-
FOR_BROWSERS = {"nginx-browsers.conf.template", "Caddyfile-browsers", "envoy-browsers.yaml", "traefik-browsers.yaml"}
RUN = {"nginx.conf.template", "Caddyfile", "envoy-ext-authz.yaml", "envoy-jwt-authn.yaml"}
RUN |= FOR_BROWSERS - {"traefik-browsers.yaml"}


@pytest.mark.parametrize("name", FILES)
def test_the_first_line_says_whether_it_was_run(name: str) -> None:
    first = (EXAMPLES / name).read_text().splitlines()[0]

    assert first.startswith("# Run by the tests." if name in RUN else "# Not run by the tests:")


def test_the_page_names_each_example_and_whether_it_was_run() -> None:
    rows = re.findall(r"^\| \[(.+?)\]\(\1\), .*\| (yes|no)[^|]*\|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE)

    assert dict(rows) == {name: "yes" if name in RUN else "no" for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_it_takes_the_token_away_and_says_how_to_pass_it_on(name: str) -> None:
    example = (EXAMPLES / name).read_text()

    assert "The token is not for the upstream. To pass" in example
    taken_away = (
        'Authorization "";',
        "-Authorization",
        "_to_remove: [authorization]",
        'Authorization: ""',
        'clear_header("Authorization")',
    )
    assert any(each in example for each in taken_away)


@pytest.mark.parametrize("name", ["README.md", *(each for each in FILES if not each.startswith(BY_PREFIX))])
def test_it_names_every_header_that_auth_sends_and_no_other(name: str) -> None:
    answers = document()["paths"]["/api/v1/auth/forward"]["get"]["responses"]
    prefixes = {"X-Auth-"}  # what is taken away
    of_refusals = set(answers["401"]["headers"])  # for those who can not pass a redirect on

    named = set(re.findall(r"\bX-Auth-\w*", (EXAMPLES / name).read_text())) - prefixes

    of_every_answer = {"X-Request-ID"}
    assert named - of_refusals == set(answers["204"]["headers"]) - of_every_answer
    assert bool(named & of_refusals) is (name in {"README.md", "nginx-browsers.conf.template"})


@pytest.mark.parametrize("name", FILES)
def test_it_asks_where_auth_answers(name: str) -> None:
    # Sentences for the client name what it may ask itself, with the method.
    asked = re.findall(r"(?<!POST )/(?:api/v1/auth|\.well-known)/[\w./-]+", (EXAMPLES / name).read_text())

    ways = ("", "/envoy", "/browser", "/browser/envoy")
    assert set(asked) in (
        [{"/.well-known/jwks.json"}] if "jwt" in name else [{f"/api/v1/auth/forward{way}"} for way in ways]
    )


@pytest.mark.parametrize("name", sorted(FOR_BROWSERS))
def test_what_is_for_browsers_takes_our_cookie_to_auth_and_says_what_it_can_not_take_from_the_app(name: str) -> None:
    example = (EXAMPLES / name).read_text()

    assert "__Secure-login2fa-gate" in example or "Traefik takes no single cookie away" in example
    assert "remote-" in example.lower()
