"""The stages of a run: one `fit` each, with callbacks that evaluate, stop and save."""

import collections.abc
import contextlib
import dataclasses
import pathlib

import keras
import numpy as np

from insideout_tf import config, devices, hosts
from insideout_tf.data import batches
from insideout_tf.data.faces import Faces
from insideout_tf.data.lazy import FilePixels
from insideout_tf.data.splits import Split
from insideout_tf.evaluation import metrics
from insideout_tf.network.build import build_network, freeze_layers
from insideout_tf.network.predict import predict_probabilities
from insideout_tf.training import callbacks, checkpoint, fused, optimizers
from insideout_tf.training.model import TrainingModel

STEPS_TOGETHER = 25  # in one call to the device, where the data set lives there (JAX)


def say(text):
    """Prints a line at once."""
    print(text, flush=True)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run works on.

    Attributes:
        experiment: the recipe.
        directory: the run folder.
        faces, split: the data, and which of its rows train and validate.
        arrays: the training set (see `batches.training_arrays`).
        precision: how the run computes.
        verbose: as in Keras: 0 silent, 1 progress bars, 2 one line an epoch.
        scope: returns the context in which variables are created.
        teachers: inference models, for distillation.
        callbacks: Keras callbacks of the user.
        has_whole_start: whether the model of `start_from` knows all classes of the faces.
        say: prints one line.
    """

    experiment: config.Experiment
    directory: pathlib.Path
    faces: Faces
    split: Split
    arrays: dict[str, np.ndarray]
    precision: devices.Precision
    verbose: int
    scope: collections.abc.Callable = contextlib.nullcontext
    teachers: tuple = ()
    callbacks: tuple = ()
    has_whole_start: bool = False
    say: collections.abc.Callable = say

    @property
    def is_resident(self):
        """True if the training set lives in device memory."""
        experiment = self.experiment
        return experiment.feed == "device" or (
            experiment.feed == "auto"
            and devices.accelerator() != "cpu"
            and not experiment.augmentation.keras_cv
            and experiment.distribution == "none"
            and hosts.count() == 1
            and not isinstance(self.arrays["image"], FilePixels)
        )


def create_model(job, stage):
    """Returns the network of a stage, for training.

    It is seeded afresh, so that a resumed stage starts as the unbroken one does.
    """
    keras.utils.set_random_seed(job.experiment.seed)
    with job.scope():
        return fused.build_training_network(
            job.experiment,
            job.experiment.size_of(stage),
            job.precision.policy,
            job.faces.contract,
        )


def begin():
    """Returns the progress of a run before its first epoch, a dict that JSON can hold.

    `stage` and `epoch` (in the stage) say what comes next, `stopped` that the stage ended early.
    `history` has a dict for each epoch. `best`, `best_epoch` and `best_stage` concern the monitored
    value; larger is better. Epoch 0 is the start of a run with `start_from`.
    """
    return {"stage": 0, "epoch": 0, "stopped": False, "history": [], "best": None}


def run_all(job, model, progress, saved):
    """Runs every stage that `progress` and the `saved` arrays of a checkpoint leave to do.

    Args:
        job: the `Job`.
        model: `create_model` of the stage in `progress`, or None if no stage is left. Without a
            checkpoint its weights are those to begin with.
        progress: what `begin` or a checkpoint gave.
        saved: the arrays of the checkpoint; empty without one.

    Returns:
        A tuple of the progress and the inference model with the best epoch's weights. Each stage
        starts from the best weights so far, which may be those of `start_from`.
    """
    best_weights, begin_weights = list_saved(saved, "best"), list_saved(saved, "begin")
    stages = job.experiment.stages
    if not saved and model is not None and job.experiment.start_from is not None:
        best_weights = evaluate_start(job, model, progress)
    for index in range(progress["stage"], len(stages)):
        model = model or create_model(job, stages[index])
        if best_weights is not None:
            model.set_weights(best_weights)
        is_begin = not saved and (begin_weights is None or not job.has_whole_start)
        if job.experiment.interpolation and is_begin:
            begin_weights = model.get_weights()
        best_weights = run_stage(job, index, model, progress, saved, best_weights, begin_weights)
        progress.update(stage=index + 1, epoch=0, stopped=False)
        saved = model = None
    size = job.experiment.size_of(stages[progress["best_stage"]])
    with hosts.alone():
        inference_model = build_network(job.experiment, size, job.faces.contract)
        inference_model.set_weights(best_weights)
        has_begin = job.has_whole_start or progress["best_stage"] == len(stages) - 1
        if job.experiment.interpolation and progress["best_epoch"] > 0 and has_begin:
            interpolate(job, inference_model, begin_weights, progress)
    return progress, inference_model


def list_saved(saved, prefix):
    """Returns the arrays of a checkpoint named `prefix`_N, in their order; None if there are none."""
    return [saved[f"{prefix}_{i}"] for i in range(len(saved)) if f"{prefix}_{i}" in saved] or None


def evaluate_start(job, model, progress):
    """Evaluates the weights that training starts from as epoch 0; returns them.

    model: the network of the first stage, with these weights. `progress` gets their monitored value.
    """
    size = job.experiment.size_of(job.experiment.stages[0])
    weights = model.get_weights()
    with hosts.alone():
        inference_model = build_network(job.experiment, size, job.faces.contract)
        inference_model.set_weights(weights)
        scores = callbacks.evaluate_epoch(job, inference_model)
    scores = hosts.share(scores)
    value = callbacks.monitored(job.experiment, scores)
    progress.update(best=value, best_epoch=0, best_stage=0)
    job.say(
        f"start: validation accuracy {scores['val_accuracy']:.4f}, macro-F1 "
        f"{scores['val_macro_f1']:.4f}, loss {scores['val_loss']:.4f}"
    )
    return weights


def interpolate(job, model, begin, progress):
    """Mixes the best weights with those of the start, as far as the validation faces allow it.

    The largest share of the start is taken whose log loss is within one standard error of the least one
    (the rule of Breiman et al. 1984, section 3.4.3). So a few validation faces do not lead far from the
    start.

    Args:
        job: the `Job`, whose experiment has the shares to try. 0 and 1 are tried as well.
        model: the inference model with the best weights, which gets the mixed ones.
        begin: the weights of the start (see `config.Experiment.interpolation`).
        progress: the progress of the run; `interpolation` is the share of `begin` that was chosen.
    """
    best = model.get_weights()

    def mix(share):
        model.set_weights([share * old + (1 - share) * new for old, new in zip(begin, best)])

    shares = sorted({0.0, *job.experiment.interpolation, 1.0})
    losses = []
    for share in shares:
        mix(share)
        losses.append(validation_losses(job, model))
    chosen = choose_share(shares, np.array(losses))
    mix(chosen)
    progress["interpolation"] = chosen
    job.say(
        f"interpolation: {chosen:g} of the start; validation loss of the shares "
        + ", ".join(f"{share:g}: {loss.mean():.4f}" for share, loss in zip(shares, losses))
    )


def validation_losses(job, model):
    """Returns the log loss of each validation face with an inference model, float64 `[n]`, nats."""
    rows = job.split.validation
    probabilities = predict_probabilities(model, job.faces.pixels[rows])
    chosen = probabilities[np.arange(len(rows)), job.faces.labels[rows]]
    return -np.log(np.maximum(chosen.astype(np.float64), metrics.MIN_PROBABILITY))


def choose_share(shares, losses):
    """Returns the largest share whose mean loss is within one standard error of the least one.

    shares: k numbers, ascending. losses: float `[k, n]`, of each face with each share. The standard
    error is that of the paired difference.
    """
    least = losses.mean(1).argmin()
    excess = losses - losses[least]
    errors = excess.std(1, ddof=min(1, excess.shape[1] - 1)) / np.sqrt(excess.shape[1])
    return float(max(share for share, e, s in zip(shares, excess.mean(1), errors) if e <= s))


def run_stage(job, index, model, progress, saved, best_weights, begin_weights=None):
    """Runs one stage from `progress["epoch"]`; updates `progress` and returns the best weights so far.

    model: the network, which `fit` changes. saved: as of `run_all`; if it is not empty, the stage
    continues from it. begin_weights: what the checkpoints keep for `interpolate`; None: nothing.
    """
    experiment, stage = job.experiment, job.experiment.stages[index]
    if progress.get("stopped") or progress["epoch"] >= stage.epochs:
        return best_weights
    step_model = compile_step(job, index, model)
    state = list_state(step_model, model)
    if saved:
        checkpoint.check_shapes(job.directory, "state", state, saved)
        for position, variable in enumerate(state):
            variable.assign(saved[f"state_{position}"])
    together = 1
    if job.is_resident and step_model.jit_compile and keras.backend.backend() == "jax":
        together = STEPS_TOGETHER
    done = progress["epoch"]
    first = len(progress["history"]) - done  # the epochs of earlier stages
    counter = callbacks.EpochCounter(first)
    validation = callbacks.Validation(
        job, index, model, counter, job.is_resident, progress, best_weights
    )
    faces = batches.epoch_batches(
        job.arrays,
        experiment,
        index,
        lambda: counter.epoch,
        job.is_resident,
        together=together,
        part=hosts.part_of_batch,
    )
    with devices.graphs_rounded(job.precision.rounds_graphs):
        with _file_errors_named(job.arrays["image"]):
            step_model.fit(
                faces,
                initial_epoch=first + done,
                epochs=first + stage.epochs,
                shuffle=False,
                verbose=job.verbose,
                callbacks=callbacks.create_callbacks(
                    job, index, validation, counter, progress, state, together, begin_weights
                ),
            )
    return validation.best_weights


@contextlib.contextmanager
def _file_errors_named(pixels):
    """Raises the error of an image file in place of that of the pipeline that read it."""
    try:
        yield
    except Exception:
        if isinstance(pixels, FilePixels) and pixels.error:
            raise pixels.error[0] from None
        raise


def compile_step(job, index, model):
    """Returns the compiled `TrainingModel` of a stage around its network."""
    experiment, stage = job.experiment, job.experiment.stages[index]
    freeze_layers(model, stage, experiment.backbone)
    steps = batches.steps_per_epoch(len(job.arrays["image"]), experiment.batch_size)
    seed = experiment.seed + 1000 * (index + 1)
    with job.scope():
        step_model = TrainingModel(
            model, experiment, stage, seed, job.arrays if job.is_resident else None, job.teachers
        )
        optimizer = optimizers.create(
            stage,
            steps,
            step_model.trainable_variables,
            scale_loss=job.precision.scales_loss,
            ema_decay=experiment.ema_decay,
        )
        step_model.compile(
            optimizer=optimizer,
            jit_compile=devices.compiles(experiment.jit_compile),
            auto_scale_loss=False,
        )
    return step_model


def list_state(step_model, model):
    """Returns the variables that a checkpoint holds: all but the data set in device memory."""
    data = {id(variable) for variable in (step_model.resident or {}).values()}
    return [
        variable
        for variable in (
            *step_model.non_trainable_variables,
            *step_model.optimizer.variables,
            *model.trainable_variables,
        )
        if id(variable) not in data
    ]
