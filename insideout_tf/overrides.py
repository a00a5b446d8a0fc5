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
        try:
            value = json.loads(raw)
        except json.JSONDecodeError:
            value = {"None": None, "True": True, "False": False}.get(raw, raw)
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
