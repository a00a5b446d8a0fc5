"""CompactFERLarge at 48 px from random weights, with a long training and strong regularisation.

    insideout train best_single --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv
    insideout evaluate runs/best_single --split private

The first level keeps the full 48×48 resolution, as the VGG-like networks do that lead on FER2013
(Khaireddin & Chen 2021, arXiv 2105.03588). Residual blocks and squeeze-and-excitation follow. Half of each
label is FER2013's own; half is the FER+ label distribution. SGD with Nesterov momentum runs on a long
cosine, with weights averaged over steps, mixup and cutmix on half of the faces, erasing and noise. The last
epochs use a low learning rate and light augmentation. PublicTest chooses the epoch.
`experiments/tools/explore.py` changes one factor at a time.

The recipe needs a GPU and is not measured yet.
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
