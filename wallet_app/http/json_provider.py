"""JSON as money needs it: numbers come in exactly as they are written."""

import json
from typing import Any

import orjson
from flask import Response
from flask.json.provider import JSONProvider

MAX_DEPTH_MESSAGE = "The JSON is nested too deeply."


class JsonDecimal:
    """A JSON number with a fraction or an exponent, as its text: not by float."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class InvalidJson(ValueError):
    """The text is not JSON that the service takes; the message says why."""


class ExactJsonProvider(JSONProvider):
    """Reads with the standard library, which keeps numbers exact; writes by orjson."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        if kwargs:
            return json.dumps(obj, default=str, **kwargs)
        return orjson.dumps(obj, default=str).decode()

    def response(self, *args: Any, **kwargs: Any) -> Response:
        body = orjson.dumps(self._prepare_response_obj(args, kwargs), default=str)
        return Response(body, mimetype="application/json")

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return DECODER.decode(s if isinstance(s, str) else s.decode())
        except UnicodeDecodeError:
            raise InvalidJson("The body is not UTF-8 text.") from None
        except RecursionError:
            raise InvalidJson(MAX_DEPTH_MESSAGE) from None
        except json.JSONDecodeError as error:
            raise InvalidJson(
                f"The body is not JSON: {error.msg} (line {error.lineno}, "
                f"column {error.colno})."
            ) from None


def refuse_constant(name: str) -> None:
    raise InvalidJson(f"{name} is not a JSON number.")


def read_integer(text: str) -> int:
    # Python refuses integers of thousands of digits with a ValueError of its own.
    if len(text) > 100:
        raise InvalidJson("The body holds a number of more than 100 digits.")
    return int(text)


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two values for one name: which one would the money follow? Refused."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidJson("The body names a field twice in one object.")
    return members


DECODER = json.JSONDecoder(
    parse_float=JsonDecimal,
    parse_int=read_integer,
    parse_constant=refuse_constant,
    object_pairs_hook=without_duplicates,
)
