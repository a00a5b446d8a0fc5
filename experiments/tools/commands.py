"""The commands that make each run of experiments/RESULTS.md, and what follows from them.

`$FER2013` is `--data fer2013.csv`, `$FERPLUS` is `--data fer2013.csv --ferplus fer2013new.csv`. The figures
of a run belong to its last `insideout train`. A `blend.py` after it changes the weights, and the fields of
its own --set.
"""

import argparse
import dataclasses
import pathlib
import shlex

from insideout_tf import files, overrides
from insideout_tf.serving import packaged

GROWN = {
    "v2s_grown.weights.h5": "grown from ImageNet EfficientNetV2-B0",
    "efficientnetb2_grown_from_lite2.weights.h5": "grown from ImageNet EfficientNet-Lite2",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """How a run was made, and what its evidence lacks.

    commands: in order. minutes: {seed: minutes} that are not in the evidence. paused: whether the
    evidence's training time includes a pause; `minutes` excludes it. recorded: figures of an earlier
    report whose files are missing, {file: (accuracy, macro-F1)} as printed.
    """

    commands: tuple[str, ...]
    minutes: dict[int, int] = dataclasses.field(default_factory=dict)
    paused: bool = False
    recorded: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)


RUNS = {
    "v2b0_cpu": Run(
        ("insideout train v2b0_cpu $FER2013",),
        minutes={0: 123},
        recorded={  # seed 0 has no such files
            "private-flip.json": ("69.97 % ± 0.32 %", "0.669 ± 0.008"),
            "public.json": ("66.80 % ± 0.52 %", "0.629 ± 0.007"),
        },
    ),
    "v2b0_votes": Run(
        (
            "insideout train v2b0_cpu $FERPLUS --set name=v2b0_votes --set soft_label_weight=0.5 "
            "--set label_smoothing=0.05 --set augmentation.shear_degrees=5 "
            "--set augmentation.contrast=0.25 --set stages.finetune.epochs=14 "
            "--set stages.larger.epochs=4 --set stages.larger.learning_rate=0.0004 "
            "--set stages.larger.image_size=96",
        ),
        minutes={0: 125},
        paused=True,
    ),
    "v2b0_taught": Run(("insideout train v2b0_taught $FERPLUS",)),
    "v2b0_distilled": Run(
        (
            "insideout train v2b0_distilled $FERPLUS --start-from runs/v2b0_taught "
            "--teacher runs/v2b0_taught --teacher small",
        )
    ),
    "insideout_v2s_grown": Run(
        (
            "python experiments/tools/grow_v2s.py efficientnetv2-b0_notop.weights.h5 "
            "v2s_grown.weights.h5 $FER2013",
            "insideout train insideout_v2s_grown $FER2013 --set weights=v2s_grown.weights.h5",
        )
    ),
    "effnet_b2_grown": Run(
        (
            "python experiments/tools/grow_b2.py efficientnet-lite2.pth "
            "efficientnetb2_grown_from_lite2.weights.h5 $FER2013",
            "insideout train effnet_b2_grown $FER2013 "
            "--set weights=efficientnetb2_grown_from_lite2.weights.h5",
        ),
    ),
    "effnet_b2_votes": Run(
        (
            "python experiments/tools/grow_b2.py efficientnet-lite2.pth "
            "efficientnetb2_grown_from_lite2.weights.h5 $FER2013",
            "insideout train effnet_b2_votes $FERPLUS "
            "--set weights=efficientnetb2_grown_from_lite2.weights.h5",
        ),
    ),
    "baseline_cnn": Run(
        ("insideout train baseline_cnn $FER2013",),
        minutes={0: 106},
        recorded={
            "private-flip.json": ("66.01 % [64.42, 67.65]", "0.615 [0.592, 0.637]"),
            "public.json": ("65.20 % [63.64, 66.73]", "0.607 [0.581, 0.629]"),
        },
    ),
    "compact_small": Run(("insideout train compact_small $FERPLUS",)),
    "compact_small_fine": Run(
        (
            "insideout train compact_small_fine $FERPLUS --start-from runs/compact_small "
            "--teacher runs/compact_small",
        )
    ),
    "compact_small_blend": Run(
        (
            "insideout train compact_small_robust $FERPLUS --start-from runs/compact_small_fine "
            "--teacher runs/compact_small_fine",
            "python experiments/tools/blend.py runs/compact_small_fine runs/compact_small_robust "
            "runs/compact_small_blend --share 0.3 --set standardize=outliers",
        )
    ),
    "compact_small_whole": Run(
        ("insideout train compact_small_whole $FERPLUS --teacher runs/compact_small_blend",)
    ),
    "compact_small_whole_blend": Run(
        (
            "insideout train compact_small_robust $FERPLUS --start-from runs/compact_small_whole "
            "--teacher runs/compact_small_whole --teacher runs/compact_small_blend "
            "--set backbone=CompactFERSmallWhole --set name=compact_small_whole_robust",
            "python experiments/tools/blend.py runs/compact_small_whole "
            "runs/compact_small_whole_robust runs/compact_small_whole_blend --share 0.2 "
            "--set standardize=outliers",
        )
    ),
    "compact_small_whole_fine": Run(
        (
            "insideout train compact_small_fine $FERPLUS --start-from small --teacher small "
            "--set backbone=CompactFERSmallWhole --set standardize=outliers "
            "--set name=compact_small_whole_fine --set stages.train.epochs=16 "
            "--set stages.train.learning_rate=0.03",
        )
    ),
    "compact_small_second": Run(
        (
            "insideout train compact_small_whole $FERPLUS --teacher small "
            "--set distillation_weight=0.5 --set seed=1 --set name=compact_small_second "
            "--set precision=mixed_bfloat16",
        )
    ),
    "compact_nano": Run(("insideout train compact_nano $FERPLUS --teacher runs/compact_small",)),
    "compact_nano_blend": Run(
        (
            "python experiments/tools/blend.py runs/compact_small_fine runs/compact_small_robust "
            "runs/compact_small_half --share 0.5",
            "insideout train compact_nano_fine $FERPLUS --start-from runs/compact_nano "
            "--teacher runs/compact_small_half",
            "python experiments/tools/blend.py runs/compact_nano runs/compact_nano_fine "
            "runs/compact_nano_blend --share 0.3 --set standardize=outliers",
        )
    ),
    "compact_nano_whole": Run(
        ("insideout train compact_nano_whole $FERPLUS --teacher runs/compact_small_whole",),
        minutes={0: 117},
        paused=True,
    ),
    "compact_nano_whole_blend": Run(
        (
            "insideout train compact_nano_fine $FERPLUS --start-from runs/compact_nano_whole "
            "--teacher runs/compact_small_whole_blend --set backbone=CompactFERNanoWhole "
            "--set name=compact_nano_whole_robust --set augmentation.noise=0.05 "
            "--set stages.train.epochs=16 --set stages.train.learning_rate=0.03",
            "python experiments/tools/blend.py runs/compact_nano_whole "
            "runs/compact_nano_whole_robust runs/compact_nano_whole_blend --share 0.5 "
            "--set standardize=outliers",
        )
    ),
}


def read_experiment(run):
    """Returns the `Experiment` of a run's last training, with the fields that a later blend sets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--teacher", action="append", default=[])
    parser.add_argument("--start-from")
    parser.add_argument("--share")
    experiment = None
    for command in run.commands:
        options = parser.parse_args(shlex.split(command))
        if options.words[:2] == ["insideout", "train"]:
            experiment = overrides.override(overrides.load(options.words[2]), options.set)
            named = {"teacher": tuple(options.teacher), "start_from": options.start_from}
            experiment = dataclasses.replace(experiment, **{k: v for k, v in named.items() if v})
        elif options.share and experiment is not None:
            name = pathlib.PurePath(options.words[-1]).name
            experiment = overrides.override(experiment, [*options.set, f"name={name}"])
    return experiment


def describe_start(experiment):
    """Returns what the training begins from, as one cell of a table."""
    if experiment.start_from:
        return describe_model(experiment.start_from)
    names = {"none": "random", "imagenet": "ImageNet", **GROWN}
    return names[experiment.weights]


def describe_labels(experiment):
    """Returns the labels besides FER2013's own, with their weights, as one cell."""
    parts = []
    if experiment.soft_label_weight:
        parts.append(f"FER+ {experiment.soft_label_weight:g}")
    if experiment.distillation_weight:
        word = "teacher" if len(experiment.teacher) == 1 else "teachers"
        teachers = " and ".join(map(describe_model, experiment.teacher))
        parts.append(f"{word} {teachers} {experiment.distillation_weight:g}")
    return ", ".join(parts) or "FER2013"


def describe_model(name):
    """Returns the name of a packaged model or the last part of a path, as one cell."""
    return f"packaged `{name}`" if name in packaged.names() else f"`{pathlib.PurePath(name).name}`"


def list_digests(name):
    """Returns the SHA-256 of the .keras file of a packaged model, and of earlier ones with its weights."""
    earlier = packaged.facts(name).get("earlier_sha256", {}).get(".keras", [])
    return [files.sha256(packaged.path_of(name, ".keras")), *earlier]


def used_replaced_file(config, environment):
    """Returns True if a run used a packaged model that another file has replaced since.

    config, environment: values of the JSON files, where `teacher` and `start_from` name the models
    and `teacher_sha256` and `start_sha256` are the digests of the files at that time. The oldest runs
    lack these fields; they had no teacher.
    """
    named = [*zip(config.get("teacher", ()), environment.get("teacher_sha256", ()))]
    if config.get("start_from"):
        named.append((config["start_from"], environment["start_sha256"]))
    return any(
        name in packaged.names() and digest not in list_digests(name) for name, digest in named
    )
