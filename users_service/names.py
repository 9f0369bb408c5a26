"""What a name may be, and when two names are the same: one answer for every script and database."""

import unicodedata
from hashlib import sha256

MAX_LENGTH = 200

# The longest text that MySQL can keep unique (3,072 bytes of utf8mb4).
MAX_KEY_LENGTH = 768

_BLANK_CATEGORIES = frozenset({"Cf", "Zs", "Mn", "Me"})
# Letters and symbols by category, and yet drawn as nothing: Hangul fillers, the empty Braille cell.
_BLANK_CHARACTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FORBIDDEN_CATEGORIES = {
    "Cc": "control characters",
    "Cs": "halves of surrogate pairs",
    "Zl": "line separators",
    "Zp": "paragraph separators",
}


def clean(name: str) -> str:
    """The name as it is stored: trimmed and in NFC; ValueError says why it cannot be a name."""
    name = unicodedata.normalize("NFC", name.strip())
    if not name:
        raise ValueError("must not be empty")
    if len(name) > MAX_LENGTH:
        raise ValueError(f"must not be longer than {MAX_LENGTH} characters")
    visible = False
    for character in name:
        category = unicodedata.category(character)
        if category in _FORBIDDEN_CATEGORIES:
            raise ValueError(f"must not contain {_FORBIDDEN_CATEGORIES[category]}")
        if character in _BIDI_CONTROLS:
            raise ValueError("must not contain characters that reverse the text around them")
        visible |= category not in _BLANK_CATEGORIES and character not in _BLANK_CHARACTERS
    if not visible:
        raise ValueError("must contain at least one visible character")
    return name


def fold(text: str) -> str:
    """What is left of a text when case, width and invisible characters do not count.

    Python does it, not SQL, because databases disagree: SQLite, for one, folds ASCII only.
    """
    text = "".join(character for character in text if not _is_ignorable(character))
    # Unicode's "compatibility caseless match" (D146). It takes two rounds: decomposing brings
    # forth letters that have a case, and folding those gives what can be decomposed.
    text = unicodedata.normalize("NFD", text)
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text.casefold())
    # Spaces are around it still where something invisible was. MySQL would not see those behind it.
    return unicodedata.normalize("NFKC", text).strip()


def key(name: str) -> str:
    """The same text for all spellings of one name, never longer than MAX_KEY_LENGTH."""
    folded = fold(name)
    if len(folded) <= MAX_KEY_LENGTH:
        return folded
    # One ligature can fold to 18 letters. A digest keeps the key both short enough and unique.
    digest = sha256(folded.encode()).hexdigest()
    return folded[: MAX_KEY_LENGTH - len(digest)] + digest


def _is_ignorable(character: str) -> bool:
    return (
        unicodedata.category(character) == "Cf"
        # Variation selectors choose between drawings of the same character.
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )
