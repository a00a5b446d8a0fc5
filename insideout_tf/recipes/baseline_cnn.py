"""A plain convolutional network from random weights: the baseline of FER papers.

    insideout train baseline_cnn --data PATH/TO/fer2013.csv
    insideout evaluate runs/baseline_cnn --split private

The recipe follows no paper. The network has six 3×3 convolutions with BatchNorm, ReLU, max pooling and
dropout, at FER2013's own 48 px. AdamW on a cosine trains it for 30 epochs, with flips and a light affine
warp. There are no ImageNet weights, no label smoothing, no class weights and no averaged weights, so a
stronger recipe shows its gain against this one.

Measured, seed 0: PrivateTest 65.59 %, macro-F1 0.608; with flips 66.01 %; 106 minutes on 2 CPU cores with
other work. See experiments/RESULTS.md.
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
