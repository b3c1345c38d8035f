"""Which connections a worker leaves to others."""

import pytest

from serving.balance import has_too_many


@pytest.mark.parametrize(
    ("own", "fewest", "too_many"),
    [
        (0, 0, False),
        (1, 0, True),
        (2, 1, True),
        (8, 8, False),
        (9, 8, False),
        (10, 8, True),
        (36, 32, False),
        (37, 32, True),
    ],
)
def test_few_are_shared_evenly_and_of_many_an_eighth_more_is_taken(
    own, fewest, too_many
):
    assert has_too_many(own, fewest) is too_many
