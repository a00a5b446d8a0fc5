"""The quickstart: both stages of a real recipe on drawn faces, in minutes, with nothing to download.

    insideout train

A small convolutional network learns the drawn faces of `data/drawn.py` from random weights. It uses the code
of the papers' recipes: a head stage and a fine-tuning stage, augmentation fused with the resize, class
weights, label smoothing, averaged weights, and a checkpoint after each epoch. The run shows that training
works here. Its figures do not describe people.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="quickstart",
        data="drawn",
        backbone="tiny",
        weights="none",
        image_size=48,
        dropout=0.2,
        batch_size=64,
        class_weight="clipped(0.5,2)",
        label_smoothing=0.05,
        ema_decay=0.99,
        monitor="val_macro_f1",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=10.0,
            zoom=(0.9, 1.1),
            shift=0.06,
            brightness=0.1,
            contrast=0.3,
        ),
        stages=(
            Stage("head", epochs=1, learning_rate=3e-3, unfreeze_from=None),
            Stage(
                "finetune",
                epochs=16,
                learning_rate=4e-3,
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=1.0,
                patience=6,
            ),
        ),
    )
