"""The stages of a run, epoch by epoch; each epoch ends judged, and most in a checkpoint."""

import collections.abc
import contextlib
import dataclasses
import math
import pathlib
import time

import keras
import numpy as np

from insideout_tf import config, devices, files
from insideout_tf.data import batches
from insideout_tf.data.faces import Faces
from insideout_tf.data.splits import Split
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics
from insideout_tf.network.build import build_network, freeze_layers
from insideout_tf.network.predict import predict_probabilities
from insideout_tf.training import averaging, checkpoint, fused, optimizers
from insideout_tf.training.model import TrainingModel

CHECKPOINT_INTERVAL = 10  # at least so many times what the last one took: a tenth of the time
PROBE_FACES = 1000  # training faces judged each epoch without augmentation, for the gap
MONITOR_SIGN = {"val_macro_f1": 1, "val_accuracy": 1, "val_loss": -1}
NAN_CHECK_STEPS = 25  # on an accelerator, where each look at the loss waits for the device
STEPS_TOGETHER = 25  # in one call to the device, where the data set lives there (JAX)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run works on."""

    experiment: config.Experiment
    directory: pathlib.Path
    faces: Faces
    split: Split
    arrays: dict[str, np.ndarray]
    precision: str
    verbose: int
    scope: collections.abc.Callable = contextlib.nullcontext  # in which variables are created
    teachers: tuple = ()  # delivered models

    @property
    def rounds_graphs(self):
        """True where TensorFlow rounds the graph of a step, of a model whose layers stay float32."""
        return devices.rounds_graphs(self.precision, self.experiment.jit_compile)

    @property
    def policy(self):
        """The Keras policy of the layers in training."""
        return "float32" if self.rounds_graphs else self.precision


def create_model(job, stage):
    """Returns the model of a stage, for training.

    Seeded afresh, so that a resumed stage starts as it would have without the interruption.
    """
    keras.utils.set_random_seed(job.experiment.seed)
    with job.scope():
        return fused.build_training_network(
            job.experiment, job.experiment.size_of(stage), job.policy
        )


def begin():
    """Returns the progress of a run before its first epoch."""
    return {"stage": 0, "epoch": 0, "history": [], "best": None}


def run_all(job, model, progress, saved):
    """Runs every stage that `progress` and the `saved` arrays of a checkpoint leave to do.

    model: what `create_model` gave for the stage in `progress`, or None where none is left; without
    a checkpoint its weights are those to begin with.
    Returns (progress, the delivered model with the best epoch's weights). `progress["history"]`
    has one row an epoch. Each stage starts from the best weights so far.
    """
    best_weights = None
    if saved:
        best_weights = [saved[f"best_{i}"] for i in range(len(saved)) if f"best_{i}" in saved]
    stages = job.experiment.stages
    for index in range(progress["stage"], len(stages)):
        model = model or create_model(job, stages[index])
        if best_weights is not None:
            model.set_weights(best_weights)
        best_weights = run_one(job, index, model, progress, saved, best_weights)
        progress.update(stage=index + 1, epoch=0)
        saved = model = None
    size = job.experiment.size_of(stages[progress["best_stage"]])
    delivered = build_network(job.experiment, size)
    delivered.set_weights(best_weights)
    return progress, delivered


def run_one(job, index, model, progress, saved, best_weights):
    """Runs one stage from `progress["epoch"]`, which it updates; returns the best weights so far."""
    experiment, stage = job.experiment, job.experiment.stages[index]
    freeze_layers(model, stage, experiment.backbone)
    on_cpu = devices.accelerator() == "cpu"
    resident = experiment.feed == "device" or (
        experiment.feed == "auto"
        and not on_cpu
        and not experiment.augmentation.keras_cv
        and experiment.distribution == "none"
    )
    steps = batches.steps_per_epoch(len(job.arrays["image"]), experiment.batch_size)
    jit = devices.compiles(experiment.jit_compile)
    seed = experiment.seed + 1000 * (index + 1)
    with job.scope():
        step_model = TrainingModel(
            model, experiment, stage, seed, job.arrays if resident else None, job.teachers
        )
        optimizer = optimizers.create(
            stage,
            steps,
            step_model.trainable_variables,
            scale_loss=job.precision == "mixed_float16",
            ema_decay=experiment.ema_decay,
        )
        step_model.compile(optimizer=optimizer, jit_compile=jit, auto_scale_loss=False)
    # The resident data set is not state: it follows from the experiment.
    data = {id(variable) for variable in (step_model.resident or {}).values()}
    state = [
        variable
        for variable in (
            *step_model.non_trainable_variables,
            *optimizer.variables,
            *model.trainable_variables,
        )
        if id(variable) not in data
    ]
    if saved:
        for position, variable in enumerate(state):
            variable.assign(saved[f"state_{position}"])
    elif progress["epoch"] == 0:
        progress.update(stage_best=None, since_best=0, since_plateau=0)
    scalars = _tensorboard_writer(job.directory)
    delivered = None
    checkpointed, checkpoint_seconds = -math.inf, 0.0
    on_jax = keras.backend.backend() == "jax"
    together = STEPS_TOGETHER if resident and jit and on_jax else 1
    every = 1 if on_cpu or together > 1 else NAN_CHECK_STEPS
    nan_check = _StopOnNaN(stage, steps, together, every)

    for epoch in range(progress["epoch"], stage.epochs):
        if stage.patience is not None and progress["since_best"] >= stage.patience:
            print(
                f"stage {stage.name!r}: no better {experiment.monitor} for {stage.patience} "
                "epochs; stopping early",
                flush=True,
            )
            break
        started = time.perf_counter()
        with devices.graphs_rounded(job.rounds_graphs):
            fitted = step_model.fit(
                batches.epoch_batches(
                    job.arrays, experiment, index, epoch, resident, together=together
                ),
                initial_epoch=epoch,
                epochs=stage.epochs,
                verbose=job.verbose,
                shuffle=False,
                callbacks=[_OneEpoch(), nan_check],
            ).history
        trained = time.perf_counter()
        weights = averaging.inference_weights(
            step_model,
            model,
            batches.epoch_batches(
                job.arrays,
                experiment,
                index,
                epoch + stage.epochs,
                resident,
                steps=averaging.REESTIMATION_BATCHES,
            ),
        )
        # Built after the first epoch, so that the first step need not wait for it.
        delivered = delivered or build_network(experiment, experiment.size_of(stage))
        row = {
            "stage": stage.name,
            "epoch": len(progress["history"]) + 1,
            "learning_rate": optimizers.learning_rate(optimizer),
            "loss": fitted["loss"][0],
            "accuracy": fitted["accuracy"][0],
            **judge_epoch(job, delivered, weights),
            "images_per_second": steps * experiment.batch_size / (trained - started),
        }
        row["seconds"] = time.perf_counter() - started
        progress["history"].append(row)
        progress["epoch"] = epoch + 1
        if better := _note_progress(progress, row, stage, experiment.monitor, optimizer):
            best_weights = weights
        if job.verbose:
            print(_line(row, stage, epoch, better), flush=True)
        files.write_history(job.directory / checkpoint.HISTORY, progress["history"])
        _write_scalars(scalars, row)
        now = time.perf_counter()
        if now - checkpointed >= CHECKPOINT_INTERVAL * checkpoint_seconds:
            checkpoint.save_checkpoint(
                job.directory,
                progress,
                {
                    **{f"state_{i}": np.asarray(variable) for i, variable in enumerate(state)},
                    **{f"best_{i}": array for i, array in enumerate(best_weights)},
                },
            )
            checkpointed = time.perf_counter()
            checkpoint_seconds = checkpointed - now
    return best_weights


def judge_epoch(job, delivered, weights):
    """Returns the scores of `weights` on the validation split and on some training faces, clean."""
    delivered.set_weights(weights)
    training = np.random.default_rng(job.experiment.seed).permutation(job.split.training)
    seen = np.sort(training[:PROBE_FACES])
    known = predict_probabilities(delivered, job.faces.pixels[seen])
    clean = float((known.argmax(1) == job.faces.labels[seen]).mean())
    labels = job.faces.labels[job.split.validation]
    found = predict_probabilities(delivered, job.faces.pixels[job.split.validation])
    confusion = metrics.confusion_matrix(labels, found.argmax(1))
    accuracy = float(metrics.accuracy(confusion))
    return {
        "clean_accuracy": clean,
        "val_loss": metrics.negative_log_likelihood(found, labels),
        "val_accuracy": accuracy,
        "val_macro_f1": float(metrics.macro_f1(confusion)),
        "gap": clean - accuracy,
    }


def _note_progress(progress, row, stage, monitor, optimizer):
    """Counts epochs without a better value, lowers a plateau's rate; True where it is the best."""
    value = MONITOR_SIGN[monitor] * row[monitor]
    best = progress["best"] is None or value > progress["best"]
    if best:
        progress.update(best=value, best_epoch=row["epoch"], best_stage=progress["stage"])
    if progress["stage_best"] is None or value > progress["stage_best"]:
        progress.update(stage_best=value, since_best=0, since_plateau=0)
        return best
    progress["since_best"] += 1
    progress["since_plateau"] += 1
    if stage.schedule == "plateau" and progress["since_plateau"] >= stage.plateau_patience:
        optimizers.reduce_learning_rate(optimizer, stage.plateau_factor)
        progress["since_plateau"] = 0
    return best


def _line(row, stage, epoch, better):
    return (
        f"  {stage.name} {epoch + 1}/{stage.epochs}: validation accuracy "
        f"{row['val_accuracy']:.4f}, macro-F1 {row['val_macro_f1']:.4f}, loss "
        f"{row['val_loss']:.4f}; training faces {row['clean_accuracy']:.4f}, gap "
        f"{row['gap']:+.4f}; {row['seconds']:.0f} s" + (" (best)" if better else "")
    )


class _OneEpoch(keras.callbacks.Callback):
    """Ends `fit` after the epoch it began with, whose number the progress bar still shows."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


class _StopOnNaN(keras.callbacks.Callback):
    """Stops the run when the running loss is no number; it stays so once it is.

    steps: of an epoch. together: those that one batch of `fit` holds. every: batches from one look
    to the next.
    """

    def __init__(self, stage, steps, together, every):
        super().__init__()
        self._stage, self._steps, self._together, self._every = stage, steps, together, every

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._batches = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        self._batches = batch + 1
        if batch % self._every == 0:
            self._check(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs)

    def _check(self, logs):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            name, rate = self._stage.name, self._stage.learning_rate
            between = self._together * self._every
            since = "step" if between == 1 else f"one of the {between} steps to step"
            step = min(self._batches * self._together, self._steps)
            raise UserError(
                f"stage {name!r}, epoch {self._epoch + 1}, {since} {step}: expected a "
                f"finite loss. Lower the learning rate (--set stages.{name}.learning_rate="
                f"{rate / 3:.1g}), set clip_norm, or use precision float32; --resume goes on from "
                f"the last whole epoch only with unchanged settings. Received: {loss}"
            )


def _tensorboard_writer(directory):
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.summary.create_file_writer(str(directory / checkpoint.TENSORBOARD))


def _write_scalars(writer, row):
    if writer is None:
        return
    import tensorflow as tf

    with writer.as_default(step=row["epoch"]):
        for name, value in row.items():
            if not isinstance(value, str):
                tf.summary.scalar(name, value)
    writer.flush()
