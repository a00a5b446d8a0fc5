"""The nano network's parameters at all 48×48 pixels: CompactFERNanoWhole, taught by compact_small_whole.

    insideout train compact_nano_whole --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --teacher runs/compact_small_whole
    insideout evaluate runs/compact_nano_whole --split private

`compact_nano.py` for the network that keeps the sides of the face through its first level, as
`compact_small_whole.py` does for the larger one, with a camera's noise on its faces. Seven tenths of each label
are what the teacher says of the same augmented face (Beyer et al. 2022, arXiv 2106.05237).

Measured, seed 0: PrivateTest 67.99 %, macro-F1 0.643; PublicTest 67.34 %; 78 seconds an epoch on 2 cores of an
AMD EPYC, two hours in all.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="compact_nano_whole",
        backbone="CompactFERNanoWhole",
        weights="none",
        image_size=48,
        dropout=0.1,
        split="official",
        batch_size=64,
        soft_label_weight=0.5,
        distillation_weight=0.7,
        ema_decay=0.999,
        monitor="val_accuracy",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=12.0,
            zoom=(0.88, 1.12),
            shift=0.06,
            brightness=0.1,
            contrast=0.25,
            noise=0.05,
        ),
        stages=(
            Stage(
                "train",
                epochs=90,
                learning_rate=0.05,
                optimizer="sgd",
                weight_decay=5e-4,
                clip_norm=5.0,
                schedule="cosine",
                warmup_epochs=1.0,
            ),
        ),
    )
