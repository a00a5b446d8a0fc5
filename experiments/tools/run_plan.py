"""Train and evaluate the planned GPU runs, the most useful first, and collect their evidence.

    python experiments/tools/run_plan.py --data fer2013.csv --v2b0 efficientnetv2-b0_notop.weights.h5 --v2s v2s_grown.weights.h5

Each run is trained in runs/NAME/seedN and evaluated on PrivateTest, PublicTest and both. Its evidence goes to
experiments/results/NAME/seedN; --weights FOLDER adds its float16 weights there. The same command continues an
interrupted plan: it skips finished runs and resumes the unfinished one. --seconds stops after that time with
exit status 3; the same command then continues. --only NAME,... selects runs of the plan. --set changes a
field of every training.
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
    """A training of the plan.

    name: of the folder. recipe: if its name differs. needs: the ImageNet weights, "v2b0", "v2s" or
    "imagenet" (Keras downloads them); "none" for random ones, "" for those of the recipe.
    """

    name: str
    seed: int = 0
    recipe: str = ""
    needs: str = ""
    settings: tuple[str, ...] = ()


ON_V2B0 = ("backbone=EfficientNetV2B0", "image_size=128", "batch_size=128")
# The paper reports overfitting after epoch 10. These settings train longer than that, without a remedy.
OVERFITS = (
    *ON_V2B0,
    "ema_decay=null",
    "stages.finetune.unfreeze_from=all",
    "stages.finetune.batch_norm=train",
    "stages.finetune.epochs=25",
    "stages.finetune.patience=null",
)


def ablation(name, *settings, needs="v2b0"):
    """Returns the `Run` of the ablation that changes `OVERFITS` by `settings`."""
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
    # The gain of transfer: the papers' recipes on the available ImageNet weights, and without.
    Run("effnet_b2_on_v2b0", 0, "effnet_b2", "v2b0", ON_V2B0),
    Run("effnet_b2_on_v2b0_random", 0, "effnet_b2", "none", ON_V2B0),
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
    parser.add_argument("--v2s", help="V2-S weights of grow_v2s.py (without: skipped)")
    parser.add_argument("--imagenet", action="store_true", help="Keras can download the others")
    parser.add_argument("--only", help="NAME,... of the plan (default: all)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "runs")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "experiments/results")
    parser.add_argument("--weights", type=pathlib.Path, help="folder for float16 weights")
    parser.add_argument(
        "--seconds", type=float, help="stop after this time; the same command continues"
    )
    arguments = parser.parse_args(argv)
    names = {run.name for run in PLAN}
    chosen = set(arguments.only.split(",")) if arguments.only else names
    if chosen - names:
        parser.error(
            f"--only: expected names of {sorted(names)}. Received: {sorted(chosen - names)}"
        )
    # All seeds share what XLA has compiled for one of them.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(arguments.runs / ".jax_cache"))
    for run in PLAN:
        if run.name not in chosen:
            continue
        weights = {
            "v2b0": arguments.v2b0,
            "v2s": arguments.v2s,
            "imagenet": "imagenet" if arguments.imagenet else None,
            "none": "none",
        }.get(run.needs, "")
        if weights is None:
            print(f"{run.name}: skipped, since its ImageNet weights are missing", flush=True)
            continue
        run_one(run, weights, arguments)


def run_one(run, weights, arguments):
    """Trains, evaluates and collects one run. Finished steps are skipped."""
    directory = arguments.runs / run.name / f"seed{run.seed}"
    results = arguments.results / run.name / f"seed{run.seed}"
    settings = [f"name={run.name}", f"seed={run.seed}", *run.settings, *arguments.set]
    if weights:
        settings.append(f"weights={weights}")
    resume = ["--resume"] if (directory / "config.json").exists() else []
    call(
        arguments,
        *("-m", "insideout_tf.train", run.recipe or run.name),
        *("--data", arguments.data, "--run-dir", directory, "--verbose", "2", *resume),
        *(word for setting in settings for word in ("--set", setting)),
    )
    collect = [ROOT / "experiments/tools/collect.py", directory, results]
    if arguments.weights:
        arguments.weights.mkdir(parents=True, exist_ok=True)
        collect += ["--weights", arguments.weights / f"{run.name}-seed{run.seed}.npz"]
    call(arguments, *collect)


def call(arguments, *words):
    """Runs Python with `words`. Exits with 3 if the time is over, or with their status if they fail."""
    left = None
    if arguments.seconds is not None:
        left = max(1.0, arguments.seconds - (time.monotonic() - STARTED))
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, *map(str, words)]
    print("+", " ".join(command[1:]), flush=True)
    try:
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, timeout=left)
    except subprocess.TimeoutExpired:
        print("out of time; the same command goes on where it stopped", flush=True)
        raise SystemExit(CONTINUE) from None
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
