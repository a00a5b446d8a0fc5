"""Time a whole training step on one GPU: this package on JAX against timm's same network in PyTorch.

    python benchmarks/gpu_training.py

Each side runs in a process of its own for each batch size, and counts with its best one. Both sides have:
- the same network from random weights, bfloat16 arithmetic and float32 weights;
- 28,709 random faces of 48 px in device memory, from which a step gathers its batch;
- flip, rotation, zoom, shift, brightness, contrast, erasing and mixup, with one interpolation to the
  network's size;
- AdamW with decoupled decay, clipping at norm 1, and averaged weights.
This package runs its own `fit`. The side of timm uses channels_last, autocast and torch.compile with a fused
AdamW.

The table shows images per second (the median over groups of 25 steps), their ratio, the time from the start
of the process to the first step, and the host's share of a step. The matrix rate is that of 8192×8192 bfloat16
products on the same chip through the same library. The table gives the arithmetic of the convolutions and
matrix products, three times the forward pass, as a fraction of it. Below are the ten kernels that take most time.

Each measurement is written to --out at once and is not repeated. --seconds stops after that time; the same
command then continues. Without a GPU, --cases tiny:48 --batches 32 --groups 2 --faces 2000 only shows that the
script runs.
"""

import argparse
import collections
import glob
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

STARTED = time.time()
TOGETHER = 25
CASES = "EfficientNetV2S:128,EfficientNetV2S:224,EfficientNetB2:224"
TIMM_NAMES = {
    "EfficientNetV2S": "tf_efficientnetv2_s",
    "EfficientNetV2B0": "tf_efficientnetv2_b0",
    "EfficientNetB2": "tf_efficientnet_b2",
    "tiny": "test_efficientnet",
}
MATRIX_SIDE = 8192


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=CASES, help="NETWORK:SIZE,...")
    parser.add_argument("--batches", default="256,512,1024")
    parser.add_argument(
        "--sides",
        default="insideout_tf,insideout_tf+taps,timm",
        help="+taps: depthwise convolutions as sums of shifted products, which XLA fuses",
    )
    parser.add_argument("--groups", type=int, default=4, help="timed groups of 25 steps")
    parser.add_argument("--faces", type=int, default=28_709)
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="start no measurement after this time"
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu_training.json"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # SIDE:NETWORK:SIZE:BATCH
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    if arguments.measure:
        side, network, size, batch = arguments.measure.split(":")
        run = measure_timm if side == "timm" else measure_ours
        result = run(side, network, int(size), int(batch), arguments)
        arguments.out.write_text(json.dumps(result))
        return
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for case in arguments.cases.split(","):
        for side in arguments.sides.split(","):
            best = 0.0
            for batch in arguments.batches.split(","):
                key = f"{side}:{case}:{batch}"
                if key not in results and time.time() - STARTED < arguments.seconds:
                    results[key] = measure_in_process(key, arguments)
                    arguments.out.write_text(json.dumps(results, indent=1))
                speed = results.get(key, {}).get("images_per_second", 0.0)
                if speed < 1.02 * best:
                    break  # a larger batch is not faster, or does not fit
                best = max(best, speed)
    report(results, arguments)


def measure_in_process(key, arguments):
    """Returns the measurement of "SIDE:NETWORK:SIZE:BATCH" from a process of its own, or its error."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.json"
        command = [sys.executable, __file__, "--measure", key, "--out", str(out)]
        command += ["--groups", str(arguments.groups), "--faces", str(arguments.faces)]
        environment = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95", **os.environ}
        if not key.startswith("timm"):
            environment["KERAS_BACKEND"] = "jax"
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            result = json.loads(out.read_text())
        else:
            result = {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][-300:]}
        print(key, {k: v for k, v in result.items() if k != "kernels"}, flush=True)
        return result


def random_faces(count):
    """Returns uint8 `[count, 48, 48]` and classes `[count]`, the same each time."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, 48, 48), np.uint8), random.integers(0, 7, count)


# -- this package ------------------------------------------------------------------------------


def measure_ours(side, network, size, batch, arguments):
    """Returns the figures of this package as a dict."""
    import jax
    import numpy as np

    from insideout_tf import devices
    from insideout_tf.data.faces import Faces

    devices.prepare_backend()
    import keras

    from insideout_tf.config import Augmentation, Experiment, Stage
    from insideout_tf.data import batches
    from insideout_tf.training import fused, optimizers
    from insideout_tf.training.model import TrainingModel

    experiment = Experiment(
        name="speed",
        backbone=network,
        weights="none",
        image_size=size,
        batch_size=batch,
        label_smoothing=0.1,
        ema_decay=0.998,
        dropout=0.3,
        feed="device",
        augmentation=Augmentation(
            flip=True,
            rotation_degrees=15.0,
            zoom=(0.85, 1.15),
            shift=0.1,
            brightness=0.1,
            contrast=0.2,
            erasing_probability=0.25,
            mixup_alpha=0.2,
        ),
        stages=(Stage("all", epochs=1, learning_rate=1e-4, weight_decay=1e-2, clip_norm=1.0),),
    )
    pixels, labels = random_faces(arguments.faces)
    faces = Faces(pixels, labels.astype(np.uint8), np.zeros(len(pixels), np.uint8), "random")
    arrays = batches.training_arrays(faces, np.arange(len(pixels)), experiment)
    model = fused.build_training_network(experiment, size, "mixed_bfloat16")
    if side.endswith("+taps"):
        for layer in model.layers:
            if type(layer) is keras.layers.DepthwiseConv2D:
                layer.__class__ = taps_layer()
    host: list[float] = []

    class Timed(TrainingModel):
        def make_train_function(self, force=False):
            super().make_train_function(force)
            step = self.train_function  # type: ignore[has-type]

            def timed(*arguments):
                began = time.perf_counter()
                result = step(*arguments)
                host.append(time.perf_counter() - began)
                return result

            self.train_function = timed

    step_model = Timed(model, experiment, experiment.stages[0], 0, arrays)
    optimizer = optimizers.create(
        experiment.stages[0],
        1000,
        step_model.trainable_variables,
        scale_loss=False,
        ema_decay=0.998,
    )
    step_model.compile(optimizer=optimizer, jit_compile=True, auto_scale_loss=False)
    ends, trace = [], tempfile.mkdtemp()
    groups = arguments.groups + 2  # the first compiles, the last is profiled

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, group, logs=None):
            if group == groups - 1:
                jax.profiler.start_trace(trace)

        def on_train_batch_end(self, group, logs=None):
            float(logs["loss"])
            ends.append(time.time())
            if group == groups - 1:
                jax.profiler.stop_trace()

    order = np.random.default_rng(0).integers(0, len(pixels), (groups * TOGETHER, batch), np.int32)
    data = batches.GroupedIndices(lambda: order, len(order), TOGETHER)
    step_model.fit(data, verbose=0, shuffle=False, callbacks=[Clock()])
    seconds = [(b - a) / TOGETHER for a, b in zip(ends[:-2], ends[1:-1])]
    step = statistics.median(seconds)
    return {
        "images_per_second": batch / step,
        "step_seconds": step,
        "host_seconds": statistics.median(host[1:-1]) / TOGETHER,
        "first_step_seconds": ends[0] - STARTED - (TOGETHER - 1) * step,
        "step_flops": 6 * batch * multiply_adds(model),
        "matrix_flops": matrix_rate_of_jax(),
        "device": devices.device_name(),
        "kernels": kernels_of_trace(trace),
    }


def taps_layer():
    """Returns a DepthwiseConv2D that sums shifted products instead of calling the library."""
    import keras
    from keras import ops

    class Taps(keras.layers.DepthwiseConv2D):
        def call(self, inputs):
            (rows, columns), (down, right) = self.kernel_size, self.strides
            height, width = inputs.shape[1:3]
            if self.padding == "same":
                pads = []
                for extent, size, stride in ((height, rows, down), (width, columns, right)):
                    total = max((math.ceil(extent / stride) - 1) * stride + size - extent, 0)
                    pads.append((total // 2, total - total // 2))
                inputs = ops.pad(inputs, [(0, 0), *pads, (0, 0)])
            out_height = (inputs.shape[1] - rows) // down + 1
            out_width = (inputs.shape[2] - columns) // right + 1
            kernel = ops.cast(self.kernel, "float32")[..., 0]
            total = 0.0
            for row in range(rows):
                for column in range(columns):
                    part = inputs[
                        :,
                        row : row + (out_height - 1) * down + 1 : down,
                        column : column + (out_width - 1) * right + 1 : right,
                    ]
                    total = total + ops.cast(part, "float32") * kernel[row, column]
            return ops.cast(total, self.compute_dtype)

    return Taps


def multiply_adds(model):
    """Returns the multiply-adds of convolutions and matrix products in the forward pass of one face."""
    count = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            # also right for a depthwise kernel, [rows, columns, channels, 1]
            count += math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return count


def matrix_rate_of_jax():
    """Returns the operations a second of large bfloat16 matrix products."""
    import jax
    import jax.numpy as jnp

    side = MATRIX_SIDE if jax.default_backend() == "gpu" else 512
    one = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)
    product = jax.jit(jnp.matmul)
    product(one, one).block_until_ready()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(5):
            last = product(one, one)
        last.block_until_ready()
        seconds.append((time.perf_counter() - began) / 5)
    return 2 * side**3 / statistics.median(seconds)


def kernels_of_trace(folder):
    """Returns the ten kernels of a JAX profile that take most time: [(name, share of the time)]."""
    import jax

    (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
    planes = list(jax.profiler.ProfileData.from_file(path).planes)
    on_device = [plane for plane in planes if "/device:GPU" in plane.name]
    spent: collections.Counter = collections.Counter()
    for plane in on_device or planes:
        for line in plane.lines:
            if not on_device or line.name.startswith("Stream"):
                for event in line.events:
                    spent[event.name] += event.duration_ns
    total = sum(spent.values()) or 1
    return [(name[:90], value / total) for name, value in spent.most_common(10)]


# -- timm --------------------------------------------------------------------------------------


def measure_timm(side, network, size, batch, arguments):
    """Returns the figures of timm as a dict."""
    import timm
    import torch
    from torch.nn import functional

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    pixels, labels = random_faces(arguments.faces)
    pixels = torch.from_numpy(pixels).to(device)
    labels = functional.one_hot(torch.from_numpy(labels), 7).float().to(device)
    labels = labels * 0.9 + 0.1 / 7
    model = timm.create_model(TIMM_NAMES[network], num_classes=7, drop_rate=0.3)
    model = model.to(device, memory_format=torch.channels_last).train()
    parameters = list(model.parameters())
    averages = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 1e-2},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-4,
        fused=device == "cuda",
    )

    def augment(rows):
        images, soft = pixels[rows].float().unsqueeze(1), labels[rows]
        draw = torch.rand(16, len(rows), device=device)
        signed = draw * 2 - 1
        mean = images.mean((1, 2, 3), keepdim=True)
        images = (images - mean) * (1 + 0.2 * signed[0].view(-1, 1, 1, 1)) + mean
        images = (images + 25.5 * signed[1].view(-1, 1, 1, 1)).clamp(0, 255)
        angle, scale = signed[2] * math.radians(15), 1 / (0.85 + 0.3 * draw[3])
        mirror = torch.where(draw[4] < 0.5, -1.0, 1.0)
        cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
        top = torch.stack([cosine * mirror, -sine, 0.2 * signed[5]], -1)
        bottom = torch.stack([sine * mirror, cosine, 0.2 * signed[6]], -1)
        grid = functional.affine_grid(
            torch.stack([top, bottom], 1), (len(rows), 1, size, size), align_corners=False
        )
        images = functional.grid_sample(
            images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        area, aspect = 0.02 + 0.18 * draw[7], torch.exp(math.log(3) * signed[8])
        axis = (torch.arange(size, device=device) + 0.5) / size
        wide = (axis[None] - draw[9][:, None]).abs() < (area * aspect).sqrt()[:, None] / 2
        high = (axis[None] - draw[10][:, None]).abs() < (area / aspect).sqrt()[:, None] / 2
        box = (high[:, :, None] & wide[:, None, :] & (draw[11] < 0.25)[:, None, None]).unsqueeze(1)
        images = torch.where(box, 255 * draw[12].view(-1, 1, 1, 1), images)
        kept = draw[13] ** 5  # about as uneven as Beta(0.2, 0.2), and compiles
        images = images * kept.view(-1, 1, 1, 1) + images.roll(1, 0) * (1 - kept).view(-1, 1, 1, 1)
        soft = soft * kept[:, None] + soft.roll(1, 0) * (1 - kept)[:, None]
        images = (images / 127.5 - 1).expand(-1, 3, -1, -1)
        return images.contiguous(memory_format=torch.channels_last), soft

    def forward_loss(rows):
        images, soft = augment(rows)
        with torch.autocast(device, torch.bfloat16):
            logits = model(images)
        return functional.cross_entropy(logits.float(), soft)

    forward_loss = torch.compile(forward_loss)
    step_number = 0

    def step():
        nonlocal step_number
        loss = forward_loss(torch.randint(len(pixels), (batch,), device=device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step_number += 1
        share = 1 - min(0.998, step_number / (9 + step_number))
        torch._foreach_lerp_(averages, parameters, share)
        return loss

    def group():
        began = time.perf_counter()
        for _ in range(TOGETHER):
            loss = step()
        issued = time.perf_counter()
        float(loss)
        return (time.perf_counter() - began) / TOGETHER, (issued - began) / TOGETHER

    float(step())
    first = time.time() - STARTED
    group()
    with torch.no_grad():
        torch._foreach_lerp_(averages, parameters, 0.0)
    timed = [group() for _ in range(arguments.groups)]
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        float(step())
    kind = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    events = sorted(profile.key_averages(), key=lambda event: -getattr(event, kind))
    total = sum(getattr(event, kind) for event in events) or 1
    seconds = statistics.median(each for each, _ in timed)
    return {
        "images_per_second": batch / seconds,
        "step_seconds": seconds,
        "host_seconds": statistics.median(host for _, host in timed),
        "first_step_seconds": first,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "kernels": [(event.key[:90], getattr(event, kind) / total) for event in events[:10]],
    }


# -- the table ---------------------------------------------------------------------------------


def report(results, arguments):
    """Prints the table and the kernels of each side's best batch size."""
    sides = arguments.sides.split(",")
    print(
        "\n| network | px | side | batch | images/s | of timm | of the matrix rate | first step | host |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for case in arguments.cases.split(","):
        network, size = case.split(":")
        best: dict[str, tuple] = {}
        for key, result in results.items():
            side, *rest = key.split(":")
            if rest[:2] == [network, size] and "images_per_second" in result:
                if result["images_per_second"] > best.get(side, (0,))[0]:
                    best[side] = (result["images_per_second"], int(rest[2]), result)
        flops = [r["step_flops"] / batch for _, batch, r in best.values() if "step_flops" in r]
        rates = [r["matrix_flops"] for _, _, r in best.values() if "matrix_flops" in r]
        for side in sides:
            if side not in best:
                continue
            speed, batch, result = best[side]
            ratio = f"{speed / best['timm'][0]:.2f}×" if "timm" in best else ""
            share = f"{speed * flops[0] / rates[0]:.1%}" if rates else ""
            print(
                f"| {network} | {size} | {side} | {batch} | {speed:,.0f} | {ratio} | {share} | "
                f"{result['first_step_seconds']:.0f} s | "
                f"{result['host_seconds'] / result['step_seconds']:.1%} |"
            )
        for side, (_, batch, result) in best.items():
            print(f"\n{network} at {size} px, {side}, batches of {batch}: where the time goes")
            for name, share in result["kernels"]:
                print(f"  {share:6.1%}  {name}")
    for key, result in results.items():
        if "error" in result:
            print(f"{key}: {result['error']}")


if __name__ == "__main__":
    main()
