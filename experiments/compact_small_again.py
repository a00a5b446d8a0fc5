"""A second life for `compact_small`: trained further, taught by what it was, on mixed faces.

    python -m insideout_tf.train experiments/compact_small_again.py --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/compact_small --teacher runs/compact_small

The rate goes up to nearly where it was and comes down again (Loshchilov & Hutter 2017, arXiv 1608.03983), half
of each label is what the model said before (Furlanello et al. 2018, arXiv 1805.04770), and half of the faces
are mixed, so that it cannot overfit as it did.

It did not help: 68.93 % of PublicTest after 34 of 42 epochs, flat since; the model it began with has 69.13 %.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="compact_small_again",
        backbone="CompactFERSmall",
        weights="none",
        image_size=48,
        dropout=0.3,
        split="official",
        batch_size=64,
        vote_share=0.5,
        teacher_share=0.5,
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
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
            mixup_alpha=0.4,
            cutmix_alpha=1.0,
            mix_probability=0.5,
        ),
        stages=(
            Stage(
                "train",
                epochs=42,
                learning_rate=0.04,
                optimizer="sgd",
                weight_decay=5e-3,
                clip_norm=5.0,
                schedule="cosine",
                warmup_epochs=0.5,
            ),
        ),
    )
