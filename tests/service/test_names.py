"""What a name may be, and when two are the same."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users_service import names

# Anything that could be a name, hostile or not, but for what is forbidden by category.
texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=names.MAX_LENGTH
)


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("Ada", "Ada"),
        ("  Ada\n", "Ada"),
        ("\u3000李善蘭\u3000", "李善蘭"),
        ("Ame\u0301lie", "Am\u00e9lie"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("<b>", "<b>"),
        ("\U0010ffff", "\U0010ffff"),
        ("x" * 200, "x" * 200),
        (" " * 300 + "x", "x"),
    ],
)
def test_a_name_is_trimmed_and_composed(given_name: str, stored: str) -> None:
    assert names.clean(given_name) == stored


@pytest.mark.parametrize(
    ("given_name", "reason"),
    [
        ("", "empty"),
        (" \t\n\u3000", "empty"),
        ("x" * 201, "longer than 200"),
        ("\u0958" * 101, "longer than 200"),  # NFC writes each as two characters.
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("a\ud800b", "surrogate"),
        ("a\u2028b", "line separators"),
        ("a\u2029b", "paragraph separators"),
        ("\u200b", "visible"),
        ("\u200d\u200d", "visible"),
        ("\u00ad", "visible"),
        ("\ufe0f", "visible"),
        ("\u0301", "visible"),
        ("\u3164", "visible"),
        ("\u2800", "visible"),
        ("\u115f\u1160", "visible"),
    ],
)
def test_a_text_that_cannot_be_a_name_is_refused_with_the_reason(
    given_name: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        names.clean(given_name)


@pytest.mark.parametrize("control", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_controls_that_reverse_text_are_refused(control: str) -> None:
    with pytest.raises(ValueError, match="reverse"):
        names.clean(f"Ada{control}Lovelace")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "ADA"),
        ("STRASSE", "straße"),
        ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
        ("Ада", "АДА"),
        ("Ａｄａ", "Ada"),
        ("ﬁn", "FIN"),
        ("ϒ", "υ"),
        ("Ada", "A\u200bda"),
        ("Ada", "Ada \u200b"),
        ("Ada", "\u200b Ada"),
        ("❤", "❤\ufe0f"),
        ("Åsa", "A\u030asa"),
    ],
)
def test_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    assert names.key(one) == names.key(other)


@pytest.mark.parametrize(("one", "other"), [("Ada", "Adá"), ("é", "e"), ("Ada", "A da")])
def test_different_names_have_different_keys(one: str, other: str) -> None:
    assert names.key(one) != names.key(other)


def test_even_the_longest_key_fits_its_column_and_tells_names_apart() -> None:
    longest = "\ufdfa" * names.MAX_LENGTH
    similar = longest[:-1] + "x"
    assert len(names.fold(longest)) == 18 * names.MAX_LENGTH
    assert len(names.key(longest)) == len(names.key(similar)) == names.MAX_KEY_LENGTH
    assert names.key(longest) != names.key(similar)


@given(texts)
def test_what_is_accepted_is_accepted_again_unchanged(text: str) -> None:
    try:
        name = names.clean(text)
    except ValueError:
        return
    assert names.clean(name) == name
    assert 1 <= len(name) <= names.MAX_LENGTH
    assert unicodedata.is_normalized("NFC", name)


@given(texts)
def test_a_key_never_outgrows_its_column_and_is_found_by_its_own_parts(text: str) -> None:
    assert len(names.key(text)) <= names.MAX_KEY_LENGTH
    assert names.fold(names.fold(text)) == names.fold(text)
    # MySQL would take it for the same with and without.
    assert not names.key(text).endswith(" ")
