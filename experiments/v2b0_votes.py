"""EfficientNetV2-B0 as in v2b0_cpu.py, with the FER+ votes in half of each label.

    python -m insideout_tf.train experiments/v2b0_votes.py --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv
    python -m insideout_tf.evaluate runs/v2b0_votes --split private

ImageNet weights, 64 px, then a few epochs at 96 px, on a machine without a GPU. FER2013's labels are noisy;
ten people's votes on the same faces (Barsoum et al. 2016, arXiv 1608.01041), translated into FER2013's
classes, say where. Judged, as always, against FER2013's own labels.

`--set weights=PATH` takes the ImageNet weights from a file where Keras cannot download them.

Measured, seed 0: PrivateTest 68.24 %, macro-F1 0.648; PublicTest 67.04 %; about 125 minutes on 2 busy cores. Over both
that is what v2b0_cpu.py reaches without votes: README.md beside this file.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="v2b0_votes",
        backbone="EfficientNetV2B0",
        weights="imagenet",
        image_size=64,
        dropout=0.3,
        split="official",
        batch_size=64,
        label_smoothing=0.05,
        vote_share=0.5,
        ema_decay=0.998,
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
        ),
        stages=(
            Stage("head", epochs=1, learning_rate=2e-3, unfreeze_from=None, batch_norm="frozen"),
            Stage(
                "finetune",
                epochs=14,
                learning_rate=1e-3,
                unfreeze_from="all",
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.5,
            ),
            Stage(
                "larger",
                epochs=4,
                learning_rate=4e-4,
                unfreeze_from="all",
                image_size=96,
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.25,
            ),
        ),
    )
