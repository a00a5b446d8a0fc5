"""CompactFER small, trained further with one more residual block at full resolution.

    insideout train compact_small_fine --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/compact_small --teacher runs/compact_small
    insideout evaluate runs/compact_small_fine --split private

`compact_small` halves the face's sides after one convolution, so a CPU trains it in two hours. Here two more
convolutions see the full 48×48 resolution first. They begin as the identity, so the first epoch starts from
what `compact_small` knows. The learning rate goes up to nearly where it was and comes down again (Loshchilov
& Hutter 2017, arXiv 1608.03983). Half of each label is the teacher's probabilities for the same augmented
face, and camera noise is added to the faces.

Measured, seed 0: PrivateTest 69.63 %, macro-F1 0.670; with flips 69.77 % and 0.675; PublicTest 69.24 %; 95
minutes on 2 CPU cores with other work.

The same without a block, from the packaged `small` and distilled from it, gained nothing:

    insideout train compact_small_fine --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from small --teacher small --set backbone=CompactFERSmallWhole --set standardize=outliers --set name=compact_small_whole_fine --set stages.train.epochs=16 --set stages.train.learning_rate=0.03

Measured, seed 0: PrivateTest 70.35 %, macro-F1 0.682; PublicTest 69.30 %; 98 minutes on 2 CPU cores. See
experiments/RESULTS.md.
"""

import dataclasses

from insideout_tf.recipes import compact_small


def get_config():
    base = compact_small.get_config()
    (stage,) = base.stages
    return dataclasses.replace(
        base,
        name="compact_small_fine",
        backbone="CompactFERSmallFine",
        label_smoothing=0.0,
        distillation_weight=0.5,
        augmentation=dataclasses.replace(base.augmentation, noise=0.05),
        stages=(dataclasses.replace(stage, epochs=32, learning_rate=0.04),),
    )
