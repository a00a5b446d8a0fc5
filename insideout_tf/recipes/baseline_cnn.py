"""Baseline: a plain convolutional network from random weights, as FER papers compare with.

    insideout train baseline_cnn --data PATH/TO/fer2013.csv
    insideout evaluate runs/baseline_cnn --split private

No paper's recipe. Six 3×3 convolutions with BatchNorm, ReLU, max pooling and dropout at FER2013's
own 48 px, no ImageNet, no label smoothing, no class weights, no averaged weights: AdamW on a cosine
for 30 epochs, with flips and a light affine warp. What a stronger recipe gains, it gains over this.

Measured, seed 0: PrivateTest 65.59 %, macro-F1 0.608; with flip averaging 66.01 %; 106 minutes on
2 busy cores. README.md beside this file says how.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="baseline_cnn",
        backbone="plain_cnn",
        weights="none",
        image_size=48,
        dropout=0.5,
        split="official",
        batch_size=64,
        monitor="val_accuracy",
        augmentation=Augmentation(flip=True, rotation_degrees=10.0, zoom=(0.9, 1.1), shift=0.08),
        stages=(
            Stage(
                "train",
                epochs=30,
                learning_rate=1e-3,
                weight_decay=1e-2,
                schedule="cosine",
                warmup_epochs=1.0,
            ),
        ),
    )
