"""The recipes that come with the package, by name.

Each module has `get_config()`, which returns an `Experiment`. Its docstring says the idea, the
paper, the command and what was measured. `insideout recipes` lists them.
"""

import argparse
import ast
import os
import pathlib
import shlex

from insideout_tf import errors, fields, files, resources, targets
from insideout_tf.errors import UserError

FOLDER = resources.folder() / "recipes"


def names():
    """Returns the names of the recipes, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def path_of(name):
    """Returns the file of the recipe `name`. Raises `UserError` with the nearest name."""
    if name in names():
        return FOLDER / f"{name}.py"
    raise UserError(
        f"recipe: expected the name of a recipe or the path of a file with get_config()."
        f"{fields.hint(name, names())} "
        f"`insideout recipes` lists the names. Received: {name!r}"
    )


def describe(name):
    """Returns the first line of a recipe's docstring. The recipe is not run."""
    text = ast.get_docstring(ast.parse(path_of(name).read_text("utf-8"))) or ""
    return text.partition("\n")[0]


def main(argv=None):
    """Runs `insideout recipes`. argv: its words; None means those of the process."""
    parser = argparse.ArgumentParser(
        prog="insideout recipes",
        description="List the recipes that come with the package, or copy one to change it.",
    )
    parser.add_argument(
        "--copy", nargs=2, metavar=("NAME", "FILE.py"), help="copy a recipe to a new file"
    )
    arguments = parser.parse_args(argv)
    with errors.reported("insideout recipes"):
        if not arguments.copy:
            width = max(map(len, names()))
            print("\n".join(f"{name:<{width}}  {describe(name)}" for name in names()))
            return
        name, target = arguments.copy
        path, target = path_of(name), pathlib.Path(target).expanduser()
        if os.path.lexists(target):
            raise UserError(
                f"{target}: expected a file that does not exist yet. Choose another name. "
                f"Received: {targets.describe_node(target)}"
            )
        with files.replacing(target, overwrite=False) as temporary:
            temporary.write_bytes(path.read_bytes())
        shown = errors.printable(shlex.quote(str(target)))
        errors.show(f"written to {shown}\nNext: insideout train {shown} --data PATH/TO/fer2013.csv")
