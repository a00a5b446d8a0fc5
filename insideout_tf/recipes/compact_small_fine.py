"""CompactFER small, trained further with a residual block more, at all 48×48 places.

    insideout train compact_small_fine --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/compact_small --teacher runs/compact_small
    insideout evaluate runs/compact_small_fine --split private
    insideout train compact_small_fine --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/compact_small_whole_blend --teacher runs/compact_small_whole_blend --set backbone=CompactFERSmallWhole --set standardize=outliers --set name=compact_small_whole_fine --set stages.train.epochs=16 --set stages.train.learning_rate=0.03

`compact_small.py` halves the face's sides after one convolution, so that a CPU trains it from random weights in
two hours. Here two more see all of them first. They begin as the identity, so that the first epoch starts from
what `compact_small` knows; then the rate goes up to nearly where it was and comes down again (Loshchilov &
Hutter 2017, arXiv 1608.03983). Half of each label is what `compact_small` says of the same augmented face, and
faces come with a camera's noise. The last command does the same, without a block, with
`compact_small_whole_blend`, the packaged `small`: it gained nothing.

Measured, seed 0: PrivateTest 69.63 %, macro-F1 0.670; with flip averaging 69.77 % and 0.675; PublicTest 69.24 %;
95 minutes on 2 busy cores. Of the last command: PrivateTest 70.35 %, macro-F1 0.682; PublicTest 69.30 %; 98 minutes
on 2 cores. README.md beside this file says more.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="compact_small_fine",
        backbone="CompactFERSmallFine",
        weights="none",
        image_size=48,
        dropout=0.3,
        split="official",
        batch_size=64,
        soft_label_weight=0.5,
        distillation_weight=0.5,
        ema_decay=0.999,
        monitor="val_accuracy",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.08,
            shear_degrees=5.0,
            brightness=0.1,
            contrast=0.25,
            noise=0.05,
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
        ),
        stages=(
            Stage(
                "train",
                epochs=32,
                learning_rate=0.04,
                optimizer="sgd",
                weight_decay=5e-3,
                clip_norm=5.0,
                schedule="cosine",
                warmup_epochs=1.0,
            ),
        ),
    )
