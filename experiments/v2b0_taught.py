"""EfficientNetV2-B0 at 96 px throughout, on votes and on what the packaged `small` says, without a GPU.

    python -m insideout_tf.train experiments/v2b0_taught.py --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv
    python -m insideout_tf.evaluate runs/v2b0_taught --split private

ImageNet weights, as in v2b0_cpu.py and v2b0_votes.py, which see most of their epochs at 64 px. Here a face has 96 px
from the first epoch on, so that B0's first, halving convolution leaves as many places as the face has pixels, and three tenths of each
label are what the packaged `small` says of the same augmented face (Hinton et al. 2015, arXiv 1503.02531). The epoch
is chosen by log loss on PublicTest, which every face moves.

`--set weights=PATH` takes the ImageNet weights from a file where Keras cannot download them. Not measured yet.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="v2b0_taught",
        backbone="EfficientNetV2B0",
        weights="imagenet",
        image_size=96,
        dropout=0.3,
        split="official",
        batch_size=64,
        vote_share=0.5,
        teacher=("small",),
        teacher_share=0.3,
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
                epochs=20,
                learning_rate=1e-3,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=1.0,
            ),
        ),
    )
