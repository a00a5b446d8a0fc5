"""The packaged `small`, trained further on faces of your own, with their own classes.

    insideout train finetune --data MY_FACES
    insideout evaluate runs/finetune --split test

MY_FACES is a folder of class folders, in `train/`, `val/` and `test/` or alone, or any other data that
`insideout inspect` reads. Without a part for validation, an eighth of each class is held out. Faces become
48×48 grey levels, as the packaged model takes them.

The head of the network gets the classes of the data. A class that `small` knows, such as happy, keeps its
weights. First the head learns alone, so that its random rows do not disturb what is below (Kumar et al.
2022, arXiv 2202.10054). Then all layers learn at a low rate. BatchNorm keeps its statistics, since a few
faces would give poor ones. Training stops when the validation loss has not fallen for eight epochs.

`--start-from RUN` begins from another model of the same network.

At the end the new weights are mixed with those of the start, as far as the validation faces allow it
(`interpolation`; Wortsman et al. 2022, arXiv 2109.01903). If no epoch is better than the start, it stays.

Measured on tasks from PublicTest (`benchmarks/finetuning.py`, three seeds each). With the labels of other
annotators, 50 faces of each class: 76.7 % against 73.4 % untouched and 32.8 % from random weights; 200 faces
of each class: 81.3, 72.4 and 55.3 %; up to 1,000: 83.9, 74.7 and 69.0 %. Divided by person: 78.5, 72.1 and
42.7 %. With three classes that `small` does not know, 100 faces each: 80.0 %, against 44.9 % from random
weights. With FER2013's own labels there is nothing to learn: 81.6 % before and 81.2 % after, and on tinted
pictures 77.1 and 76.9 %. Compare with
`insideout compare small runs/finetune --data MY_FACES` before you use the new model.
"""

from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="finetune",
        backbone="CompactFERSmallWhole",
        weights="none",
        start_from="small",
        standardize="outliers",
        input_size=48,
        channels=1,
        image_size=48,
        dropout=0.3,
        split="auto",
        batch_size=16,
        class_weight="clipped(0.5,2)",
        label_smoothing=0.05,
        monitor="val_loss",
        interpolation=(0.25, 0.5, 0.75),
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=12.0,
            zoom=(0.9, 1.1),
            shift=0.06,
            brightness=0.1,
            contrast=0.25,
            erasing_probability=0.25,
            erasing_area=(0.02, 0.15),
        ),
        stages=(
            Stage(
                "head",
                epochs=8,
                learning_rate=2e-3,
                unfreeze_from=None,
                batch_norm="frozen",
                schedule="cosine",
            ),
            Stage(
                "all",
                epochs=30,
                learning_rate=2e-4,
                batch_norm="frozen",
                weight_decay=1e-2,
                clip_norm=1.0,
                schedule="cosine",
                warmup_epochs=1.0,
                patience=8,
            ),
        ),
    )
