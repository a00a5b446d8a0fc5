"""EfficientNet-B2 from random weights, with the regularisation of arXiv 2601.18228.

    insideout train effnet_b2_scratch --data PATH/TO/fer2013.csv
    insideout evaluate runs/effnet_b2_scratch --split private

The paper fine-tunes ImageNet weights; this recipe is for those who do not have them. The backbone, the head
with dropout 0.5, label smoothing 0.06, clipped class weights, decoupled weight decay, mixed precision and
the stratified 87.5/12.5 division stay. Random weights need no warm-up of the head, so one stage of 120 epochs
trains all layers. Mixup, cutmix and weights averaged over steps reduce overfitting.

The recipe needs a GPU and is not measured yet.
"""

import dataclasses

from insideout_tf.config import Stage
from insideout_tf.recipes import effnet_b2


def get_config():
    base = effnet_b2.get_config()
    return dataclasses.replace(
        base,
        name="effnet_b2_scratch",
        weights="none",
        image_size=128,
        batch_size=256,
        ema_decay=0.999,
        augmentation=dataclasses.replace(
            base.augmentation,
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
            mixup_alpha=0.2,
            cutmix_alpha=1.0,
            mix_probability=0.5,
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
