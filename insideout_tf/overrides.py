"""A recipe by name or file, and the settings that a user changes: options, `--set`, keywords."""

import dataclasses
import json
import math
import numbers
import os
import re
import runpy

from insideout_tf import config, fields, recipes
from insideout_tf.config import Augmentation, Experiment, Stage
from insideout_tf.errors import UserError

# The settings with an option of their own, in the order of `apply_options`.
SHORT_OPTIONS = (
    "epochs",
    "batch_size",
    "learning_rate",
    "image_size",
    "weights",
    "precision",
    "seed",
)


def load(recipe):
    """Returns the `Experiment` of a recipe.

    Args:
        recipe: the name of a recipe of `recipes`, or the path of a Python file with `get_config()`.

    Raises:
        UserError: the recipe is missing, does not run, or returns something else. The message
            names the file, and the line where Python knows it.
    """
    path = str(recipe)
    if not os.path.isfile(path):
        if path.endswith(".py") or os.sep in path:
            raise UserError(
                f"{path}: expected a recipe: a file with get_config(), or one of `insideout recipes`. "
                "Check the path. Received: nothing there"
            )
        path = str(recipes.path_of(path))
    try:
        experiment = runpy.run_path(path)["get_config"]()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except KeyError as error:
        if error.args != ("get_config",):
            raise UserError(f"{path}: {_explain_failure(error, path)}") from None
        raise UserError(
            f"{path}: expected a function get_config() that returns an Experiment. Add it. "
            "Received: a file without it"
        ) from None
    except Exception as error:  # a user's file can raise anything
        raise UserError(f"{path}: {_explain_failure(error, path)}") from None
    if not isinstance(experiment, Experiment):
        raise UserError(
            f"{path}: expected get_config() to return an Experiment. Correct it. "
            f"Received: {type(experiment).__name__}"
        )
    return experiment


def _explain_failure(error, path):
    """Returns the text of an error that a recipe raised, with the recipe's line."""
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace:
        if os.path.abspath(trace.tb_frame.f_code.co_filename) == os.path.abspath(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    received = f"Received: {type(error).__name__}: {error}"
    kinds = {kind.__name__: kind for kind in (Experiment, Stage, Augmentation)}
    typo = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if typo and typo[1] in kinds:
        valid = fields.field_names(kinds[typo[1]])
        owners = [name for name, kind in kinds.items() if typo[2] in fields.field_names(kind)]
        hint = f" It is a field of {owners[0]}." if owners else fields.hint(typo[2], valid)
        return (
            f"line {line}: unknown field {typo[2]!r} of {typo[1]}.{hint} "
            f"Valid fields: {', '.join(valid)}. {received}"
        )
    return f"line {line}: expected a file that runs. Correct it. {received}"


def override(experiment, assignments):
    """Returns the experiment with fields changed, as `--set` does.

    Args:
        experiment: an `Experiment`.
        assignments: texts `KEY=VALUE`, such as `dropout=0.2`, `stages.0.epochs=3`,
            `stages.finetune.epochs=3` or `augmentation.flip=false`. A stage goes by its index or
            its name. A value is JSON; None, True and False count too, and other text is a string.
            All are applied before the experiment is checked, so their order is free.

    Raises:
        UserError: a field is unknown or a value is not allowed.
    """
    values = config.to_dict(experiment)
    for text in assignments:
        path, equals, raw = text.partition("=")
        fields.require(equals and path, "--set", "key=value", text)
        value = _parse_value(raw, path)
        _set_value(values, path.strip().split("."), value, text, experiment)
    return config.from_dict(values)


def _parse_value(raw, path):
    """Returns what a text means: JSON, a constant of Python, or the text itself."""
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        return {"None": None, "True": True, "False": False}.get(raw, raw)
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise UserError(
            f"--set {path[:80]}: expected a shorter value. Correct it. Received: {_shorten(raw)}, "
            f"{type(error).__name__}"
        ) from None


def _shorten(value):
    """Returns a value as text for a message, at most about 80 characters."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}... of {len(text):,} characters"


def _set_value(values, keys, value, text, experiment):
    """Sets `values[keys[0]][keys[1]]...` to `value`; `text` is the assignment, for messages."""
    target = values
    for position, key in enumerate(keys):
        here = ".".join(keys[:position]) or "experiment"
        if isinstance(target, list):
            key = _find_index(target, key, here)
        elif not isinstance(target, dict):
            raise UserError(
                f"--set {here}: it has no field {key!r}. {_suggest_whole(keys, position)}"
                f"Received: {text!r}"
            )
        elif key not in target:
            place = _suggest_place(experiment, key, text.partition("=")[2]) if not position else ""
            raise UserError(
                f"--set {here}: unknown field {key!r}.{place or fields.hint(key, target)} "
                f"Valid fields: {', '.join(target)}. Received: {text!r}"
            )
        if position == len(keys) - 1:
            target[key] = value
        else:
            target = target[key]


def _find_index(items, key, here):
    """Returns the index of the stage (or other item) that `key` names or counts from 0."""
    names = [
        item["name"] if isinstance(item, dict) else str(index) for index, item in enumerate(items)
    ]
    if key in names:
        return names.index(key)
    fields.require(
        key.isdecimal() and int(key) < len(items),
        f"--set {here}",
        f"an index from 0 to {len(items) - 1} or one of {names}",
        key,
    )
    return int(key)


def _suggest_whole(keys, position):
    """Returns advice for `stages.NAME.augmentation.FIELD` where the stage has no augmentation."""
    if keys[0] != "stages" or keys[position - 1] != "augmentation":
        return ""
    return (
        f"The stage uses the experiment's augmentation: set augmentation.{keys[position]}, or all "
        f"of {'.'.join(keys[:position])} as JSON. "
    )


def _suggest_place(experiment, key, value):
    """Returns where a field that is not the experiment's own can be set, or "".

    key: a field of a stage or of the augmentation, or nearly one. value: text, as the user wrote it.
    """
    own, stage, augmentation = map(fields.field_names, (Experiment, Stage, Augmentation))
    nearest = fields.nearest(key, [*own, *stage, *augmentation])
    if nearest is None or nearest in own:
        return ""
    if nearest in augmentation:
        return f" It belongs to the augmentation: --set augmentation.{nearest}={value}."
    places = [f"--set stages.{each.name}.{nearest}={value}" for each in experiment.stages]
    option = f", or {_write_option(nearest)} {value}" if nearest in SHORT_OPTIONS else ""
    return f" It belongs to a stage: {' or '.join(places)}{option}."


def apply_options(
    experiment,
    epochs=None,
    batch_size=None,
    learning_rate=None,
    image_size=None,
    weights=None,
    precision=None,
    seed=None,
):
    """Returns the experiment with the settings changed that have an option of their own.

    None leaves a setting as it is. Numbers may be texts, as a command line gives them.

    Args:
        experiment: an `Experiment`.
        epochs: of the last stage, which is the main training: an integer from 1. Or one value for
            each stage, as a sequence or as text such as "2,10". A stage's `warmup_epochs` is cut
            to its new epochs if it would exceed them.
        batch_size: faces in a batch.
        learning_rate: of the last stage, or one value for each stage, as with `epochs`.
        image_size: pixels a side that the network sees. Stages with a larger `image_size` of their
            own lose it; smaller ones keep theirs.
        weights: "imagenet", "none" or a file of weights. A "~" at its beginning is expanded.
        precision: "auto", "float32", "mixed_float16" or "mixed_bfloat16".
        seed: of weights, order, augmentation and split.

    Raises:
        UserError: a value is not allowed. The message names the option, such as `--epochs`.
    """
    options = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "image_size": image_size,
        "weights": weights,
        "precision": precision,
        "seed": seed,
    }
    return _apply(experiment, options, _write_option)


def from_keywords(experiment, /, **overrides):
    """Returns the experiment with the keyword arguments of the Python API applied.

    Args:
        experiment: an `Experiment`.
        **overrides: the arguments of `apply_options`, and fields of `Experiment`, such as
            `dropout=0.2` or `augmentation=Augmentation(flip=True)`. A dict of fields may stand for
            an `Augmentation` or a `Stage`. An argument of `apply_options` that is None changes
            nothing.

    Raises:
        UserError: a name is unknown (the message has the nearest one), or a value is not allowed.

    Example:
        experiment = from_keywords(load("effnet_b2"), epochs=10, batch_size=32, dropout=0.2)
    """
    own = fields.field_names(Experiment)
    valid = sorted({*SHORT_OPTIONS, *own})
    for name, value in overrides.items():
        if name not in valid:
            raise UserError(
                f"{name}: expected an option or a field of Experiment."
                f"{_suggest_keyword(experiment, name, value, valid)} "
                f"Valid names: {', '.join(valid)}. Received: {name}={value!r}"
            )
    changes = {name: value for name, value in overrides.items() if name not in SHORT_OPTIONS}
    options = {name: overrides.get(name) for name in SHORT_OPTIONS}
    return _apply(dataclasses.replace(experiment, **changes), options, str)


def _suggest_keyword(experiment, name, value, valid):
    """Returns how to set a field of a stage or of the augmentation in Python, or the nearest name."""
    if name in fields.field_names(Augmentation):
        return f" Give augmentation=Augmentation({name}={value!r}) with all its fields."
    if name in fields.field_names(Stage):
        names = ", ".join(repr(stage.name) for stage in experiment.stages)
        return f" It belongs to a stage ({names}): give stages=(Stage(...), ...)."
    return fields.hint(name, valid)


def _write_option(name):
    """Returns "--batch-size" of "batch_size"."""
    return "--" + name.replace("_", "-")


def _apply(experiment, options, write_name):
    """Applies a dict of `SHORT_OPTIONS`. write_name: gives the name of an option in messages."""
    stages = list(experiment.stages)
    for name, is_allowed, expected in (
        ("epochs", _is_count, "a whole number from 1"),
        ("learning_rate", _is_positive, "a positive number"),
    ):
        if options[name] is None:
            continue
        chosen = _parse_stages(options[name], stages, is_allowed, expected, write_name(name))
        for index, value in chosen.items():
            changes = {name: value}
            if name == "epochs":
                changes["warmup_epochs"] = min(stages[index].warmup_epochs, float(value))
            stages[index] = dataclasses.replace(stages[index], **changes)
    size = _parse_number(options["image_size"])
    changes = {
        "batch_size": _parse_number(options["batch_size"]),
        "image_size": size,
        "weights": _expand_weights(options["weights"]),
        "precision": options["precision"],
        "seed": _parse_number(options["seed"]),
    }
    for name, value in changes.items():
        if value is not None:
            experiment = _replace_field(experiment, name, value, write_name(name))
    if size is not None:
        stages = [
            dataclasses.replace(stage, image_size=None) if (stage.image_size or 0) > size else stage
            for stage in stages
        ]
    return dataclasses.replace(experiment, stages=tuple(stages))


def _replace_field(experiment, name, value, label):
    """Returns the experiment with one field changed; an error about it is named `label`."""
    try:
        return dataclasses.replace(experiment, **{name: value})
    except fields.FieldError as error:
        if error.field != name:
            raise
        raise UserError(
            f"{label}: expected {error.expected}. Change it. Received: {_shorten(value)}"
        ) from None


def _parse_stages(value, stages, is_allowed, expected, label):
    """Returns {index of a stage: value}: the last stage's, or one for each.

    value: a number, a sequence of numbers, or text with commas between numbers.
    """
    is_list = isinstance(value, (list, tuple)) or (isinstance(value, str) and "," in value)
    parts = value.split(",") if isinstance(value, str) else value if is_list else [value]
    values = [_parse_number(part) for part in parts]
    has_right_length = len(values) == len(stages) if is_list else True
    if not has_right_length or not all(map(is_allowed, values)):
        names = ", ".join(stage.name for stage in stages)
        each = "" if len(stages) == 1 else f", or one for each stage ({names})"
        raise UserError(
            f"{label}: expected {expected}{each}. Change it. Received: {_shorten(value)}"
        )
    return dict(enumerate(values)) if is_list else {len(stages) - 1: values[0]}


def _parse_number(value):
    """Returns an int or a float of a number or its text; what is no number stays as it is."""
    if isinstance(value, str):
        for convert in (int, float):
            try:
                return convert(value)
            except ValueError:
                continue
        return value
    if type(value) is bool or not isinstance(value, numbers.Real):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)  # NumPy's too


def _expand_weights(weights):
    """Returns `weights` with "~" expanded; a path object becomes text."""
    if weights is None or not isinstance(weights, (str, os.PathLike)):
        return weights
    return os.path.expanduser(os.fspath(weights))


def _is_count(value):
    return type(value) is int and value >= 1


def _is_positive(value):
    return type(value) in (int, float) and math.isfinite(value) and value > 0
