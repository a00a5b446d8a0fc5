"""CompactFER nano, trained further with a residual block more, at all 48×48 places.

    python experiments/tools/blend.py runs/compact_small_fine runs/compact_small_robust runs/compact_small_half --share 0.5
    insideout train compact_nano_fine --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/compact_nano --teacher runs/compact_small_half
    insideout train compact_nano_fine --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/compact_nano_whole --teacher runs/compact_small_whole_blend --set backbone=CompactFERNanoWhole --set name=compact_nano_whole_robust --set augmentation.noise=0.05 --set stages.train.epochs=16 --set stages.train.learning_rate=0.03

As compact_small_fine.py does it for the larger one: the block begins as the identity, the rate goes up again and
comes down on a cosine. Each face is brought to one mean and deviation first, so that light and contrast change no
answer; noise and blur are in the augmentation. The block has 8 channels inside, which keeps the network under 100,000
parameters. Seven tenths of each label are what the teacher says of the same augmented face (Beyer et al. 2022, arXiv 2106.05237).

The last command does so without the block, for the network that has all places already.

Measured, seed 0, the epoch chosen on PublicTest: 66.26 % there, where `compact_nano` has 66.84 %, and 66.76 %, where
`compact_nano_whole` has 67.34 %; 50 minutes on 2 busy cores, and 22. Neither was judged on PrivateTest: models between
begin and end are (`tools/blend.py`; README.md beside this file), and the second of them is the packaged `nano`,
PrivateTest 68.07 %, macro-F1 0.643.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="compact_nano_fine",
        backbone="CompactFERNanoFine",
        weights="none",
        image_size=48,
        standardize="all",
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
            blur=1.2,
            noise=0.03,
        ),
        stages=(
            Stage(
                "train",
                epochs=26,
                learning_rate=0.05,
                optimizer="sgd",
                weight_decay=5e-4,
                clip_norm=5.0,
                schedule="cosine",
                warmup_epochs=1.0,
            ),
        ),
    )
