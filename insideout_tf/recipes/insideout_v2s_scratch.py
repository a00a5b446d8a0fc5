"""InsideOut from random weights: EfficientNetV2-S, class-weighted loss, stratified split.

    insideout train insideout_v2s_scratch --data PATH/TO/fer2013.csv
    insideout evaluate runs/insideout_v2s_scratch --split private

arXiv 2510.03066 begins with ImageNet weights; this recipe is for those who do not have them. The backbone,
the light head, the class-weighted loss, the stratified part of Training and the strong augmentation stay.
Random weights need more: all layers from the first step, 120 epochs instead of about twenty, a smaller input,
larger batches, mixup and cutmix, label smoothing, weights averaged over steps. Class weights are clipped:
balanced ones would multiply the 436 faces of disgust by ten.

The recipe needs a GPU and is not measured yet.
"""

import dataclasses

from insideout_tf.config import Stage
from insideout_tf.recipes import insideout_v2s


def get_config():
    base = insideout_v2s.get_config()
    return dataclasses.replace(
        base,
        name="insideout_v2s_scratch",
        weights="none",
        image_size=128,
        batch_size=256,
        class_weight="clipped(0.5,2)",
        label_smoothing=0.1,
        ema_decay=0.999,
        augmentation=dataclasses.replace(
            base.augmentation, mixup_alpha=0.2, cutmix_alpha=1.0, mix_probability=0.5
        ),
        stages=(
            Stage(
                "train",
                epochs=120,
                learning_rate=1e-3,
                weight_decay=5e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=5.0,
            ),
        ),
    )
