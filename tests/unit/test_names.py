"""What counts as the same name, and which characters no name may hold: shared.names."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.names import NO_CONTROL, canonical, refuse_control, refuse_invisible

ANYTHING = st.text(st.characters())  # lone surrogates and unassigned code points too


@given(ANYTHING)
def test_the_canonical_form_of_a_canonical_name_is_itself(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)


def test_every_single_character_has_a_settled_canonical_form() -> None:
    unsettled = [code for code in range(sys.maxunicode + 1) if canonical(canonical(chr(code))) != canonical(chr(code))]
    assert unsettled == []


@given(ANYTHING)
def test_upper_case_and_surrounding_space_make_no_other_ascii_name(name: str) -> None:
    ascii_name = name.encode("ascii", "ignore").decode()
    assert canonical(f" {ascii_name.upper()}\t") == canonical(ascii_name.lower())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dave", "DAVE"),
        ("dave", "\uff44\uff41\uff56\uff45"),  # full width
        ("dave@test.com", "dave\uff20test\uff0ecom"),
        ("Zo\u00eb", "Zoe\u0308"),  # composed, decomposed
        ("stra\u00dfe", "STRASSE"),
        ("\ufb01n", "fin"),  # a ligature
        ("\u03c3", "\u03c2"),  # sigma, final sigma
        ("\U0001d41dave", "dave"),  # mathematical bold d
        ("\u212a", "k"),  # the Kelvin sign
        ("\u1e9e", "ss"),  # capital sharp s
    ],
)
def test_variants_of_width_case_and_composition_are_one_name(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [("dave", "dav"), ("zoe", "zo\u00eb"), ("a.b", "ab"), ("a b", "ab")])
def test_different_names_stay_different(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "character",
    [
        "\0", "\r", "\n", "\t", "\x1b", "\x7f", "\x85",  # control, NEL
        "\u2028", "\u2029",  # line and paragraph separator
        "\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad",  # zero width, soft hyphen
        "\u202e", "\u202a", "\u2066", "\u200f",  # bidirectional overrides, isolates and marks
        "\U000e0041",  # a tag
        chr(0xD800), chr(0xDFFF),  # half a surrogate pair
        "\ue000", "\u0378", "\ufffe",  # private use, unassigned, no character
        "\u3164", "\u115f", "\u1160", "\uffa0",  # Hangul fillers: letters that show nothing
        "\u034f", "\u180b", "\ufe00", "\U000e0100",  # joiner, variation selectors
        "\u2800",  # the empty Braille cell
    ],
)  # fmt: skip
def test_a_character_that_nobody_sees_is_refused_by_its_number(character: str) -> None:
    with pytest.raises(ValueError, match=f"U\\+{ord(character):04X}$"):
        refuse_invisible(f"ad{character}min")


@pytest.mark.parametrize("name", ["Dave", "Zo\u00eb", "O'Brien-M\u00fcller", "\u674e\u5c0f\u9f99", "Anna Maria", "👋"])
def test_a_visible_name_is_left_as_it_is(name: str) -> None:
    assert refuse_invisible(name) == name


@given(ANYTHING)
def test_an_accepted_name_can_break_no_header_and_no_line(name: str) -> None:
    try:
        accepted = refuse_invisible(name)
    except ValueError:
        return
    assert len(accepted.splitlines()) <= 1
    assert {unicodedata.category(character)[0] for character in accepted} <= set("LMNPSZ")
    accepted.encode()


@pytest.mark.parametrize(
    "character",
    ["\0", chr(0xD800), chr(0xDFFF), "\t", "\r", "\n", "\x1b", "\x7f", "\x85", "\u061c", "\u202e", "\u2067"],
)
def test_a_control_character_is_refused_by_its_number(character: str) -> None:
    with pytest.raises(ValueError, match=f"U\\+{ord(character):04X}$"):
        refuse_control(f"a{character}b")


@pytest.mark.parametrize(
    "text", ["", " a b ", "\u00df\u0130", "\u200b", "\U0001f468\u200d\U0001f469", "\u0378", "\ue000"]
)
def test_all_other_text_of_a_password_is_left_as_it_is(text: str) -> None:
    assert refuse_control(text) == text


@given(ANYTHING)
def test_accepted_text_can_be_stored(text: str) -> None:
    try:
        accepted = refuse_control(text)
    except ValueError:
        return
    assert "\0" not in accepted
    accepted.encode()


def test_the_documented_pattern_is_what_is_refused() -> None:
    def is_refused(character: str) -> bool:
        try:
            return not refuse_control(character)
        except ValueError:
            return True

    # Half a surrogate pair is no text in JSON's eyes either: a schema has no word for it.
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    pattern = re.compile(NO_CONTROL["pattern"])
    assert [each for each in characters if is_refused(each) == bool(pattern.fullmatch(each))] == []
