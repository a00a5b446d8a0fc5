"""Searches for settings of a recipe with Optuna (Akiba et al. 2019), on a part of Training alone.

Optuna's own journal, a file in the folder of the sweep, is the storage. Every process that runs the same
command with the same folder takes trials from it, on one machine or on several that share the disk. No
server is needed, and what is in the file is what a killed sweep goes on from.
"""

import functools
import math
import pathlib
import typing

from insideout_tf import devices, errors, files, imports, locks, overrides, runs, targets
from insideout_tf.api.sweep_space import parse_space
from insideout_tf.api.train import require_data, set_inputs, train
from insideout_tf.errors import UserError

SETTINGS, TABLE, FIGURE, JOURNAL = "sweep.json", "trials.csv", "parallel.png", "journal.log"
FOLDER = "folder"  # of the run, an attribute of a trial
BEST = "best"  # the best value of a trial that was stopped early
KIND = files.FolderKind("sweep", "a sweep", (SETTINGS, TABLE, FIGURE, f"{JOURNAL}*"), (runs.KIND,))
WARM_UP = 1  # epochs before a trial may be stopped early
START_UP = 4  # trials that are never stopped early, and whose values are drawn at random


class SweepResult(typing.NamedTuple):
    """What a sweep has found.

    Attributes:
        trials: a list of dicts, the best first: `trial`, `state` ("complete", "pruned" or "failed"),
            `value`, `epochs`, `seconds` and each field of the space.
        best: {field: value} of the best trial.
        value: its best value of the monitored figure, on a part of Training.
        path: the folder, a `pathlib.Path`.
    """

    trials: list
    best: dict
    value: float
    path: pathlib.Path


def sweep_recipe(
    recipe="quickstart",
    data=None,
    space=(),
    *,
    trials=20,
    fraction=1.0,
    out=None,
    prune=True,
    resume=False,
    overwrite=False,
    verbose=2,
    **settings,
) -> SweepResult:
    """Searches for the best settings of a recipe, by training it with many.

    Training faces alone are used: a part of them validates, and the data's own test parts are not read.
    Values are proposed by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011). A trial whose
    validation is below the median of the others after the same epoch is stopped.

    Args:
        recipe, data, settings: as of `train_model`.
        space: texts such as "stages.0.learning_rate=1e-4:1e-2:log", "dropout=0.1:0.5" or "batch_size=32,64".
        trials: how many, with those of an earlier call that is resumed.
        fraction: the share of the training faces that trains, each class in proportion.
        out: the folder; sweeps/NAME by default. Each trial has its run in it.
        prune: whether trials are stopped early.
        resume: go on with the sweep in the folder; or join it from another process or machine.
        overwrite: replace an earlier sweep.
        verbose: 0 prints nothing, 2 a line a trial.

    Raises:
        UserError: a setting, the space, the data or the folder is not as expected; or Optuna is not
            installed.

    Examples:
        >>> sweep_recipe(space=["stages.1.learning_rate=1e-4:1e-2:log"], trials=10).best
        {'stages.1.learning_rate': 0.0031}
    """
    experiment = overrides.load(recipe) if isinstance(recipe, (str, pathlib.Path)) else recipe
    experiment = set_inputs(overrides.from_keywords(experiment, **settings), data)
    directory = pathlib.Path(out) if out else pathlib.Path("sweeps") / experiment.name
    say = errors.show if verbose else (lambda text: None)
    return sweep(
        experiment, directory, parse_space(space), trials, fraction, prune, resume, overwrite, say
    )


def sweep(
    experiment, directory, space, trials, fraction=1.0, prune=True, resume=False, overwrite=False,
    say=errors.show, device="auto",
):  # fmt: skip
    """Does the work of `sweep_recipe`; returns the `SweepResult`. space: a list of `Choice`s."""
    check_installed()
    require_data(experiment)
    if trials < 1:
        raise UserError(f"--trials: expected at least 1. Received: {trials}")
    changes = ['split="stratified"', f"training_fraction={fraction!r}"]
    experiment = overrides.override(experiment, changes)
    for choice in space:
        for value in choice.list_ends():
            apply(experiment, {choice.field: value})  # raises before any training
    facts = {
        "recipe": experiment.name,
        "data": experiment.data,
        "fraction": fraction,
        "monitor": experiment.monitor,
        "space": [choice._asdict() for choice in space],
    }
    study = open_study(experiment, directory, facts, prune, resume, overwrite)
    _restart_abandoned(study, directory, say)
    while _count(study) < trials:
        _run_trial(study, experiment, directory, space, say, device)
    return write_results(study, directory, space, facts)


def check_installed():
    """Raises `UserError` without the package optuna."""
    if not imports.is_installed("optuna"):
        raise UserError(
            'sweep: expected the package optuna. Install it with `pip install ".[sweep]"`. Received: no '
            "such package"
        )


def apply(experiment, values):
    """Returns the experiment with {field: value}; raises `UserError` for what is not allowed."""
    return overrides.override(experiment, [f"{field}={each}" for field, each in values.items()])


def open_study(experiment, directory, facts, prune, resume, overwrite):
    """Returns the `optuna.Study` in the folder of a sweep, new or to go on with."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_there = (directory / SETTINGS).exists()
    if not (resume and is_there):
        files.check_folder(directory, KIND, overwrite)
        files.clear(directory, KIND)
        files.mark(directory, KIND)
        files.write_json(directory / SETTINGS, facts)
    else:
        _check_same(directory, facts)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(directory / JOURNAL)))
    study = optuna.create_study(
        study_name="sweep",
        storage=storage,
        direction=direction_of(experiment.monitor),
        load_if_exists=True,
    )
    # A sweep that goes on draws other numbers than it did at its beginning.
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=START_UP, seed=experiment.seed + len(study.trials), constant_liar=True
    )
    study.pruner = (
        optuna.pruners.MedianPruner(n_startup_trials=START_UP, n_warmup_steps=WARM_UP)
        if prune
        else optuna.pruners.NopPruner()
    )
    return study


def direction_of(monitor):
    """Returns whether a figure is to be minimized or maximized, as Optuna names it."""
    return "minimize" if monitor == "val_loss" else "maximize"


def _check_same(directory, facts):
    """Raises `UserError` unless the sweep in a folder has the same settings."""
    import json

    before = files.read_object(directory / SETTINGS)
    for name, value in json.loads(json.dumps(facts)).items():
        if before.get(name) != value:
            raise UserError(
                f"{directory}: expected the {name} of the sweep there, {before.get(name)!r:.150}. Give the same "
                f"options, or choose another --out. Received: {value!r:.150}"
            )


def _restart_abandoned(study, directory, say):
    """Enqueues again the trials whose process has ended; their runs go on from their checkpoints."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        folder = trial.user_attrs.get(FOLDER)
        if folder is None or not _is_free(directory / folder):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except ValueError:  # another process has just done so
            continue
        say(f"trial {trial.number}: goes on after its process ended")
        study.enqueue_trial(trial.params, user_attrs={FOLDER: folder})


def _is_free(folder):
    """Returns True if no process writes a run folder."""
    try:
        with locks.locked(folder):
            return True
    except UserError:
        return False


def _count(study):
    """Returns the number of trials that count: finished, under way, or waiting."""
    from optuna.trial import TrialState

    counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return len(study.get_trials(deepcopy=False, states=counted))


def _run_trial(study, experiment, directory, space, say, device):
    """Trains one trial, and tells the study what came of it."""
    import optuna

    trial = study.ask()
    folder = trial.user_attrs.get(FOLDER) or f"trial-{trial.number:03}"
    trial.set_user_attr(FOLDER, folder)
    values = {choice.field: choice.draw(trial) for choice in space}
    run = directory / folder
    reporter = _create_reporter(trial, experiment.monitor)
    shown = ", ".join(f"{field}={_format(value)}" for field, value in values.items())
    try:
        train(
            apply(experiment, values),
            run,
            resume=(run / runs.CONFIG).exists(),
            verbose=0,
            callbacks=(reporter,),
            device=device,
            say=lambda text: None,
        )
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        (run / runs.CHECKPOINT).unlink(missing_ok=True)
        say(
            f"trial {trial.number}: {shown}: stopped after {reporter.epochs} epochs at {reporter.best:.4f}"
        )
        return
    except UserError as error:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise UserError(f"trial {trial.number} ({shown}): {error}") from None
    value = reporter.best if reporter.epochs else read_best(run, experiment.monitor)
    study.tell(trial, value)
    say(f"trial {trial.number}: {shown}: {experiment.monitor} {value:.4f}")


def read_best(run, monitor):
    """Returns the best value of the monitored figure in the history of a run."""
    import pandas as pd

    values = pd.read_csv(run / runs.HISTORY)[monitor]
    return float(values.min() if direction_of(monitor) == "minimize" else values.max())


def _create_reporter(trial, monitor):
    """Returns a Keras callback that reports each epoch to a trial, and stops a poor one."""
    devices.prepare_backend()
    import keras
    import optuna

    class Reporter(keras.callbacks.Callback):
        """Attributes: epochs, the number of them; best, the best value."""

        def __init__(self):
            super().__init__()
            self.epochs, self.best = 0, math.nan

        def on_epoch_end(self, epoch, logs=None):
            value = float(logs[monitor])
            better = min if direction_of(monitor) == "minimize" else max
            self.best = better(value, self.best) if self.epochs else value
            self.epochs += 1
            trial.report(self.best, epoch)
            trial.set_user_attr(BEST, self.best)
            if trial.should_prune():
                raise optuna.TrialPruned

    return Reporter()


def write_results(study, directory, space, facts):
    """Writes the table and the picture of a sweep; returns its `SweepResult`."""
    rows = list_trials(study, space)
    fields = [choice.field for choice in space]
    columns = ["trial", "state", "value", "epochs", "seconds", *fields]
    table = [targets.format_row(columns)]
    table += [targets.format_row([row[name] for name in columns]) for row in rows]
    with files.replacing(directory / TABLE) as temporary:
        temporary.write_text("".join(table), "utf-8")
    finished = [row for row in rows if row["state"] == "complete"]
    if not finished:
        raise UserError(
            f"{directory}: expected a trial that was not stopped. Add --trials. Received: none"
        )
    from insideout_tf.evaluation import parallel, plots

    figure = parallel.draw(
        [row for row in rows if row["value"] is not None], space, facts["monitor"],
        direction_of(facts["monitor"]) == "minimize",
    )  # fmt: skip
    plots.save(figure, directory / FIGURE, "sweep")
    best = {field: finished[0][field] for field in fields}
    files.write_json(
        directory / SETTINGS, {**facts, "best": best, "value": finished[0]["value"], "n": len(rows)}
    )
    return SweepResult(rows, best, finished[0]["value"], directory)


def list_trials(study, space):
    """Returns the trials as dicts, the best first; see `SweepResult`. Abandoned ones are excluded."""
    import optuna

    names = {"COMPLETE": "complete", "PRUNED": "pruned"}
    rows = [
        {
            "trial": trial.number,
            "state": names[trial.state.name],
            "value": trial.value if trial.state.name == "COMPLETE" else trial.user_attrs.get(BEST),
            "epochs": len(trial.intermediate_values),
            "seconds": round(trial.duration.total_seconds(), 1),
            **{choice.field: trial.params[choice.field] for choice in space},
        }
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name in names
    ]
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    order = functools.partial(_rank, sign=sign)
    return sorted(rows, key=order)


def _rank(row, sign):
    return row["state"] != "complete", sign * (
        row["value"] if row["value"] is not None else math.inf
    )


def _format(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
