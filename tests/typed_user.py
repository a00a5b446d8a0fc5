"""What a user may write and `mypy --strict` accept; mypy checks it, nothing runs it."""

import numpy as np

import insideout_tf as io_tf


def main() -> None:
    faces = np.zeros((1, 48, 48), np.uint8)
    io_tf.warm_up("small", detector=None)
    print(io_tf.predict_emotions(faces).shape, io_tf.EMOTIONS, io_tf.__version__)
    for face in io_tf.detect_emotions(faces[0], mode="crop"):
        print(face["emotion"])
    print(io_tf.analyze_video("clip.mp4"))
    print(io_tf.embed(faces).shape)
    run = io_tf.train_model("quickstart", data="drawn", epochs=1, run_dir="runs/a")
    run = io_tf.open_run("runs/a")
    print(run.model, run.classes, run.metrics, run.history, run.path, run.experiment)
    run.evaluate("private")
    run.predict(faces)
    run.explain(faces[0])
    run.export("exported")
    run.report("a.html")
    print(io_tf.load("small"))
    data = io_tf.read_faces("drawn")
    print(len(data), data.pixels.shape)
    for explanation in io_tf.explain_images("a.png"):
        print(explanation.emotion, explanation.maps.shape)
    print(io_tf.audit_labels("drawn"))
    print(io_tf.compare_models(["nano", "small"], "drawn"))
    print(io_tf.cross_validate("quickstart", "drawn"))
    io_tf.report_runs(["runs/a"], "b.html")
    try:
        io_tf.load("none")
    except io_tf.UserError as error:
        print(error)
