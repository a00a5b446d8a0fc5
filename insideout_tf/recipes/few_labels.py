"""A tenth of Training's labels and nothing else: the baseline of few_labels_consistency.

    insideout train few_labels --data PATH/TO/fer2013.csv

The recipe trains CompactFER nano from random weights on 2,871 labelled faces, each class in proportion. It
does not use the rest of Training.

Measured on PublicTest, which chose the epoch: 56.06 %. The run was not evaluated on PrivateTest.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="few_labels",
        backbone="CompactFERNano",
        weights="none",
        image_size=48,
        dropout=0.1,
        split="official",
        training_fraction=0.1,
        batch_size=64,
        ema_decay=0.999,
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
            Stage(
                "train",
                epochs=120,
                learning_rate=0.05,
                optimizer="sgd",
                weight_decay=5e-3,
                clip_norm=5.0,
                schedule="cosine",
                warmup_epochs=10.0,
            ),
        ),
    )
