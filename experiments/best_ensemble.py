"""The three best different models as one, and what they know in one network of EfficientNetB2's size.

    python experiments/tools/ensemble.py runs/best_three.keras runs/A runs/B runs/C
    python -m insideout_tf.evaluate runs/best_three.keras --data PATH/TO/fer2013.csv --split private
    python -m insideout_tf.train experiments/best_ensemble.py --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --teacher runs/best_three.keras
    python -m insideout_tf.evaluate runs/best_ensemble --split private

A, B and C are the best by PublicTest of three different kinds (such as an EfficientNet on ImageNet weights, a
network made for 48 px, a hybrid with self-attention). The student is `best_single.py`'s: 7.3 million parameters
(EfficientNetB2: 7.8), the same augmentation and schedule. Seven tenths of each label are what the three say of
the same, often mixed, view (Beyer et al. 2022, arXiv 2106.05237).

Needs a GPU; not measured yet.
"""

import dataclasses

from insideout_tf.config import Augmentation, Experiment, Stage

LIGHT = Augmentation(
    flip=True,
    rotation_degrees=10.0,
    zoom=(0.9, 1.1),
    shift=0.05,
    brightness=0.1,
    contrast=0.25,
)


def get_config():
    return Experiment(
        name="best_ensemble",
        backbone="CompactFERLarge",
        weights="none",
        image_size=48,
        dropout=0.3,
        split="official",
        batch_size=128,
        vote_share=0.5,
        teacher_share=0.7,
        ema_decay=0.999,
        monitor="val_accuracy",
        augmentation=dataclasses.replace(
            LIGHT,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.08,
            shear_degrees=5.0,
            noise=0.05,
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
            mixup_alpha=0.2,
            cutmix_alpha=1.0,
            mix_probability=0.5,
        ),
        stages=(
            Stage(
                "train",
                epochs=150,
                learning_rate=0.1,
                optimizer="sgd",
                weight_decay=5e-3,
                clip_norm=5.0,
                schedule="cosine",
                warmup_epochs=2.0,
            ),
            Stage(
                "settle",
                epochs=10,
                learning_rate=0.005,
                optimizer="sgd",
                weight_decay=5e-3,
                clip_norm=5.0,
                schedule="cosine",
                augmentation=LIGHT,
            ),
        ),
    )
