"""InsideOut's network on a machine without a GPU: EfficientNetV2-S at 48 px, taught by `small`.

    python -m insideout_tf.train experiments/insideout_v2s_cpu.py --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --teacher small
    python -m insideout_tf.evaluate runs/insideout_v2s_cpu --split private

From random weights. The backbone, the light head and the class-weighted loss are those of arXiv 2510.03066;
the input is 32 px at first (smaller inputs first: Tan & Le 2021, arXiv 2104.00298, section 4), then FER2013's
own 48 px, instead of 224, which is twenty times less work a face. Few epochs fit into some hours on two cores, so labels have to say more: six tenths of each are what the packaged `small` says
of the same augmented face (Beyer et al. 2022, arXiv 2106.05237), the rest is FER2013's own label and, half of
it, the FER+ votes. Light augmentation, since so few epochs do not overfit. AdamW on a cosine, weights
averaged over steps, the best epoch by PublicTest, on which `small` was chosen as well.

Not measured yet.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="insideout_v2s_cpu",
        backbone="EfficientNetV2S",
        weights="none",
        image_size=48,
        dropout=0.2,
        split="official",
        batch_size=128,
        class_weight="clipped(0.5,2)",
        vote_share=0.5,
        teacher_share=0.6,
        ema_decay=0.998,
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
                "small",
                epochs=10,
                image_size=32,
                learning_rate=1.5e-3,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=1.0,
                final_fraction=0.3,
            ),
            Stage(
                "whole",
                epochs=20,
                learning_rate=1e-3,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=0.5,
            ),
        ),
    )
