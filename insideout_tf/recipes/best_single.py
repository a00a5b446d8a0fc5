"""A network made for 48 px, trained long with strong regularisation: what to beat others with.

    insideout train best_single --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv
    insideout evaluate runs/best_single --split private

From random weights, all 48×48 pixels kept through the first level, as VGG-like networks do that lead on
FER2013 (Khaireddin & Chen 2021, arXiv 2105.03588), with residual blocks and squeeze and excitation. Labels
are half FER2013's own, half the FER+ votes. SGD with Nesterov momentum on a long cosine, weights averaged
over steps, mixup and cutmix on half of the faces, erasing and noise; then some epochs at a low rate on
faces that are hardly changed. The best epoch by PublicTest. `experiments/tools/explore.py` changes one
factor at a time.

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
        name="best_single",
        backbone="CompactFERLarge",
        weights="none",
        image_size=48,
        dropout=0.3,
        split="official",
        batch_size=128,
        soft_label_weight=0.5,
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
