"""CompactFER nano, trained further with one more residual block, on blurred and noisy faces.

    python experiments/tools/blend.py runs/compact_small_fine runs/compact_small_robust runs/compact_small_half --share 0.5
    insideout train compact_nano_fine --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/compact_nano --teacher runs/compact_small_half

The new block works at the full 48×48 resolution and begins as the identity, as in `compact_small_fine`. The
learning rate goes up again and comes down on a cosine. Inside the model, each face is brought to one mean
and standard deviation, so that light and contrast do not change the answer. The block has 8 channels inside,
which keeps the network under 100,000 parameters. Seven tenths of each label are the teacher's probabilities
for the same augmented face (Beyer et al. 2022, arXiv 2106.05237).

`compact_nano_whole` has the full resolution already, so it is trained further without a new block:

    insideout train compact_nano_fine --data PATH/TO/fer2013.csv --ferplus PATH/TO/fer2013new.csv --start-from runs/compact_nano_whole --teacher runs/compact_small_whole_blend --set backbone=CompactFERNanoWhole --set name=compact_nano_whole_robust --set augmentation.noise=0.05 --set stages.train.epochs=16 --set stages.train.learning_rate=0.03

Measured on PublicTest, which chose the epoch, seed 0: 66.26 % after the first command (`compact_nano`:
66.84 %), 66.76 % after the second (`compact_nano_whole`: 67.34 %); 50 and 22 minutes on 2 CPU cores. These
runs were not evaluated on PrivateTest. `experiments/tools/blend.py` then interpolated between the weights at
the start and at the end of the second command. The result is the packaged `nano`, whose run has 68.07 % on
PrivateTest and macro-F1 0.643.
"""

import dataclasses

from insideout_tf.recipes import compact_nano


def get_config():
    base = compact_nano.get_config()
    (stage,) = base.stages
    return dataclasses.replace(
        base,
        name="compact_nano_fine",
        backbone="CompactFERNanoFine",
        standardize="all",
        augmentation=dataclasses.replace(base.augmentation, blur=1.2, noise=0.03),
        stages=(dataclasses.replace(stage, epochs=26),),
    )
