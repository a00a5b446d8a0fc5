"""What a sweep searches: fields of a recipe with their ranges or values."""

import contextlib
import math
import typing

from insideout_tf.errors import UserError


class Choice(typing.NamedTuple):
    """What a field may be: one of some values, or a number of a range.

    Attributes:
        field: its place in the recipe, such as "stages.0.learning_rate".
        values: the values as texts, as --set takes them; None for a range.
        low, high: of the range. Both are whole numbers, or neither.
        is_log: whether the logarithm is drawn evenly.
    """

    field: str
    values: tuple | None = None
    low: float = 0
    high: float = 0
    is_log: bool = False

    def draw(self, trial):
        """Returns the value of an `optuna.Trial`."""
        if self.values is not None:
            return trial.suggest_categorical(self.field, self.values)
        suggest = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return suggest(self.field, self.low, self.high, log=self.is_log)

    def list_ends(self):
        """Returns the values that must be allowed for all to be."""
        return self.values if self.values is not None else (self.low, self.high)


def parse_space(texts):
    """Returns the `Choice`s of texts such as "dropout=0.1:0.5" or "batch_size=32,64".

    Raises `UserError` for another form.
    """
    choices = [_parse_choice(text) for text in texts]
    names = [choice.field for choice in choices]
    if not choices or len(set(names)) != len(names):
        raise UserError(
            "--space: expected each field once, such as dropout=0.1:0.5. Add one, or leave the second out. "
            f"Received: {', '.join(names) or 'nothing'}"
        )
    return choices


def _parse_choice(text):
    field, _, space = text.partition("=")
    parts = space.split(":")
    is_log = parts[2:] == ["log"]
    if field and len(parts) in (2, 3) and (len(parts) == 2 or is_log):
        with contextlib.suppress(ValueError):
            low, high = (
                int(part) if part.lstrip("-").isdecimal() else float(part) for part in parts[:2]
            )
            if not (isinstance(low, int) and isinstance(high, int)):
                low, high = float(low), float(high)
            if (
                math.isfinite(low)
                and math.isfinite(high)
                and low < high
                and (low > 0 or not is_log)
            ):
                return Choice(field, None, low, high, is_log)
    values = tuple(space.split(",")) if "," in space else ()
    if field and len(parts) == 1 and len(values) > 1 and len(set(values)) == len(values):
        return Choice(field, values)
    raise UserError(
        "--space: expected FIELD=LOW:HIGH, FIELD=LOW:HIGH:log with LOW above 0, or FIELD=A,B,C. Correct it. "
        f"Received: {text!r}"
    )
