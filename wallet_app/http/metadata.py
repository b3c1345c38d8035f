"""What clients keep with wallets and operations: a JSON object of their own."""

import json
from typing import Any

import marshmallow as ma

from wallet_app.http.fields import is_storable
from wallet_app.http.json_provider import DECODER, InvalidJson, JsonDecimal

MAX_BYTES = 16 * 1024
MAX_DEPTH = 5
# What each reader of JSON holds, and the database as well.
NUMBERS_BELOW = 2**63
EXAMPLE = {"order": "4711"}


class Metadata(ma.fields.Dict):
    """A JSON object of at most 16 KiB and five levels.

    Numbers with a fraction become what Python's float, an IEEE double, makes of them.
    """

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ma.ValidationError("Give a JSON object.")
        plain = plain_json(value, MAX_DEPTH)
        written = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        if len(written.encode()) > MAX_BYTES:
            raise ma.ValidationError(f"Give at most {MAX_BYTES} bytes of JSON.")
        return plain


class MetadataPart(ma.fields.String):
    """What metadata holds: key=value, with text as the value, or a JSON object."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        part = Metadata().deserialize(read_part(str(value)))
        if not names_a_value(part):
            # Everything holds it, and no index finds that.
            raise ma.ValidationError("Name a value that the metadata holds.")
        return part


def read_part(text: str) -> Any:
    if not text.startswith("{"):
        key, equals, value = text.partition("=")
        if not equals:
            raise ma.ValidationError('Give order=4711 or {"order": "4711"}.')
        return {key: value}
    try:
        return DECODER.decode(text)
    except (InvalidJson, json.JSONDecodeError, RecursionError):
        raise ma.ValidationError("Give JSON, or key=value.") from None


def names_a_value(part: Any) -> bool:
    if isinstance(part, dict):
        part = list(part.values())
    return any(map(names_a_value, part)) if isinstance(part, list) else True


def plain_json(value: Any, depth: int) -> Any:
    """The value as it is stored; raises ValidationError for what cannot be.

    It is the same when it is read back, so that a retry can be compared with it.
    """
    if isinstance(value, dict | list) and not depth:
        raise ma.ValidationError(f"Give at most {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        return {
            plain_json(key, depth): plain_json(member, depth - 1)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [plain_json(member, depth - 1) for member in value]
    if isinstance(value, str) and not is_storable(value):
        raise ma.ValidationError("NUL and lone surrogates cannot be stored.")
    if isinstance(value, JsonDecimal):
        value = float(value.text)
        value = int(value) if value.is_integer() else value
    if isinstance(value, int | float) and not -NUMBERS_BELOW < value < NUMBERS_BELOW:
        raise ma.ValidationError("Give numbers between -2^63 and 2^63, others as text.")
    return value
