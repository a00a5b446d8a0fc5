"""Frozen dataclasses with strict fields: their types, ranges and names are checked."""

import dataclasses
import difflib
import math
import types
import typing

from insideout_tf.errors import UserError


class FieldError(UserError):
    """A field of an experiment has a value that is not allowed.

    field: where it is, such as "batch_size" or "stage 'train': epochs". expected: the allowed values.
    """

    def __init__(self, field, expected, received):
        super().__init__(
            f"{field}: expected {expected}. Change it in the experiment file or with "
            f"--set. Received: {received!r}"
        )
        self.field, self.expected = field, expected


def require(condition, name, expected, received):
    """Raises `FieldError` about the field `name` unless the condition holds."""
    if not condition:
        raise FieldError(name, expected, received)


def require_one_of(name, value, choices):
    """Raises `FieldError` unless the value is one of the choices."""
    require(value in choices, name, "one of " + ", ".join(map(repr, choices)), value)


def require_range(name, value, low, high):
    """Raises `FieldError` unless the value is finite and from low to high, both included."""
    ok = low <= value <= high and math.isfinite(value)
    require(ok, name, f"a number from {low:g} to {high:g}", value)


def check_types(instance, where):
    """Checks every field against its annotation, which dataclasses do not, and makes lists tuples."""
    for key, hint in typing.get_type_hints(type(instance)).items():
        value = _convert(getattr(instance, key), hint, where + key)
        object.__setattr__(instance, key, value)


def _convert(value, hint, where):
    """Returns a value as the annotation `hint` has it, or raises `UserError`."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        hint = next(arm for arm in typing.get_args(hint) if arm is not types.NoneType)
        origin = typing.get_origin(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(hint, value, where)
    if origin is tuple:
        arms = typing.get_args(hint)
        require(isinstance(value, (list, tuple)), where, f"a list such as {_example(arms)}", value)
        if arms[-1] is Ellipsis:
            return tuple(
                _convert(item, arms[0], f"{where}.{index}") for index, item in enumerate(value)
            )
        require(len(value) == len(arms), where, f"{len(arms)} values", value)
        return tuple(
            _convert(item, arm, f"{where}.{index}")
            for index, (item, arm) in enumerate(zip(value, arms))
        )
    if hint is float and type(value) is int:
        return float(value)
    require(type(value) is hint, where, f"a value of type {hint.__name__}", value)
    return value


def _example(arms):
    """Returns a list as `--set` takes it, of values of the types `arms`."""
    examples = {int: "2", float: "0.5", str: '"a"'}
    listed = arms[:1] * 2 if arms[-1] is Ellipsis else arms
    return "[" + ",".join(examples.get(arm, "...") for arm in listed) + "]"


def from_dict(kind, values, where):
    """Returns an instance of a dataclass from a dict of plain values.

    kind: the dataclass. where: the place of the dict, for messages.
    Raises `UserError` if a key is unknown or missing, or a value is not allowed.
    """
    require(isinstance(values, dict), where, f"the fields of {kind.__name__}", values)
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise UserError(
                f"{where}: unknown field {key!r}.{hint(key, hints)} Valid fields: "
                f"{', '.join(hints)}. Received: {key!r}"
            )
    missing = [
        field.name
        for field in dataclasses.fields(kind)
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    require(not missing, where, f"a value for {', '.join(missing)}", sorted(values))
    return kind(**values)


def field_names(kind):
    """Returns the names of a dataclass's fields, in their order."""
    return [field.name for field in dataclasses.fields(kind)]


def nearest(name, choices):
    """Returns the one of the choices that is spelt nearest to `name`, or None if none is near."""
    close = difflib.get_close_matches(name, choices, n=1)
    return close[0] if close else None


def hint(name, choices):
    """Returns " Did you mean 'NEAREST'?", or "" if no choice is near."""
    close = nearest(name, choices)
    return f" Did you mean {close!r}?" if close else ""
