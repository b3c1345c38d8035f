"""Pages of what passes some filters, at a cost that has a bound.

A walk goes along one index, in the order of the list, over at most MOST_LOOKED_AT rows;
the filters that this index does not serve are asked of each of them. So a page may be
short, or empty, though more follow: then its cursor is the place where the walk ended.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, tuple_

from wallet_app.database import AnyRow
from wallet_app.http.pages import encode_cursor

MOST_LOOKED_AT = 10_000
Place = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Walk:
    """An index to go along: what it is asked, and the two columns of its order.

    `key` is what the rows are read by.
    """

    key: ColumnElement[Any]
    conditions: Sequence[ColumnElement[bool]]
    place: tuple[ColumnElement[Any], ColumnElement[Any]]
    ascending: bool = False

    def rows(self, after: Place | None) -> Any:
        """The walk from behind a place: columns first and second, key and number."""
        conditions = list(self.conditions)
        if after is not None:
            here = tuple_(*self.place)
            conditions.append(here > after if self.ascending else here < after)
        names = "first", "second"
        return (
            select(
                self.key.label("key"),
                *(one.label(name) for name, one in zip(names, self.place, strict=True)),
                func.row_number()
                .over(order_by=self.order(*self.place))
                .label("number"),
            )
            .where(*conditions)
            .order_by(*self.order(*self.place))
            .limit(MOST_LOOKED_AT)
            .subquery("walked")
        )

    def order(self, *columns: ColumnElement[Any]) -> list[Any]:
        return [one.asc() if self.ascending else one.desc() for one in columns]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that pass; `end` is the last one looked at, if more may follow."""

    rows: Sequence[Any]
    end: Place | None

    def page(self, list_name: str, place_of: Callable[[Place], Any]) -> dict[str, Any]:
        """A page, whose cursor has the place as plain JSON."""
        end = None if self.end is None else encode_cursor(list_name, place_of(self.end))
        return {"data": self.rows, "has_more": end is not None, "next_cursor": end}


def find(
    connection: Connection,
    walk: Walk,
    whole: Callable[[Any], tuple[Select[Any], ColumnElement[bool]]],
    *,
    limit: int,
    after: Place | None,
) -> Found:
    """Up to `limit` rows of the walk that pass.

    `whole` gives the SELECT of the whole rows, of those of the walk, and what they
    have to pass.
    """
    walked = walk.rows(after)
    statement, passes = whole(walked)
    # The last row is told of, though it may not pass: there the next page begins.
    statement = (
        statement.add_columns(
            walked.c.first, walked.c.second, walked.c.number, passes.label("passes")
        )
        .where(or_(passes, walked.c.number == MOST_LOOKED_AT))
        .order_by(*walk.order(walked.c.first, walked.c.second))
        .limit(limit + 1)
    )
    rows: Sequence[AnyRow] = connection.execute(statement).all()
    more_may_follow = len(rows) > limit or (
        len(rows) > 0 and rows[-1].number == MOST_LOOKED_AT
    )
    rows = rows[:limit]
    end = (rows[-1].first, rows[-1].second) if more_may_follow else None
    return Found([row for row in rows if row.passes], end)
