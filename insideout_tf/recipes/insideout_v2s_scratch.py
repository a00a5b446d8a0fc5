"""InsideOut's system from random weights: EfficientNetV2-S, class-weighted loss, stratified split.

    insideout train insideout_v2s_scratch --data PATH/TO/fer2013.csv
    insideout evaluate runs/insideout_v2s_scratch --split private

What arXiv 2510.03066 builds on ImageNet weights, for those who do not have them: the backbone, the
light head, the class-weighted loss, the stratified part of Training and the strong augmentation stay.
Random weights need more of everything else: all layers from the first step, 120 epochs instead of a
score, a smaller input, larger batches, mixup and cutmix, label smoothing, weights averaged over
steps. Class weights are clipped, since balanced ones multiply 436 disgusted faces by ten.

Needs a GPU; not measured yet.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="insideout_v2s_scratch",
        backbone="EfficientNetV2S",
        weights="none",
        image_size=128,
        dropout=0.3,
        split="stratified",
        validation_fraction=0.125,
        batch_size=256,
        class_weight="clipped(0.5,2)",
        label_smoothing=0.1,
        ema_decay=0.999,
        monitor="val_macro_f1",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=20.0,
            zoom=(0.85, 1.2),
            shift=0.1,
            shear_degrees=5.0,
            brightness=0.15,
            contrast=0.25,
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
