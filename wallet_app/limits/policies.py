"""Limits as they are written, "1000/second;100000/hour", and as they are applied."""

from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from limits import parse_many


@dataclass(frozen=True, slots=True)
class Policy:
    """So many requests in each window of a clock that all processes share."""

    name: str
    quota: int
    window_s: int
    header: str = field(init=False)

    def __post_init__(self) -> None:
        header = f'"{self.name}";q={self.quota};w={self.window_s}'
        object.__setattr__(self, "header", header)

    def window(self, now: float) -> tuple[int, int]:
        """The number of the window at a time, and the seconds until its end."""
        number, passed_s = divmod(now, self.window_s)
        return int(number), ceil(self.window_s - passed_s)


class Use(NamedTuple):
    """What is left of a policy's quota; below zero: the request is one too many."""

    policy: Policy
    left: int
    ends_in_s: int

    def header(self) -> str:
        """As draft-ietf-httpapi-ratelimit-headers has it: a quota, and its time."""
        return f'"{self.policy.name}";r={max(0, self.left)};t={self.ends_in_s}'


def parse(kind: str, text: str) -> list[Policy]:
    """The policies of a setting, shortest window first.

    So a flood that a short window holds back does not use up a long one.
    """
    policies = [
        Policy(f"{kind}-{item.get_expiry()}s", item.amount, item.get_expiry())
        for item in (parse_many(text) if text else [])
    ]
    return sorted(policies, key=lambda policy: policy.window_s)
