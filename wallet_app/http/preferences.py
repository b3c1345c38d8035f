"""What a client would rather have: the header Prefer (RFC 7240)."""

from typing import Any

from flask import Response, current_app, request
from werkzeug.http import parse_list_header

MINIMAL = "return=minimal"
PREFER_PARAMETER = {
    "in": "header",
    "name": "Prefer",
    "description": f"`{MINIMAL}`: of each member only what counts",
    "schema": {"type": "string"},
}
PREFERENCE_APPLIED = {
    "Preference-Applied": {
        "description": f"{MINIMAL}, if that was preferred",
        "schema": {"type": "string", "enum": [MINIMAL]},
    }
}


def is_minimal() -> bool:
    """Whether the request prefers a minimal answer; of two wishes, the first counts."""
    given = request.environ.get("HTTP_PREFER")
    if given is None:
        return False
    for preference in parse_list_header(given):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "return":
            return value.strip().strip('"') == "minimal"
    return False


def minimal(shown: dict[str, Any], headers: dict[str, str]) -> Response:
    """The minimal answer, which goes out as it is."""
    response: Response = current_app.json.response(shown)  # type: ignore[assignment]
    response.headers["Preference-Applied"] = MINIMAL
    response.headers["Vary"] = "Prefer"
    response.headers.update(headers)
    return response
