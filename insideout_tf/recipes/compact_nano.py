"""CompactFER nano: under 100,000 parameters at FER2013's own 48 px, taught by the small one.

    insideout train compact_nano --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --teacher runs/compact_small
    insideout evaluate runs/compact_nano --split private

From random weights. Seven tenths of each label are what the teacher says of the same augmented face
(Beyer et al. 2022, arXiv 2106.05237), the rest is FER2013's own label and, half of it, the FER+ votes in
its classes. So small a network does not overfit: less dropout, erasing and weight decay than its
teacher. SGD with Nesterov momentum on a cosine, averaged weights, the best epoch by PublicTest.

Measured (seed 0, 2 busy CPU cores, 113 minutes): PrivateTest 66.76 %, macro-F1 0.628; experiments/README.md.
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
