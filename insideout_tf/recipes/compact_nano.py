"""CompactFER nano: under 100,000 parameters at 48 px, distilled from the small network.

    insideout train compact_nano --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --teacher runs/compact_small
    insideout evaluate runs/compact_nano --split private

The network begins with random weights. Seven tenths of each label are the teacher's probabilities for the
same augmented face (Beyer et al. 2022, arXiv 2106.05237). The rest is half FER2013's own label and half the
FER+ label distribution. A network of this size does not overfit. So dropout and weight decay are lower than
the teacher's, and nothing is erased. SGD with Nesterov momentum runs on a cosine, with averaged weights.
PublicTest chooses the epoch.

Measured, seed 0: PrivateTest 66.76 %, macro-F1 0.628; 113 minutes on 2 CPU cores with other work. See
experiments/RESULTS.md.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="compact_nano",
        backbone="CompactFERNano",
        weights="none",
        image_size=48,
        dropout=0.1,
        split="official",
        batch_size=64,
        soft_label_weight=0.5,
        distillation_weight=0.7,
        ema_decay=0.999,
        monitor="val_accuracy",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=12.0,
            zoom=(0.88, 1.12),
            shift=0.06,
            brightness=0.1,
            contrast=0.25,
        ),
        stages=(
            Stage(
                "train",
                epochs=90,
                learning_rate=0.05,
                optimizer="sgd",
                weight_decay=5e-4,
                clip_norm=5.0,
                schedule="cosine",
                warmup_epochs=1.0,
            ),
        ),
    )
