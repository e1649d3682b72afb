from __future__ import annotations

import pytest

from services.portal.user_agents import LONGEST, browser_and_system, cut

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"


@pytest.mark.parametrize(
    ("user_agent", "named"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", ("Firefox", "Linux")),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36", ("Chrome", "Windows")),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36 Edg/130.0.0.0", ("Edge", "Windows")),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Safari/537.36 OPR/114.0", ("Opera", "ChromeOS")),
        (f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} Mobile Safari/537.36", ("Chrome", "Android")),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/18.1 Safari/605.1.15", ("Safari", "macOS")),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {WEBKIT} Safari/604.1", ("Safari", "iPhone")),
        (f"Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) {WEBKIT} CriOS/130.0 Safari/604.1", ("Chrome", "iPad")),
        ("curl/8.10.1", None),
        ("our-script for Linux", None),
    ],
)
def test_people_read_browser_and_system(user_agent: str, named: tuple[str, str] | None) -> None:
    assert browser_and_system(user_agent) == named


def test_another_program_is_named_as_it_calls_itself_but_not_at_any_length() -> None:
    assert cut("curl/8.10.1") == "curl/8.10.1"
    assert len(cut("a" * 300)) == LONGEST
