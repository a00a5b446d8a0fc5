"""The callbacks of a stage: evaluation, Keras' own made to survive a resume, checkpoint, messages.

`create_callbacks` gives their order. `Validation` comes first and writes the validation figures into
`logs`; Keras' callbacks and the user's follow; what is printed comes last, after the checkpoint.
"""

import math
import pathlib
import time

import keras
import numpy as np

from insideout_tf import devices, files, hosts
from insideout_tf.data import batches
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics
from insideout_tf.network.build import build_network
from insideout_tf.network.predict import predict_probabilities
from insideout_tf.progress import format_duration
from insideout_tf.training import averaging, checkpoint, optimizers

MONITOR_MODES = {"val_macro_f1": "max", "val_accuracy": "max", "val_loss": "min"}
PROBE_FACES = 1000  # training faces evaluated each epoch without augmentation, for the gap
NAN_CHECK_STEPS = 25  # on an accelerator, where each look at the loss waits for the device
ESTIMATE_SECONDS = 5.0  # of training steps that an estimate of the time rests on
COLUMNS = (  # of history.csv, after stage and epoch
    "learning_rate",
    "loss",
    "accuracy",
    "clean_accuracy",
    "val_loss",
    "val_accuracy",
    "val_macro_f1",
    "gap",
    "images_per_second",
    "seconds",
)


class EpochCounter(keras.callbacks.Callback):
    """Holds the number of the current epoch in its stage, which decides the order of the faces."""

    def __init__(self, first_epoch):
        super().__init__()
        self.first_epoch, self.epoch = first_epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch - self.first_epoch


class Validation(keras.callbacks.Callback):
    """Evaluates the inference weights at the end of each epoch and keeps the best ones.

    It adds to `logs`: `learning_rate`, `clean_accuracy` (of some training faces, without augmentation),
    `val_loss`, `val_accuracy`, `val_macro_f1`, `gap` (clean accuracy less validation accuracy),
    `images_per_second` and `seconds`.

    Args:
        job: the `stages.Job`.
        index: the number of the stage.
        model: the training model's network, whose weights the inference model gets.
        counter: the `EpochCounter` of the stage.
        resident: whether the training set is in device memory.
        progress: the progress of the run; `best`, `best_epoch` and `best_stage` are updated.
        best_weights: the best weights so far, or None.
    """

    def __init__(self, job, index, model, counter, resident, progress, best_weights):
        super().__init__()
        self._job, self._index, self._network, self._counter = job, index, model, counter
        self._resident, self._progress = resident, progress
        self._inference_model = None
        self.best_weights, self.is_best = best_weights, False

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        trained = time.perf_counter() - self._started
        experiment = self._job.experiment
        with devices.graphs_rounded(False):
            weights = self._compute_inference_weights()
            scores = hosts.of_first(lambda: self._evaluate(weights))  # all hosts choose alike
        steps = batches.steps_per_epoch(len(self._job.arrays["image"]), experiment.batch_size)
        logs["learning_rate"] = optimizers.learning_rate(self.model.optimizer)
        logs.update(scores)
        logs["images_per_second"] = steps * experiment.batch_size / trained
        logs["seconds"] = time.perf_counter() - self._started
        self._note_best(epoch, logs, weights)

    def _evaluate(self, weights):
        if (
            self._inference_model is None
        ):  # after the first epoch: the first step need not wait for it
            size = self._job.experiment.size_of(self._job.experiment.stages[self._index])
            contract = self._job.faces.contract
            self._inference_model = build_network(self._job.experiment, size, contract)
        self._inference_model.set_weights(weights)
        return evaluate_epoch(self._job, self._inference_model)

    def _compute_inference_weights(self):
        experiment, index = self._job.experiment, self._index
        faces = batches.epoch_batches(
            self._job.arrays,
            experiment,
            index,
            self._counter.epoch + experiment.stages[index].epochs,
            self._resident,
            steps=averaging.REESTIMATION_BATCHES,
        )
        return averaging.inference_weights(self.model, self._network, faces)

    def _note_best(self, epoch, logs, weights):
        progress, value = self._progress, monitored(self._job.experiment, logs)
        self.is_best = progress["best"] is None or value > progress["best"]
        if self.is_best:
            progress.update(best=value, best_epoch=epoch + 1, best_stage=self._index)
            self.best_weights = weights


def monitored(experiment, scores):
    """Returns the value that chooses the best epoch; larger is better. scores: of `evaluate_epoch`."""
    value = scores[experiment.monitor]
    return value if MONITOR_MODES[experiment.monitor] == "max" else -value


def evaluate_epoch(job, model):
    """Returns the scores of an inference model on the validation split and on some training faces.

    The training faces are not augmented. The scores are a dict of floats: `clean_accuracy`,
    `val_loss` (nats), `val_accuracy`, `val_macro_f1` and `gap`.
    """
    training = np.random.default_rng(job.experiment.seed).permutation(job.split.training)
    probe = np.sort(training[:PROBE_FACES])
    known = predict_probabilities(model, job.faces.pixels[probe])
    clean = float((known.argmax(1) == job.faces.labels[probe]).mean())
    labels = job.faces.labels[job.split.validation]
    probabilities = predict_probabilities(model, job.faces.pixels[job.split.validation])
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1), len(job.faces.classes))
    accuracy = float(metrics.accuracy(confusion))
    return {
        "clean_accuracy": clean,
        "val_loss": metrics.negative_log_likelihood(probabilities, labels),
        "val_accuracy": accuracy,
        "val_macro_f1": float(metrics.macro_f1(confusion)),
        "gap": clean - accuracy,
    }


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras' EarlyStopping; it replays the stage's earlier epochs after a resume, and prints its reason.

    It restores nothing: the stage ends with the best inference weights, which `Validation` holds.
    """

    def __init__(self, stage, monitor, rows, say):
        super().__init__(monitor=monitor, mode=MONITOR_MODES[monitor], patience=stage.patience)
        self._stage, self._rows, self._say = stage, rows, say

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        for row in self._rows:
            self.on_epoch_end(row["epoch"] - 1, row)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        if self.stopped_epoch > 0:
            self._say(
                f"stage {self._stage.name!r}: no better {self.monitor} for {self.patience} epochs; "
                "stopping early"
            )


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras' ReduceLROnPlateau; it replays the stage's earlier epochs after a resume."""

    def __init__(self, stage, monitor, rows):
        super().__init__(
            monitor=monitor,
            mode=MONITOR_MODES[monitor],
            factor=stage.plateau_factor,
            patience=stage.plateau_patience,
            min_delta=0.0,
        )
        self._rows = rows

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        rate = optimizers.learning_rate(self.model.optimizer)  # reduced before the checkpoint
        for row in self._rows:
            self.on_epoch_end(row["epoch"] - 1, dict(row))
        if self._rows:
            self.model.optimizer.learning_rate = rate


class TerminateOnNaN(keras.callbacks.TerminateOnNaN):
    """Stops the run with a `UserError` when the running loss is not finite; it then stays so.

    steps: of an epoch. together: steps that one batch of `fit` holds. every: batches from one look at
    the loss to the next.
    """

    def __init__(self, stage, counter, steps, together, every):
        super().__init__()
        self._stage, self._counter, self._steps = stage, counter, steps
        self._together, self._every = together, every

    def on_epoch_begin(self, epoch, logs=None):
        self._batches = 0

    def on_batch_end(self, batch, logs=None):
        self._batches = batch + 1
        if batch % self._every == 0:
            self._check(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs)

    def _check(self, logs):
        loss = float(logs["loss"])
        if math.isfinite(loss):
            return
        name, rate = self._stage.name, self._stage.learning_rate
        between = self._together * self._every
        since = "step" if between == 1 else f"one of the {between} steps to step"
        step = min(self._batches * self._together, self._steps)
        raise UserError(
            f"stage {name!r}, epoch {self._counter.epoch + 1}, {since} {step}: expected a finite "
            f"loss. Lower the learning rate (--set stages.{name}.learning_rate={rate / 3:.1g}), set "
            "clip_norm, or use precision float32; --resume continues from the last whole epoch only "
            f"with unchanged settings. Received: {loss}"
        )


class TimeEstimate(keras.callbacks.Callback):
    """Prints how long the stage will take, once its first steps have shown their speed.

    images: faces in one batch of `fit`. every: batches between two moments at which the device has
    finished its work. epochs: epochs that are left. steps: batches of an epoch.
    """

    def __init__(self, stage, images, every, epochs, steps, say):
        super().__init__()
        self._stage, self._images, self._every = stage, images, every
        self._epochs, self._steps, self._say = epochs, steps, say
        self._start = None

    def on_train_batch_end(self, batch, logs=None):
        if self._say is None or batch % self._every:
            return
        now = time.perf_counter()
        if self._start is None:  # the first step compiles
            self._start = (batch, now)
            return
        first, began = self._start
        if now - began < ESTIMATE_SECONDS or batch - first < 2:
            return
        seconds = (now - began) / (batch - first)
        total = format_duration(seconds * self._steps * self._epochs)
        self._say(
            f"\n  {self._stage.name}: about {total} of training steps for "
            f"{self._epochs} epochs, {self._images / seconds:,.0f} faces a second"
        )
        self._say = None

    def on_epoch_end(self, epoch, logs=None):
        self._say = None  # an epoch that short needs no estimate


class Checkpoint(keras.callbacks.Callback):
    """Saves progress, training state and best weights after each epoch, then history.csv.

    It runs after every callback that may stop the training, and before anything is printed: an epoch
    that is shown as done is on disk.

    Args:
        directory: of the run.
        stage: the `Stage`.
        counter: its `EpochCounter`.
        progress: the progress of the run, updated here.
        state: list of variables that training continues from.
        validation: the `Validation`, which has the best weights.
        begin_weights: the weights that the stage began with, to be kept too, or None.
    """

    def __init__(self, directory, stage, counter, progress, state, validation, begin_weights=None):
        super().__init__()
        self._begin_weights = begin_weights or []
        self._directory, self._stage, self._counter = directory, stage, counter
        self._progress, self._state, self._validation = progress, state, validation

    def on_epoch_end(self, epoch, logs=None):
        row = {"stage": self._stage.name, "epoch": epoch + 1}
        row.update((name, float(logs[name])) for name in COLUMNS)
        self._progress["history"].append(row)
        self._progress.update(epoch=self._counter.epoch + 1, stopped=bool(self.model.stop_training))
        if hosts.number():
            return  # the first process writes it
        best = self._validation.best_weights
        checkpoint.save_checkpoint(
            self._directory,
            self._progress,
            {
                **{f"state_{i}": np.asarray(variable) for i, variable in enumerate(self._state)},
                **{f"best_{i}": array for i, array in enumerate(best)},
                **{f"begin_{i}": array for i, array in enumerate(self._begin_weights)},
            },
        )
        files.write_history(
            pathlib.Path(self._directory) / checkpoint.HISTORY, self._progress["history"]
        )


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar. It runs after `Checkpoint`: an epoch with a whole bar is on disk."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, {name: logs[name] for name in ("loss", "accuracy")})


class EpochLine(keras.callbacks.Callback):
    """Prints one line at the end of each epoch."""

    def __init__(self, stage, counter, validation, say):
        super().__init__()
        self._stage, self._counter = stage, counter
        self._validation, self._say = validation, say

    def on_epoch_end(self, epoch, logs=None):
        self._say(
            f"  {self._stage.name} {self._counter.epoch + 1}/{self._stage.epochs}: validation "
            f"accuracy {logs['val_accuracy']:.4f}, macro-F1 {logs['val_macro_f1']:.4f}, loss "
            f"{logs['val_loss']:.4f}; training faces {logs['clean_accuracy']:.4f}, gap "
            f"{logs['gap']:+.4f}; {logs['seconds']:.0f} s"
            + (" (best)" if self._validation.is_best else "")
        )


def create_tensorboard(directory):
    """Returns a list with Keras' TensorBoard callback for a run; empty without TensorFlow.

    It writes scalars alone: no graph and no profile.
    """
    if keras.backend.backend() != "tensorflow":
        return []
    folder = pathlib.Path(directory) / checkpoint.TENSORBOARD
    return [keras.callbacks.TensorBoard(str(folder), write_graph=False, profile_batch=0)]


def create_callbacks(
    job, index, validation, counter, progress, state, together, begin_weights=None
):
    """Returns the callbacks of a stage in the order in which they run.

    Args:
        job: the `stages.Job`.
        index: the number of the stage.
        validation, counter: its `Validation` and `EpochCounter`.
        progress: the progress of the run; its last `progress["epoch"]` rows are the stage's so far.
        state: list of variables that training continues from.
        together: training steps that one batch of `fit` holds.
        begin_weights: as of `Checkpoint`.
    """
    experiment, stage = job.experiment, job.experiment.stages[index]
    steps = batches.steps_per_epoch(len(job.arrays["image"]), experiment.batch_size)
    is_slow_to_wait = devices.accelerator() != "cpu" and together == 1
    every = NAN_CHECK_STEPS if is_slow_to_wait else 1
    rows = progress["history"][len(progress["history"]) - progress["epoch"] :]
    progress_bar = [ProgressBar()] if job.verbose else []
    estimate = TimeEstimate(
        stage,
        together * experiment.batch_size,
        every,
        stage.epochs - progress["epoch"],
        -(-steps // together),
        job.say if job.verbose else None,
    )
    keras_own = []
    if stage.patience is not None:
        keras_own.append(EarlyStopping(stage, experiment.monitor, rows, job.say))
    if stage.schedule == "plateau":
        keras_own.append(ReduceLROnPlateau(stage, experiment.monitor, rows))
    return [
        counter,
        TerminateOnNaN(stage, counter, steps, together, every),
        estimate,
        validation,
        *keras_own,
        *job.callbacks,
        Checkpoint(job.directory, stage, counter, progress, state, validation, begin_weights),
        *progress_bar,
        *create_tensorboard(job.directory),
        *([EpochLine(stage, counter, validation, job.say)] if job.verbose else []),
    ]
