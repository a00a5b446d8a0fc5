"""EfficientNetV2-B0 at 96 px, then 128 px, with FER+ labels and distilled from the packaged `small`.

    insideout train v2b0_taught --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv
    insideout evaluate runs/v2b0_taught --split private

EfficientNetV2-B0 halves a picture at once and five times in all. So 96 px leave 48×48 spatial positions after
the first convolution, as many as a face of FER2013 has pixels. Training begins at 96 px and ends at 128 px
(progressive learning, Tan & Le 2021, arXiv 2104.00298, section 4); the learning rate continues where it was.
Half of each label is FER2013's own, half the FER+ label distribution (Barsoum et al. 2016, arXiv 1608.01041).
Then three tenths of it are the teacher's probabilities for the same augmented face (Hinton et al. 2015, arXiv
1503.02531). Weights are averaged over steps. The log loss on PublicTest chooses the epoch.

`--set weights=PATH` reads the ImageNet weights from a file if Keras cannot download them.

Measured, one seed: PrivateTest 69.96 %, macro-F1 0.674; with flips 70.10 %; 89 minutes on 2 CPU cores. It is
below `small`, which began with random weights. See experiments/RESULTS.md.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="v2b0_taught",
        backbone="EfficientNetV2B0",
        weights="imagenet",
        image_size=128,
        dropout=0.3,
        split="official",
        batch_size=64,
        soft_label_weight=0.5,
        teacher=("small",),
        distillation_weight=0.3,
        ema_decay=0.999,
        monitor="val_loss",
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
                epochs=14,
                learning_rate=1e-3,
                image_size=96,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=1.0,
                final_fraction=0.3,
            ),
            Stage(
                "larger",
                epochs=8,
                learning_rate=3e-4,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.25,
            ),
        ),
    )
