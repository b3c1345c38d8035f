"""A marshmallow schema without the work that plain data does not need."""

from typing import Any

import marshmallow as ma

from wallet_app.http.fields import Uuid

# Outside name, inside name, how a given value is read, what a missing one means.
LoadPlan = list[tuple[str, str, Any, Any]]
# Outside name, inside name, how a value is written: None if it goes out as it is.
DumpPlan = list[tuple[str, str, Any]]

AS_IT_IS = (ma.fields.Integer, ma.fields.String, Uuid)
REQUIRED = object()


class Members(ma.fields.List[Any]):
    """A list of objects of a LeanSchema."""

    def __init__(self, schema: type["LeanSchema"], **options: Any) -> None:
        super().__init__(ma.fields.Nested(schema), **options)
        self.schema = schema()

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return self.schema.dump(value, many=True)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, list):
            try:
                return [self.schema.load(member) for member in value]
            except ma.ValidationError:
                pass  # List tells which members are wrong.
        return super()._deserialize(value, attr, data, **kwargs)


class LeanSchema(ma.Schema):
    """A schema that goes over its fields once, each with its own rules, and no more.

    Marshmallow's own search for hooks, defaults, values and error stores costs several
    times what the fields cost. Input that has anything wrong or unusual about it is
    loaded by marshmallow, which runs the hooks and words the errors; a rule about
    several fields belongs in `check_whole`, which both ways call.

    Dumps objects with one attribute a field, or dicts, which may leave fields out.
    """

    load_plan: LoadPlan
    dump_plan: DumpPlan

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.load_plan = [
            (
                field.data_key or name,
                field.attribute or name,
                field.deserialize,
                REQUIRED if field.required else field.load_default,
            )
            for name, field in self.load_fields.items()
        ]
        self.dump_plan = [
            (
                field.data_key or name,
                field.attribute or name,
                None if type(field) in AS_IT_IS else field._serialize,
            )
            for name, field in self.dump_fields.items()
        ]
        self.load_names = {key for key, *_ in self.load_plan}

    def check_whole(self, data: dict[str, Any]) -> None:
        """Raise ValidationError if the loaded fields do not go together."""

    @ma.validates_schema(skip_on_field_errors=True)
    def check_together(self, data: dict[str, Any], **_: Any) -> None:
        self.check_whole(data)

    def load(self, data: Any, **options: Any) -> Any:
        if isinstance(data, dict) and data.keys() <= self.load_names:
            try:
                return self.load_plainly(data)
            except ma.ValidationError:
                pass  # Only the whole list of what is wrong helps the caller.
        return super().load(data, **options)

    def load_plainly(self, data: dict[str, Any]) -> dict[str, Any]:
        loaded: dict[str, Any] = {}
        for key, attribute, deserialize, default in self.load_plan:
            if key in data:
                loaded[attribute] = deserialize(data[key], key, data)
            elif default is REQUIRED:
                raise ma.ValidationError("", key)
            elif default is not ma.missing:
                loaded[attribute] = default
        self.check_whole(loaded)
        return loaded

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        if self.many if many is None else many:
            return [dump_one(self.dump_plan, one) for one in obj]
        return dump_one(self.dump_plan, obj)


def dump_one(plan: DumpPlan, obj: Any) -> dict[str, Any]:
    if isinstance(obj, dict):
        return {
            key: obj[name] if write is None else write(obj[name], name, obj)
            for key, name, write in plan
            if name in obj
        }
    return {
        key: getattr(obj, name)
        if write is None
        else write(getattr(obj, name), name, obj)
        for key, name, write in plan
    }
