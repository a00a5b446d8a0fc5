"""Trains an experiment: `python -m insideout_tf.train [EXPERIMENT.py] [--data PATH] ...`."""

import argparse
import json
import math
import os
import pathlib
import runpy
import time

import numpy as np

from insideout_tf import config, errors, fer2013, runs, splits
from insideout_tf.errors import UserError

PROBE_FACES = 1000  # training faces judged each epoch without augmentation, for the gap
MONITOR_SIGN = {"val_macro_f1": 1, "val_accuracy": 1, "val_loss": -1}


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m insideout_tf.train",
        description="Train a facial-emotion classifier. Without arguments: the quickstart, on "
                    "drawn faces, in a few minutes.",
    )
    parser.add_argument("experiment", nargs="?", help="an experiment file with get_config(), such "
                        "as experiments/effnet_b2.py (default: the quickstart)")
    parser.add_argument("--data", help="fer2013.csv, icml_face_data.csv, a folder, .npz, .zip, "
                        ".tar.gz, kaggle:OWNER/DATASET or 'drawn'")
    parser.add_argument("--run-dir", type=pathlib.Path, help="default: runs/<experiment name>")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="override a field: stages.0.epochs=3, augmentation.flip=false, ...")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--overwrite", action="store_true", help="replace the run directory")
    parser.add_argument("--drop-leaks", action="store_true",
                        help="drop training faces pixel-identical to a test face")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--verbose", type=int, choices=(0, 1, 2), default=None,
                        help="0 silent, 1 progress bars, 2 one line an epoch (default: 1 on a "
                        "terminal, else 2)")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    with errors.reported("insideout_tf.train"):
        experiment = load_experiment(arguments.experiment)
        overrides = list(arguments.set)
        if arguments.drop_leaks:
            overrides.append("drop_leaks=true")
        if arguments.data:
            is_name = arguments.data == "drawn" or arguments.data.startswith("kaggle:")
            data = arguments.data if is_name else os.path.expanduser(arguments.data)
            overrides.append(f"data={json.dumps(data)}")
        experiment = config.override(experiment, overrides)
        directory = arguments.run_dir or pathlib.Path("runs") / experiment.name
        train(experiment, directory, resume=arguments.resume, overwrite=arguments.overwrite,
              dry_run=arguments.dry_run, verbose=arguments.verbose)


def load_experiment(path):
    """Returns `get_config()` of an experiment file, or the quickstart's for None."""
    if path is None:
        from insideout_tf import quickstart

        return quickstart.get_config()
    if not os.path.isfile(path):
        raise UserError(f"{path}: expected an experiment file, such as those in experiments/. "
                        "Check the path. Received: nothing there")
    try:
        experiment = runpy.run_path(path)["get_config"]()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except KeyError as error:
        if error.args != ("get_config",):
            raise UserError(f"{path}: {_blame(error, path)}") from None
        raise UserError(f"{path}: expected a function get_config() that returns an Experiment. "
                        "Received: a file without it") from None
    except Exception as error:  # whatever the user's file raises
        raise UserError(f"{path}: {_blame(error, path)}") from None
    if not isinstance(experiment, config.Experiment):
        raise UserError(f"{path}: expected get_config() to return an Experiment. "
                        f"Received: {type(experiment).__name__}")
    return experiment


def _blame(error, path):
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace:
        if os.path.abspath(trace.tb_frame.f_code.co_filename) == os.path.abspath(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return (f"line {line}: expected a file that runs. Correct it. "
            f"Received: {type(error).__name__}: {error}")


def train(experiment, directory, resume=False, overwrite=False, dry_run=False, verbose=None):
    """Trains `experiment` into `directory`; returns the metrics of its validation split."""
    if verbose is None:
        verbose = 1 if os.isatty(1) else 2
    if experiment.data is None:
        raise UserError("--data: expected the path of FER2013 (fer2013.csv, icml_face_data.csv, a "
                        "folder, .npz, .zip) or kaggle:OWNER/DATASET; README says where to get "
                        "it. Received: nothing")
    directory = pathlib.Path(directory)
    state = "dry run" if dry_run else runs.start(directory, experiment, resume, overwrite)
    if state == "finished":
        metrics = runs.read_json(directory / runs.METRICS)
        print(f"{directory} is finished; nothing to resume.")
        _print_report(directory, experiment, metrics)
        return metrics
    runs.prepare_backend()
    import keras

    from insideout_tf import batches, classifier

    keras.utils.set_random_seed(experiment.seed)
    faces = fer2013.read(experiment.data)
    split = splits.make(faces, experiment.split, experiment.validation_fraction, experiment.seed,
                        experiment.drop_leaks)
    arrays = batches.training_arrays(faces, split.training, experiment)
    batches.steps_per_epoch(len(split.training), experiment.batch_size)
    delivered = classifier.create_delivered(experiment)
    precision = resolve_precision(experiment.precision)
    model = classifier.clone_for_training(delivered, precision)
    print(_plan(experiment, faces, split, model, precision))
    if dry_run:
        return None
    if state == "new":
        runs.write_json(directory / runs.ENVIRONMENT, {
            **runs.environment(), "precision": precision, "data_source": faces.source,
            "data_identified": faces.identified, "data_digest": faces.digest,
        })

    progress, saved = runs.load_checkpoint(directory) if resume else (None, {})
    progress = progress or {"stage": 0, "epoch": 0, "history": [], "best": None, "best_epoch": None}
    best_weights = [saved[f"best_{i}"] for i in range(len(model.weights))] if saved else None
    for index, stage in enumerate(experiment.stages):
        if index < progress["stage"]:
            continue
        if best_weights is not None:  # a stage starts from the best weights so far
            model.set_weights(best_weights)
        best_weights = run_stage(index, stage, experiment, directory, model, delivered, faces,
                                 split, arrays, progress, saved, best_weights, verbose)
        saved = {}

    delivered.set_weights(best_weights)
    runs.save_model(delivered, directory / runs.MODEL)
    metrics = judge(experiment, directory, delivered, faces, split, progress["history"])
    (directory / runs.CHECKPOINT).unlink(missing_ok=True)
    _print_report(directory, experiment, metrics)
    return metrics


def run_stage(index, stage, experiment, directory, model, delivered, faces, split, arrays,
              progress, saved, best_weights, verbose):
    """Trains one stage epoch by epoch, each ending in a checkpoint; returns the best weights so far."""
    import keras

    from insideout_tf import averaging, batches, classifier, metrics

    classifier.freeze(model, stage, experiment.backbone)
    steps = batches.steps_per_epoch(len(split.training), experiment.batch_size)
    resident = experiment.feed == "device" or (
        experiment.feed == "auto" and runs.accelerator() != "cpu"
        and not experiment.augmentation.keras_cv)
    step_model = classifier.TrainingModel(
        model, experiment, seed=experiment.seed + 1000 * (index + 1),
        resident=arrays if resident else None)
    optimizer = create_optimizer(stage, steps, step_model.trainable_variables, model)
    gpu = runs.accelerator() != "cpu"
    jit = {"on": True, "off": False, "auto": gpu}[experiment.jit_compile]
    step_model.compile(optimizer=optimizer, jit_compile=jit, auto_scale_loss=False)
    state = [*step_model.non_trainable_variables, *optimizer.variables, *model.weights]
    if saved:
        for position, variable in enumerate(state):
            variable.assign(saved[f"state_{position}"])
    first = progress["epoch"] if progress["stage"] == index else 0
    if first == 0:
        progress.update(stage=index, epoch=0, stage_best=None, since_best=0, since_plateau=0)
    probe = np.sort(np.random.default_rng(experiment.seed).permutation(split.training)[:PROBE_FACES])
    sign = MONITOR_SIGN[experiment.monitor]
    writer = _tensorboard_writer(directory)

    for epoch in range(first, stage.epochs):
        if stage.patience is not None and progress["since_best"] >= stage.patience:
            print(f"stage {stage.name!r}: no better {experiment.monitor} for {stage.patience} "
                  "epochs; stopping early")
            break
        started = time.perf_counter()
        fitted = step_model.fit(
            batches.epoch_batches(arrays, experiment, index, epoch, resident),
            initial_epoch=epoch, epochs=stage.epochs, verbose=verbose, shuffle=False,
            callbacks=[_one_epoch(keras), _stop_on_nan(keras, stage, epoch, every=25 if gpu else 1)],
        ).history
        seconds = time.perf_counter() - started
        weights = averaging.delivered_weights(step_model, model, batches.epoch_batches(
            arrays, experiment, index, epoch + stage.epochs, resident,
            steps=averaging.REESTIMATION_BATCHES))
        delivered.set_weights(weights)
        validation = classifier.predict_probabilities(delivered, faces.pixels[split.validation])
        val_labels = faces.labels[split.validation]
        confusion = metrics.confusion_matrix(val_labels, validation.argmax(1))
        seen = classifier.predict_probabilities(delivered, faces.pixels[probe])
        row = {
            "stage": stage.name, "epoch": len(progress["history"]) + 1,
            "learning_rate": _learning_rate(optimizer),
            "loss": fitted["loss"][0], "accuracy": fitted["accuracy"][0],
            "clean_accuracy": float((seen.argmax(1) == faces.labels[probe]).mean()),
            "val_loss": metrics.negative_log_likelihood(validation, val_labels),
            "val_accuracy": float(metrics.accuracy(confusion)),
            "val_macro_f1": float(metrics.macro_f1(confusion)),
        }
        row["gap"] = row["clean_accuracy"] - row["val_accuracy"]
        row["seconds"], row["images_per_second"] = seconds, steps * experiment.batch_size / seconds
        progress["history"].append(row)
        value = sign * row[experiment.monitor]
        better = progress["best"] is None or value > progress["best"]
        if better:
            progress["best"], progress["best_epoch"], best_weights = value, row["epoch"], weights
        if progress["stage_best"] is None or value > progress["stage_best"]:
            progress.update(stage_best=value, since_best=0, since_plateau=0)
        else:
            progress["since_best"] += 1
            progress["since_plateau"] += 1
            if stage.schedule == "plateau" and progress["since_plateau"] >= stage.plateau_patience:
                _inner(optimizer).learning_rate.assign(
                    float(_inner(optimizer).learning_rate) * stage.plateau_factor)
                progress["since_plateau"] = 0
        progress["epoch"] = epoch + 1
        if verbose:
            print(f"  {stage.name} {epoch + 1}/{stage.epochs}: val accuracy {row['val_accuracy']:.4f}, "
                  f"macro-F1 {row['val_macro_f1']:.4f}, loss {row['val_loss']:.4f}; training faces "
                  f"{row['clean_accuracy']:.4f}, gap {row['gap']:+.4f}; {seconds:.0f} s"
                  + (" (best)" if better else ""), flush=True)
        runs.write_history(directory / runs.HISTORY, progress["history"])
        _write_scalars(writer, row)
        runs.save_checkpoint(directory, progress, {
            **{f"state_{i}": np.asarray(variable) for i, variable in enumerate(state)},
            **{f"best_{i}": array for i, array in enumerate(best_weights)},
        })
    progress.update(stage=index + 1, epoch=0)
    return best_weights


def judge(experiment, directory, model, faces, split, history):
    """Writes metrics.json, predictions.npz and the plots of the validation split; returns metrics."""
    from insideout_tf import classifier, metrics, plots

    probabilities = classifier.predict_probabilities(model, faces.pixels[split.validation])
    probabilities = probabilities.astype(np.float16)  # the figures follow from the file
    labels = faces.labels[split.validation]
    drawn = faces.source == "drawn"
    summary = {
        "split": "drawn" if drawn else split.validation_name,
        **metrics.summarize(probabilities, labels),
        **describe(experiment, model),
        "tta": "none",
        "selected_on": "drawn" if drawn else split.validation_name,
        "best_epoch": max(range(len(history)), key=lambda i: MONITOR_SIGN[experiment.monitor]
                          * history[i][experiment.monitor]) + 1,
        "data_digest": faces.digest,
    }
    plots.write_report(directory / runs.PLOTS, probabilities, labels,
                       faces.pixels[split.validation], summary, history)
    runs.save_predictions(directory / runs.PREDICTIONS, probabilities, labels, split.validation)
    runs.write_json(directory / runs.METRICS, summary)  # last: its presence means "finished"
    return summary


def describe(experiment, model):
    """Returns the fields of metrics.json that name the model."""
    init = experiment.weights
    if init not in ("imagenet", "none"):
        init = f"file {pathlib.Path(init).name}"
    return {"experiment": experiment.name, "backbone": experiment.backbone,
            "image_size": experiment.image_size, "parameters": model.count_params(),
            "init": "random" if init == "none" else init, "seed": experiment.seed}


def resolve_precision(precision):
    """Returns the Keras policy of "auto": half precision only where the device gains from it."""
    if precision != "auto":
        return precision
    if runs.accelerator() == "tpu":
        return "mixed_bfloat16"
    if runs.accelerator() != "gpu":
        return "float32"
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        device = tf.config.list_physical_devices("GPU")[0]
        details = tf.config.experimental.get_device_details(device)
        capability = details.get("compute_capability", (8, 0))
        if capability < (7, 0):
            return "float32"
        return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16"
    return "mixed_bfloat16"


def create_optimizer(stage, steps, variables, model):
    """Builds the optimizer of a stage on its variables; decay skips biases and normalisation."""
    import keras

    rate = stage.learning_rate
    warmup = round(stage.warmup_epochs * steps)
    total = stage.epochs * steps
    if stage.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate, max(total - warmup, 1), alpha=stage.final_fraction,
            warmup_target=rate if warmup else None, warmup_steps=warmup)
    elif warmup:
        rate = keras.optimizers.schedules.PolynomialDecay(rate * 1e-3, warmup, rate)
    decay = stage.weight_decay or None
    if stage.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=stage.momentum, nesterov=True,
                                         weight_decay=decay, global_clipnorm=stage.clip_norm)
    elif stage.optimizer == "adam":
        optimizer = keras.optimizers.Adam(rate, global_clipnorm=stage.clip_norm)
    else:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=stage.weight_decay,
                                           global_clipnorm=stage.clip_norm)
    if decay:
        optimizer.exclude_from_weight_decay(
            var_list=[variable for variable in variables if len(variable.shape) < 2])
    if "mixed_float16" in {layer.dtype_policy.name for layer in model.layers}:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def _inner(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)


def _learning_rate(optimizer):
    return float(np.asarray(_inner(optimizer).learning_rate))


def _one_epoch(keras):
    class OneEpoch(keras.callbacks.Callback):
        """Ends `fit` after the epoch it began with, whose number the progress bar still shows."""

        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    return OneEpoch()


def _stop_on_nan(keras, stage, epoch, every):
    class StopOnNaN(keras.callbacks.Callback):
        """Stops the run when the running loss is no number; it stays so once it is."""

        def on_train_batch_end(self, batch, logs=None):
            if batch % every == 0:
                self._check(batch, logs)

        def on_epoch_end(self, _, logs=None):
            self._check("the last", logs)

        def _check(self, batch, logs):
            if not math.isfinite(float(logs["loss"])):
                raise UserError(
                    f"stage {stage.name!r}, epoch {epoch + 1}, step {batch}: expected a finite "
                    "loss. Lower the learning rate (--set stages."
                    f"{stage.name}.learning_rate={stage.learning_rate / 3:.1g}), set clip_norm, or "
                    f"use precision float32. Received: {float(logs['loss'])}")

    return StopOnNaN()


def _tensorboard_writer(directory):
    import keras

    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.summary.create_file_writer(str(directory / runs.TENSORBOARD))


def _write_scalars(writer, row):
    if writer is None:
        return
    import tensorflow as tf

    with writer.as_default(step=int(row["epoch"])):
        for name, value in row.items():
            if not isinstance(value, str):
                tf.summary.scalar(name, value)
    writer.flush()


def _plan(experiment, faces, split, model, precision):
    """Returns the plan as text: data, batches, parameters trainable by stage, memory."""
    from insideout_tf import batches, classifier

    steps = batches.steps_per_epoch(len(split.training), experiment.batch_size)
    lines = [
        f"{experiment.name}: {experiment.backbone} at {experiment.image_size} px, "
        f"{model.count_params():,} parameters, weights {experiment.weights}, {precision}",
        f"  data      {faces.source}" + (f" ({faces.identified})" if faces.identified else ""),
        f"  training  {len(split.training):,} faces"
        + (f" ({split.leaks_dropped} leaks dropped)" if experiment.drop_leaks else "")
        + f", {steps} steps of {experiment.batch_size} an epoch",
        f"  selection {len(split.validation):,} faces ({split.validation_name}), best "
        f"{experiment.monitor}",
    ]
    widest = 0
    for stage in experiment.stages:
        classifier.freeze(model, stage, experiment.backbone)
        trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        widest = max(widest, trainable)
        lines.append(f"  stage {stage.name}: {stage.epochs} epochs, {trainable:,} trainable "
                     f"parameters, {stage.optimizer} {stage.learning_rate:g}, {stage.schedule}")
    outputs = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    width = 4 if precision == "float32" else 2
    memory = (4 * (2 * model.count_params() + 4 * widest)
              + outputs * experiment.batch_size * width * 2)
    lines.append(f"  memory    about {memory / 2**30:.1f} GiB for weights, optimizer and "
                 "activations (estimate)")
    return "\n".join(lines)


def _print_report(directory, experiment, metrics):
    drawn = metrics["split"] == "drawn"
    print()
    if drawn:
        print("Judged on held-out drawn faces, not FER2013: this shows that training works, and "
              "says nothing about people.")
    low, high = metrics["intervals_95"]["accuracy"]
    print(f"{metrics['split']}: accuracy {metrics['accuracy']:.2%} (95 % interval {low:.2%} to "
          f"{high:.2%}), macro-F1 {metrics['macro_f1']:.3f}, {metrics['n']:,} faces")
    print(f"model    {directory / runs.MODEL}")
    print(f"plots    {directory / runs.PLOTS}")
    if drawn:
        print("Next, on real data: python -m insideout_tf.train experiments/v2b0_cpu.py --data "
              "PATH/TO/fer2013.csv")
    else:
        print(f"Next, the test split, once: python -m insideout_tf.evaluate {directory} "
              "--split private")


if __name__ == "__main__":
    main()
