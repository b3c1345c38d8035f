"""Cursors: opaque, and of no use anywhere but where they come from."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet_app.errors import InvalidRequest
from wallet_app.http.pages import decode_position, encode_cursor, page_of, read_seq

positions = st.integers(0, 2**63 - 1)


@given(st.text(), positions)
def test_cursor_leads_back_to_its_position(name, position):
    cursor = encode_cursor(name, position)
    assert decode_position(cursor, name, read_seq) == position
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(), st.text(), positions)
def test_cursor_of_one_list_is_refused_by_every_other(name, other, position):
    if name != other:
        with pytest.raises(InvalidRequest):
            decode_position(encode_cursor(name, position), other, read_seq)


@given(st.text(max_size=80))
def test_any_text_is_a_cursor_or_refused(text):
    with suppress(InvalidRequest):
        assert 0 <= decode_position(text, "asc", read_seq) < 2**63


def test_no_cursor_is_the_beginning():
    assert decode_position(None, "asc", read_seq) is None


@given(st.integers(0, 12), st.integers(1, 12))
def test_pages_of_any_size_cover_any_list(length, limit):
    rows = [SimpleNamespace(place=place) for place in range(1, length + 1)]
    seen, after = [], 0
    for _ in range(length + 1):
        rest = [row for row in rows if row.place > after]
        page = page_of(rest[: limit + 1], limit, lambda row: ("rows", row.place))
        seen += page["data"]
        assert page["has_more"] == (len(rest) > limit)
        assert (page["next_cursor"] is not None) == page["has_more"]
        if not page["has_more"]:
            break
        after = decode_position(page["next_cursor"], "rows", read_seq)
    assert seen == rows
