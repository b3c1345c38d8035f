"""A marshmallow schema without the work that plain data does not need."""

from operator import attrgetter
from typing import Any, ClassVar

import marshmallow as ma

from wallet_app.http.fields import Uuid

# By outside name: the inside name, how a value is read, and how null is.
LoadPlan = dict[str, tuple[str, Any, Any]]
# Outside name, inside name, how a value is written: None if it goes out as it is.
DumpPlan = list[tuple[str, str, Any]]

AS_IT_IS = (ma.fields.Integer, ma.fields.String, ma.fields.Dict, Uuid)


class Members(ma.fields.List[Any]):
    """A list of objects of a LeanSchema."""

    def __init__(self, schema: type["LeanSchema"], **options: Any) -> None:
        super().__init__(ma.fields.Nested(schema), **options)
        self.schema = schema()

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return self.schema.dump(value, many=True)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        members, errors = [], {}
        for index, member in enumerate(value):
            try:
                members.append(self.schema.load(member))
            except ma.ValidationError as error:
                errors[index] = error.normalized_messages()  # type: ignore[no-untyped-call]
        if errors:
            raise ma.ValidationError(errors)
        return members


class LeanSchema(ma.Schema):
    """A schema that goes over its fields once, each with its own rules, and no more.

    Marshmallow describes the fields, for the API's documentation too, and each field
    reads and words its errors; but its search for hooks, values and error stores costs
    several times what the fields cost. A rule about several fields is `check_whole`;
    `synonyms` are other names of fields.

    Dumps objects with one attribute a field, or dicts, which may leave fields out.
    """

    synonyms: ClassVar[dict[str, str]] = {}
    load_plan: LoadPlan
    dump_plan: DumpPlan

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.load_plan = {
            field.data_key or name: (
                field.attribute or name,
                # Without validators, only null needs what marshmallow does around it.
                field.deserialize if field.validators else field._deserialize,
                field.deserialize,
            )
            for name, field in self.load_fields.items()
        }
        self.required = [
            field.data_key or name
            for name, field in self.load_fields.items()
            if field.required
        ]
        self.defaults = {
            field.attribute or name: field.load_default
            for name, field in self.load_fields.items()
            if not field.required and field.load_default is not ma.missing
        }
        self.dump_plan = [
            (
                field.data_key or name,
                field.attribute or name,
                None if type(field) in AS_IT_IS else field._serialize,
            )
            for name, field in self.dump_fields.items()
        ]
        self.written = [one for one in self.dump_plan if one[2] is not None]
        self.keys = [key for key, *_ in self.dump_plan]
        # With one name it would return no tuple.
        self.values_of = attrgetter(
            *(name for _, name, _ in self.dump_plan), "__class__"
        )

    def check_whole(self, data: dict[str, Any]) -> None:
        """Raise ValidationError if the loaded fields do not go together."""

    def load(self, data: Any, **_: Any) -> dict[str, Any]:
        """The fields by their inside names; raises ValidationError with all errors."""
        if not isinstance(data, dict):
            raise ma.ValidationError(self.error_messages["type"])
        errors: dict[str, Any] = {}
        if not data.keys() <= self.load_plan.keys():
            data = self.known(data, errors)
        loaded = self.defaults.copy()
        for key, value in data.items():
            attribute, read, read_null = self.load_plan[key]
            try:
                loaded[attribute] = (read_null if value is None else read)(
                    value, key, data
                )
            except ma.ValidationError as error:
                errors[key] = error.messages
        for key in self.required:
            if key not in data:
                errors[key] = ["Missing data for required field."]
        if errors:
            raise ma.ValidationError(errors)
        self.check_whole(loaded)
        return loaded

    def known(self, data: dict[str, Any], errors: dict[str, Any]) -> dict[str, Any]:
        """The data under the fields' own names, and an error for what is no field."""
        renamed: dict[str, Any] = {}
        for key, value in data.items():
            name = self.synonyms.get(key, key)
            if name in self.load_plan and (name == key or name not in data):
                renamed[name] = value
            else:
                errors[key] = ["Unknown field."]
        return renamed

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        if self.many if many is None else many:
            return [self.dump_one(one) for one in obj]
        return self.dump_one(obj)

    def dump_one(self, obj: Any) -> dict[str, Any]:
        if isinstance(obj, dict):
            return {
                key: obj[name] if write is None else write(obj[name], name, obj)
                for key, name, write in self.dump_plan
                if name in obj
            }
        shown = dict(zip(self.keys, self.values_of(obj), strict=False))
        for key, name, write in self.written:
            shown[key] = write(shown[key], name, obj)
        return shown
