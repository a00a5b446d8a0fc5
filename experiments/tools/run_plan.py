"""Trains and judges the planned GPU runs in the order of their worth, and collects their evidence.

    python experiments/tools/run_plan.py --data fer2013.csv --v2b0 efficientnetv2-b0_notop.weights.h5 --b4 efficientnetb4_notop.weights.h5 --v2s v2s_grown.weights.h5

Each run is trained in runs/NAME/seedN, judged on PrivateTest, PublicTest and both, and collected
into experiments/results/NAME/seedN; with --weights FOLDER its float16 weights go there. The same
command goes on where it was stopped: a finished run is left as it is, an interrupted one resumed.
--seconds stops the run in progress in time (exit status 3: to be continued). --only NAME,... takes
some of the plan; --set is given to every training.
"""

import argparse
import dataclasses
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STARTED = time.monotonic()
CONTINUE = 3


@dataclasses.dataclass(frozen=True)
class Run:
    """name: of the folder. file: of the experiment, if not the name. needs: its ImageNet weights."""

    name: str
    seed: int = 0
    file: str = ""
    needs: str = ""
    settings: tuple[str, ...] = ()


ON_V2B0 = ("backbone=EfficientNetV2B0", "image_size=128", "batch_size=128")
# What the paper says overfits after epoch 10, with none of the remedies, long enough to see it.
OVERFITS = (
    *ON_V2B0,
    "ema_decay=null",
    "stages.finetune.unfreeze_from=all",
    "stages.finetune.batch_norm=train",
    "stages.finetune.epochs=25",
    "stages.finetune.patience=null",
)


def ablation(name, *settings, needs="v2b0"):
    return Run(f"ablation_{name}", 0, "insideout_v2s", needs, (*OVERFITS, *settings))


PLAN = (
    Run("insideout_v2s_scratch"),
    Run("effnet_b2_scratch"),
    Run("insideout_v2s_scratch", 1),
    Run("effnet_b2_scratch", 1),
    Run("insideout_v2s_scratch", 2),
    Run("effnet_b2_scratch", 2),
    Run("insideout_v2s_grown", 1, needs="v2s"),
    Run("insideout_v2s_grown", 2, needs="v2s"),
    Run("v2b0_cpu", 1, needs="v2b0"),
    Run("v2b0_cpu", 2, needs="v2b0"),
    # What transfer is worth: the papers' recipes on the ImageNet weights at hand, and without.
    Run("effnet_b2_on_v2b0", 0, "effnet_b2", "v2b0", ON_V2B0),
    Run("effnet_b2_on_v2b0_random", 0, "effnet_b2", "none", ON_V2B0),
    Run(
        "effnet_b2_on_b4",
        0,
        "effnet_b2",
        "b4",
        # Block 7b starts as the identity and learns only if its last BatchNorm may.
        ("backbone=EfficientNetB4", "image_size=128", "stages.finetune.batch_norm=train"),
    ),
    Run("insideout_on_v2b0", 0, "insideout_v2s", "v2b0", ON_V2B0),
    ablation("none"),
    ablation("early_stopping", "stages.finetune.patience=4"),
    ablation("ema", "ema_decay=0.998"),
    ablation("mixup", "augmentation.mixup_alpha=0.2"),
    ablation("no_class_weights", "class_weight=none"),
    ablation("random_weights", needs="none"),
    # As published, for those who have the ImageNet weights of these networks.
    Run("effnet_b2", 0, needs="imagenet"),
    Run("insideout_v2s", 0, needs="imagenet"),
)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--v2b0", help="ImageNet weights of EfficientNetV2-B0 (without: skipped)")
    parser.add_argument("--b4", help="ImageNet weights of EfficientNet-B4 (without: skipped)")
    parser.add_argument("--v2s", help="V2-S' weights as grow_v2s.py writes them (without: skipped)")
    parser.add_argument("--imagenet", action="store_true", help="Keras can download the others")
    parser.add_argument("--only", help="NAME,... of the plan")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "runs")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "experiments/results")
    parser.add_argument("--weights", type=pathlib.Path, help="folder for float16 weights")
    parser.add_argument("--seconds", type=float, help="stop after these, to be continued")
    arguments = parser.parse_args(argv)
    names = {run.name for run in PLAN}
    chosen = set(arguments.only.split(",")) if arguments.only else names
    if chosen - names:
        parser.error(
            f"--only: expected names of {sorted(names)}. Received: {sorted(chosen - names)}"
        )
    # What XLA compiled for one seed serves the others.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(arguments.runs / ".jax_cache"))
    for run in PLAN:
        if run.name not in chosen:
            continue
        weights = {
            "v2b0": arguments.v2b0,
            "b4": arguments.b4,
            "v2s": arguments.v2s,
            "imagenet": "imagenet" if arguments.imagenet else None,
            "none": "none",
        }.get(run.needs, "")
        if weights is None:
            print(f"{run.name}: skipped, its ImageNet weights were not given", flush=True)
            continue
        do(run, weights, arguments)


def do(run, weights, arguments):
    """Trains, judges and collects one run; what of that is done already takes a moment."""
    directory = arguments.runs / run.name / f"seed{run.seed}"
    results = arguments.results / run.name / f"seed{run.seed}"
    settings = [f"name={run.name}", f"seed={run.seed}", *run.settings, *arguments.set]
    if weights:
        settings.append(f"weights={weights}")
    resume = ["--resume"] if (directory / "config.json").exists() else []
    call(
        arguments,
        *("-m", "insideout_tf.train", ROOT / f"experiments/{run.file or run.name}.py"),
        *("--data", arguments.data, "--run-dir", directory, "--verbose", "2", *resume),
        *(word for setting in settings for word in ("--set", setting)),
    )
    collect = [ROOT / "experiments/tools/collect.py", directory, results]
    if arguments.weights:
        arguments.weights.mkdir(parents=True, exist_ok=True)
        collect += ["--weights", arguments.weights / f"{run.name}-seed{run.seed}.npz"]
    call(arguments, *collect)


def call(arguments, *words):
    """Runs Python on `words`; leaves with status 3 when the time is over, with theirs if they fail."""
    left = None
    if arguments.seconds is not None:
        left = max(1.0, arguments.seconds - (time.monotonic() - STARTED))
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, *map(str, words)]
    print("+", " ".join(command[1:]), flush=True)
    try:
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, timeout=left)
    except subprocess.TimeoutExpired:
        print("out of time; the same command goes on", flush=True)
        raise SystemExit(CONTINUE) from None
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
