"""A recipe by name or file, and what the command line changes of it."""

import dataclasses
import json
import os
import re
import runpy

from insideout_tf import config, recipes
from insideout_tf.config import Augmentation, Experiment, Stage
from insideout_tf.errors import UserError


def load(recipe):
    """Returns the `Experiment` of a recipe: a file with get_config(), or a name of `recipes`.

    Whatever is wrong with the file raises `UserError`.
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
            raise UserError(f"{path}: {_blame(error, path)}") from None
        raise UserError(
            f"{path}: expected a function get_config() that returns an Experiment. "
            "Received: a file without it"
        ) from None
    except Exception as error:  # whatever the user's file raises
        raise UserError(f"{path}: {_blame(error, path)}") from None
    if not isinstance(experiment, Experiment):
        raise UserError(
            f"{path}: expected get_config() to return an Experiment. "
            f"Received: {type(experiment).__name__}"
        )
    return experiment


def _blame(error, path):
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
        fields = [field.name for field in dataclasses.fields(kinds[typo[1]])]
        return (
            f"line {line}: unknown field {typo[2]!r} of {typo[1]}.{config.hint(typo[2], fields)} "
            f"Valid fields: {', '.join(fields)}. {received}"
        )
    return f"line {line}: expected a file that runs. Correct it. {received}"


def override(experiment, assignments):
    """Applies `key=value` texts such as `stages.0.epochs=3` or `augmentation.flip=false`.

    A stage may be named by its index or its name. Values are JSON; anything else is a string.
    """
    values = config.to_dict(experiment)
    for text in assignments:
        path, equals, raw = text.partition("=")
        config.require(equals and path, "--set", "key=value", text)
        value = _parse_value(raw, path)
        target, keys = values, path.strip().split(".")
        for position, key in enumerate(keys):
            here = ".".join(keys[:position]) or "experiment"
            if isinstance(target, list):
                names = [
                    item["name"] if isinstance(item, dict) else str(index)
                    for index, item in enumerate(target)
                ]
                if key in names:
                    key = names.index(key)
                else:
                    config.require(
                        key.isdecimal() and int(key) < len(target),
                        f"--set {here}",
                        f"an index from 0 to {len(target) - 1} or one of {names}",
                        key,
                    )
                    key = int(key)
            elif isinstance(target, dict):
                if key not in target:
                    _point_to_owner(here, key, text, raw, experiment)
                    raise UserError(
                        f"--set {here}: unknown field {key!r}.{config.hint(key, target)} Valid fields: "
                        f"{', '.join(target)}. Received: {text!r}"
                    )
            else:
                raise UserError(f"--set {here}: it has no field {key!r}. Received: {text!r}")
            if position == len(keys) - 1:
                target[key] = value
            else:
                target = target[key]
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
    """Returns a value as it reads in a message, at most about 80 characters."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}... of {len(text):,} characters"


def _point_to_owner(here, key, text, raw, experiment):
    """Raises `UserError` if a field that an experiment lacks belongs to its stages or augmentation."""
    if here != "experiment":
        return
    owners = []
    if key in {field.name for field in dataclasses.fields(Stage)}:
        owners = [f"stages.{stage.name}.{key}={raw}" for stage in experiment.stages]
    elif key in {field.name for field in dataclasses.fields(Augmentation)}:
        owners = [f"augmentation.{key}={raw}"]
    if owners:
        short = (
            f", or --{key.replace('_', '-')} {raw}" if key in ("epochs", "learning_rate") else ""
        )
        raise UserError(
            f"--set: expected a field of the experiment; {key!r} belongs to its "
            f"{'stages' if owners[0].startswith('stages') else 'augmentation'}. Give "
            f"{' or '.join(f'--set {owner}' for owner in owners)}{short}. Received: {text!r}"
        )


STAGE_OPTIONS = {"epochs": int, "learning_rate": float}
OPTIONS = (*STAGE_OPTIONS, "batch_size", "image_size", "seed", "weights", "precision")


def apply_options(experiment, **options):
    """Returns the experiment with the values of the short options; None leaves a field as it is.

    Args:
        experiment: an `Experiment`.
        options: `epochs` and `learning_rate` concern the last stage if they are one value. A list of
            values, or a text such as "2,10", has one for each stage. A stage's `warmup_epochs` is cut
            to its epochs. `image_size` also removes image sizes of stages that are larger.
            `batch_size`, `weights`, `precision` and `seed` set the field of that name. Values may be
            texts, as a command line has them.

    Raises:
        UserError: a value that the field does not take, or a wrong number of values.
    """
    stages = list(experiment.stages)
    for name, kind in STAGE_OPTIONS.items():
        if options.get(name) is not None:
            values = _values_of_stages(name, options[name], kind, stages)
            stages = [
                stage if value is None else _replace_in_stage(stage, name, value)
                for stage, value in zip(stages, values)
            ]
    changes: dict = {"stages": tuple(stages)}
    for name in ("batch_size", "image_size", "seed"):
        if options.get(name) is not None:
            changes[name] = _number(name, options[name], int)
    for name in ("weights", "precision"):
        if options.get(name) is not None:
            changes[name] = str(options[name])
    if "image_size" in changes:
        changes["stages"] = tuple(
            dataclasses.replace(stage, image_size=None)
            if stage.image_size and stage.image_size > changes["image_size"]
            else stage
            for stage in stages
        )
    return dataclasses.replace(experiment, **changes)


def _replace_in_stage(stage, name, value):
    changes = {name: value}
    if name == "epochs":
        changes["warmup_epochs"] = min(stage.warmup_epochs, max(value, 0))
    return dataclasses.replace(stage, **changes)


def _values_of_stages(name, value, kind, stages):
    """Returns one value or None for each stage."""
    listed = value.split(",") if isinstance(value, str) else value
    listed = list(listed) if isinstance(listed, (list, tuple)) else [listed]
    if len(listed) == 1:
        listed = [None] * (len(stages) - 1) + listed
    if len(listed) != len(stages):
        names = ", ".join(stage.name for stage in stages)
        raise UserError(
            f"{_option(name)}: expected one value, for the last stage, or one for each of the "
            f"{len(stages)} stages ({names}). Received: {value!r}"
        )
    return [None if each is None else _number(name, each, kind) for each in listed]


def _number(name, value, kind):
    expected = "a whole number" if kind is int else "a number"
    try:
        number = kind(value)
        is_exact = kind is not int or number == float(value)
    except (TypeError, ValueError, OverflowError):
        number, is_exact = None, False
    if not is_exact or isinstance(value, bool):
        raise UserError(f"{_option(name)}: expected {expected}. Received: {_shorten(value)}")
    return number


def _option(name):
    return f"--{name.replace('_', '-')}"


def from_keywords(experiment, **settings):
    """Returns the experiment with other values for some fields.

    Args:
        experiment: an `Experiment`.
        settings: fields of an `Experiment` by name, as values of Python, and what `apply_options`
            takes.

    Raises:
        UserError: an unknown name, with the nearest one, or a value that the field does not take.
    """
    fields = [field.name for field in dataclasses.fields(Experiment)]
    for name in settings:
        if name not in fields and name not in OPTIONS:
            raise UserError(
                f"{name}: expected a field of an Experiment or a short option."
                f"{config.hint(name, [*OPTIONS, *fields])} Valid names: "
                f"{', '.join(dict.fromkeys([*OPTIONS, *fields]))}. Received: {name!r}"
            )
    options = {name: value for name, value in settings.items() if name in OPTIONS}
    others = {name: value for name, value in settings.items() if name not in OPTIONS}
    return apply_options(dataclasses.replace(experiment, **others), **options)
