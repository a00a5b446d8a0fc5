from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="v2b0_cpu",
        backbone="EfficientNetV2B0",
        weights="imagenet",
        image_size=64,
        dropout=0.3,
        split="official",
        batch_size=64,
        class_weight="none",
        label_smoothing=0.1,
        ema_decay=0.998,
        monitor="val_accuracy",
        augmentation=Augmentation(
            flip=True, rotation_degrees=15.0, zoom=(0.85, 1.15), shift=0.08,
            brightness=0.1, contrast=0.2, erasing_probability=0.25, erasing_area=(0.02, 0.15),
        ),
        stages=(
            Stage("head", epochs=1, learning_rate=2e-3, unfreeze_from=None, batch_norm="frozen"),
            Stage("finetune", epochs=12, learning_rate=1e-3, unfreeze_from="all",
                  weight_decay=1e-2, clip_norm=1.0, schedule="cosine", warmup_epochs=0.5),
        ),
    )
