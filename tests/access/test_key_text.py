"""What a key looks like, and what is refused before anybody looks for it."""

import string

import pytest

from wallet_app.access import key_text

KEY = key_text.new_key("4fQ0Zr7LmX2s")
LETTERS = string.ascii_letters + string.digits


def test_a_key_has_its_id_in_it_and_no_two_are_alike():
    assert KEY.startswith("wk_live_4fQ0Zr7LmX2s_")
    assert key_text.read_id(KEY) == "4fQ0Zr7LmX2s"
    made = {key_text.new_key(key_text.new_id()) for _ in range(1000)}
    assert len(made) == 1000
    assert {len(one) for one in made} == {len(KEY)}
    for one in made:
        assert key_text.is_id(key_text.read_id(one))


@pytest.mark.parametrize("place", range(len(KEY)))
def test_one_wrong_letter_anywhere_is_noticed(place):
    for letter in LETTERS:
        if letter != KEY[place]:
            wrong = KEY[:place] + letter + KEY[place + 1 :]
            with pytest.raises(key_text.MalformedKeyError):
                key_text.read_id(wrong)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: "",
        lambda key: key_text.PREFIX,
        lambda key: key[:-1],
        lambda key: f"{key}0",
        lambda key: f" {key}",
        lambda key: f"{key}\n",
        lambda key: f"{key}\0",
        str.upper,
        str.swapcase,
        lambda key: key.replace("live", "test"),
        lambda key: key.replace("_", "-"),
    ],
)
def test_what_is_no_key_is_malformed(spoil):
    with pytest.raises(key_text.MalformedKeyError):
        key_text.read_id(spoil(KEY))
