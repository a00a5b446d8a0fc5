"""EfficientNet-B2 from random weights, with the regularisation of arXiv 2601.18228.

    insideout train effnet_b2_scratch --data PATH/TO/fer2013.csv
    insideout evaluate runs/effnet_b2_scratch --split private

What the paper fine-tunes from ImageNet weights, for those who do not have them: backbone, head with
dropout 0.5, label smoothing 0.06, clipped class weights, decoupled weight decay, mixed precision and
the stratified 87.5/12.5 division stay. There is nothing to warm up, so one stage of 120 epochs learns
all of it, with mixup and cutmix and weights averaged over steps against overfitting.

Needs a GPU; not measured yet.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="effnet_b2_scratch",
        backbone="EfficientNetB2",
        weights="none",
        image_size=128,
        dropout=0.5,
        split="stratified",
        validation_fraction=0.125,
        batch_size=256,
        class_weight="clipped(0.5,2)",
        label_smoothing=0.06,
        ema_decay=0.999,
        monitor="val_accuracy",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.1,
            brightness=0.1,
            contrast=0.2,
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
