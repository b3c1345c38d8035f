"""What an API key looks like: wk_live_<id>_<secret><checksum>.

The prefix lets scanners find keys that leaked; the checksum, a CRC-32 over all before
it, refuses a mistyped key before anybody looks for it. Letters and digits only, so that
a double click takes all of it.
"""

import hashlib
import re
import secrets
import string
from zlib import crc32

PREFIX = "wk_live_"
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH = 12
# 62 ** 43 > 256 ** 32
SECRET_BYTES, SECRET_LENGTH = 32, 43
CHECKSUM_LENGTH = 8
ID = re.compile(f"[0-9A-Za-z]{{{ID_LENGTH}}}")
SHAPE = re.compile(
    f"{PREFIX}({ID.pattern})_"
    f"[0-9A-Za-z]{{{SECRET_LENGTH}}}[0-9a-f]{{{CHECKSUM_LENGTH}}}"
)


class MalformedKeyError(ValueError):
    """The text is no key that this service could have made."""


def new_id() -> str:
    """A key's public name, in its text, in lists and in the audit log."""
    return "".join(secrets.choice(DIGITS) for _ in range(ID_LENGTH))


def is_id(text: object) -> bool:
    """Whether that could be a key's id."""
    return isinstance(text, str) and ID.fullmatch(text) is not None


def new_key(key_id: str) -> str:
    """A key with a new secret."""
    secret = in_base62(int.from_bytes(secrets.token_bytes(SECRET_BYTES)))
    text = f"{PREFIX}{key_id}_{secret:0>{SECRET_LENGTH}}"
    return text + checksum_of(text)


def in_base62(number: int) -> str:
    digits = []
    while number:
        number, place = divmod(number, len(DIGITS))
        digits.append(DIGITS[place])
    return "".join(reversed(digits))


def checksum_of(text: str) -> str:
    return f"{crc32(text.encode()):08x}"


def read_id(key: str) -> str:
    """The id in a key; raises MalformedKeyError."""
    match = SHAPE.fullmatch(key)
    if match is None or checksum_of(key[:-CHECKSUM_LENGTH]) != key[-CHECKSUM_LENGTH:]:
        raise MalformedKeyError("no key, or a mistyped one")
    return match[1]


def digest_of(key: str) -> bytes:
    """What is stored of a key: 256 random bits cannot be guessed, so one round does."""
    return hashlib.sha256(key.encode()).digest()
