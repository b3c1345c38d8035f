"""Command-line values, read by the fields that read them over HTTP."""

from typing import Any

import click
import marshmallow as ma

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with the names of the API."
)


class FieldType(click.ParamType[Any]):
    """A value that a marshmallow field accepts; others are usage errors."""

    def __init__(self, name: str, field: ma.fields.Field[Any]) -> None:
        self.name = name
        self.field = field

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.field.deserialize(value)
        except ma.ValidationError as error:
            self.fail(" ".join(map(str, error.messages)), param, ctx)
