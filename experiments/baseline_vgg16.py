"""Baseline: VGG16 with ImageNet weights, head first, then its last two blocks.

    python -m insideout_tf.train experiments/baseline_vgg16.py --data PATH/TO/fer2013.csv
    python -m insideout_tf.evaluate runs/baseline_vgg16 --split private

The network (Simonyan & Zisserman 2015) that FER papers name most often as what they improve on. No
paper's recipe: the head learns for two epochs over frozen features, then blocks 4 and 5 with it, at
96 px, where the five poolings leave 3×3 positions. Without an accelerator an epoch takes hours.

Not measured yet: it needs a GPU, and the ImageNet weights, which Keras downloads on first use.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="baseline_vgg16",
        backbone="VGG16",
        weights="imagenet",
        image_size=96,
        dropout=0.5,
        hidden_units=256,
        split="official",
        batch_size=64,
        monitor="val_accuracy",
        augmentation=Augmentation(flip=True, rotation_degrees=10.0, zoom=(0.9, 1.1), shift=0.08),
        stages=(
            Stage("head", epochs=2, learning_rate=1e-3, unfreeze_from=None),
            Stage(
                "finetune",
                epochs=15,
                learning_rate=1e-4,
                unfreeze_from="block4",
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.5,
                patience=5,
            ),
        ),
    )
