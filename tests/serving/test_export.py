"""Exported models give the probabilities of Keras, in processes without this package."""

import base64
import functools
import http.server
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
from conftest import ROOT, WEIGHTS, run_python, run_verb
from PIL import Image

import insideout_tf
from insideout_tf import export, files, imports
from insideout_tf.api import export as api_export
from insideout_tf.config import Experiment, Stage
from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.network.weights import load_model
from insideout_tf.serving import litert, packaged, saved_model
from insideout_tf.serving import onnx as onnx_export

pytestmark = pytest.mark.slow

call = functools.partial(run_verb, export.main)


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """A run in all three formats, by the defaults of the command; the name of its folder has a space."""
    out = tmp_path_factory.mktemp("export") / "für Serving"
    export.main([str(tiny_run), "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def saved(exported):
    import tensorflow as tf

    return tf.saved_model.load(str(exported / "saved_model/1"))


@pytest.fixture(scope="module")
def faces(small_drawn):
    with np.load(small_drawn) as data:
        return data["pixels"][:40]


@pytest.fixture(scope="module")
def expected(tiny_run, faces):
    return load_model(tiny_run / "model.keras").predict(faces[..., None] * 1.0, verbose=0)


def test_folder_and_record(exported, tiny_run):
    record = json.loads((exported / "export.json").read_text())
    assert {path.name for path in exported.parent.iterdir()} == {exported.name}  # nothing beside
    assert files.list_files(exported, api_export.KIND, foreign=True) == []
    assert {path.name for path in exported.iterdir()} == {
        files.MARKER,
        "export.json",
        "saved_model",
        "model.tflite",
        "model.onnx",
    }
    assert record["classes"] == list(EMOTIONS) and record["name"] == "tiny"
    assert record["compared_on"] == "420 faces of drawn.npz"  # the run's data, found again
    for name, entry in record["formats"].items():
        assert entry["furthest"] <= 1e-4 and entry["repeat"] <= 1e-5 and entry["p50_ms"] > 0
        path = exported / export.FORMATS[name]
        stored = path.stat().st_size if path.is_file() else 0
        stored += sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
        assert entry["bytes"] >= stored > 0
    model = exported / "saved_model/1"
    assert (model / "assets/classes.txt").read_text().split() == list(EMOTIONS)
    assert json.loads((model / "assets/model.json").read_text())["name"] == "tiny"


def test_signatures(saved, faces, expected):
    """Names, shapes and dtypes that a client relies on, and equal probabilities from each."""
    assert set(saved.signatures) == set(saved_model.SIGNATURES)
    given = {
        "serving_default": {"pixels": faces[..., None].astype(np.float32)},
        "uint8": {"pixels": faces[..., None]},
        "image_bytes": {"image_bytes": np.array([saved_model._png(face) for face in faces])},
    }
    import tensorflow as tf

    for name, arguments in given.items():
        signature = saved.signatures[name]
        (spec,) = signature.structured_input_signature[1].values()
        assert spec.shape.as_list() == ([None] if name == "image_bytes" else [None, 48, 48, 1])
        answer = signature(**{key: tf.constant(value) for key, value in arguments.items()})
        assert list(answer) == ["probabilities"]
        assert np.abs(answer["probabilities"] - expected).max() < 1e-5
    answer = saved.signatures["classify"](pixels=tf.constant(given["serving_default"]["pixels"]))
    order = np.argsort(-expected, 1, kind="stable")
    assert np.abs(answer["scores"] - np.take_along_axis(expected, order, 1)).max() < 1e-5
    first = [label.decode() for label in answer["labels"].numpy()[:, 0]]
    assert first == [EMOTIONS[row[0]] for row in order]


@pytest.mark.parametrize("size", [(48, 48), (64, 64), (31, 77), (20, 20), (640, 480)])
def test_decoding_in_the_graph_is_that_of_the_package(size, tmp_path):
    """PNG, JPEG and BMP; grey, colour, transparent: within a grey level of `read_face`."""
    import tensorflow as tf

    random = np.random.default_rng(size[0])
    base = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8)).resize(size)
    decode = tf.function(saved_model.decode_in_graph)
    for kind, mode in (
        ("PNG", "L"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("JPEG", "L"),
        ("JPEG", "RGB"),
        ("BMP", "RGB"),
    ):
        path = tmp_path / f"face.{kind}"
        base.convert(mode).save(path, kind)
        ours = images.read_face(path).astype(np.float32)
        theirs = decode(tf.constant(path.read_bytes())).numpy()
        assert theirs.shape == (48, 48, 1)
        furthest = np.abs(theirs[..., 0] - ours)
        assert furthest.max() <= (0 if size == (48, 48) else 1)


def test_the_graph_refuses_files_that_are_not_images(saved):
    import tensorflow as tf

    for content in (b"", b"no image", saved_model._png(np.zeros((48, 48), np.uint8))[:40]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            saved.signatures["image_bytes"](image_bytes=tf.constant([content]))


def test_a_bad_file_is_marked_and_the_others_have_results(saved, faces, expected):
    """Headers bound what is decoded; one bad file does not fail its batch."""
    import tensorflow as tf

    good = saved_model._png(faces[0])
    large = saved_model._png(np.zeros((1, 1), np.uint8)).replace(
        b"IHDR\0\0\0\x01\0\0\0\x01", b"IHDR\0\0\x2e\xe0\0\0\x2e\xe0"
    )
    buffer = io.BytesIO()
    Image.new("L", (4100, 4100)).save(buffer, "JPEG")
    frame = io.BytesIO()
    Image.new("L", (4100, 4100)).save(frame, "GIF")
    hidden = frame.getvalue().replace(b"\x04\x10\x04\x10", b"\1\0\1\0", 1)  # the header says 1×1
    webp = io.BytesIO()
    Image.new("L", (48, 48)).save(webp, "WEBP")
    bad = [large, buffer.getvalue(), b"", b"no image", good[:60], b"GIF89a" + b"\xff" * 30]
    bad += [hidden, webp.getvalue()]
    result = saved.signatures["image_bytes_checked"](image_bytes=tf.constant([*bad, good]))
    assert result["is_valid"].numpy().tolist() == [False] * len(bad) + [True]
    assert not result["probabilities"].numpy()[:-1].any()
    assert np.abs(result["probabilities"][-1] - expected[0]).max() < 1e-5
    for content in bad[:2]:
        with pytest.raises(tf.errors.InvalidArgumentError, match="at most 16,777,216 pixels"):
            saved.signatures["image_bytes"](image_bytes=tf.constant([content]))
    for content in bad[-2:]:
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected a PNG, JPEG or BMP"):
            saved.signatures["image_bytes"](image_bytes=tf.constant([content]))


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "answer",
    [
        b"no JSON",
        b"two\nlines \x1b[2J",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"predictions": [[2.0, 0, 0, 0, 0, 0, -1.0]]}',
        b'{"predictions": [["happy"]]}',
        b'{"predictions": []}',
        b'{"predictions": [[NaN, 0, 0, 0, 0, 0, 1]]}',
    ],
)
def test_the_client_believes_no_other_answer(answer, status, tmp_path):
    class Liar(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "a.png").write_bytes(b"x")
    url = f"http://127.0.0.1:{server.server_port}/v1/models/fer"
    command = [sys.executable, "-I", ROOT / "examples/serving_client.py", url, tmp_path / "a.png"]
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    server.shutdown()
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr[:-1].isprintable()
    assert ("expected an answer of TF Serving" if status == 200 else "/fer: 500 ") in done.stderr


class Server(http.server.BaseHTTPRequestHandler):
    """The predict method of TF Serving's REST API, in front of the real SavedModel.

    It follows the documentation, since pip cannot install the server. In the row format, each
    instance is the only input of the signature; an object with the single key b64 is a byte string.
    """

    def log_message(self, *_):
        pass

    def do_POST(self):
        import tensorflow as tf

        length = int(self.headers["Content-Length"])
        request = json.loads(self.rfile.read(length))
        signature = self.server.saved.signatures[request.get("signature_name", "serving_default")]
        ((name, spec),) = signature.structured_input_signature[1].items()

        def decode(value):
            if isinstance(value, dict):
                assert list(value) == ["b64"]
                return base64.b64decode(value["b64"], validate=True)
            return value

        given = tf.constant([decode(each) for each in request["instances"]], spec.dtype)
        try:
            answer = signature(**{name: given})
            (values,) = answer.values()
            status, body = 200, {"predictions": values.numpy().tolist()}
        except tf.errors.InvalidArgumentError as error:
            status, body = 400, {"error": error.message}
        assert self.path == "/v1/models/fer:predict"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


def test_client_over_rest(exported, saved, faces, expected, tmp_path):
    """The client of the examples, in its own process, sends the bytes of two files over HTTP."""
    for index in range(2):
        Image.fromarray(faces[index]).save(tmp_path / f"{index}.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.saved = saved
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/models/fer"

    def run_client(*words):
        command = [sys.executable, "-I", ROOT / "examples/serving_client.py", url, *words]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "no_proxy": "127.0.0.1"}
        )

    files = [tmp_path / "0.png", tmp_path / "1.png"]
    done = run_client(*files)
    assert done.returncode == 0, done.stderr
    for file, line, row in zip(files, done.stdout.splitlines(), expected):
        assert line == f"{file}: {EMOTIONS[row.argmax()]} {row.max():.1%}"
    classes = exported / "saved_model/1/assets/classes.txt"
    assert run_client(*files, "--classes", classes).stdout == done.stdout
    (tmp_path / "two.txt").write_text("happy\nsad\n")
    done = run_client(*files, "--classes", tmp_path / "two.txt")
    assert done.returncode == 1 and "--classes: expected 7 classes" in done.stderr
    done = run_client(tmp_path / "broken.png")
    assert done.returncode == 1 and "400" in done.stderr and "Traceback" not in done.stderr
    server.shutdown()
    done = run_client(tmp_path / "none.png")
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_saved_model_cli_runs_it(exported, faces, expected, tmp_path):
    """TensorFlow's own command runs a signature."""
    np.save(tmp_path / "pixels.npy", faces[:3, ..., None].astype(np.float32))
    command = [
        pathlib.Path(sys.executable).with_name("saved_model_cli"),
        "run",
        *("--dir", exported / "saved_model/1", "--tag_set", "serve"),
        *("--signature_def", "serving_default", "--outdir", tmp_path),
        *("--inputs", f"pixels={tmp_path / 'pixels.npy'}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.abs(np.load(tmp_path / "probabilities.npy") - expected[:3]).max() < 1e-5


def test_warmup_requests_run(exported, saved):
    """TF Serving replays these records when it loads the model, one a signature."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    records = tf.data.TFRecordDataset(str(exported / "saved_model/1" / saved_model.WARMUP))
    seen = []
    for record in records:
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        given = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        assert request.model_spec.name == "tiny"
        saved.signatures[request.model_spec.signature_name](
            **{key: tf.constant(value) for key, value in given.items()}
        )
        seen.append(request.model_spec.signature_name)
    assert tuple(seen) == saved_model.SIGNATURES


def test_metadata(exported):
    import onnx

    with zipfile.ZipFile(exported / "model.tflite") as associated:
        assert associated.read("labels.txt").decode().split() == list(EMOTIONS)
        assert json.loads(associated.read("model.json"))["name"] == "tiny"
    model = onnx.load(exported / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {each.domain: each.version for each in model.opset_import}[""] == onnx_export.OPSET
    described = {each.key: json.loads(each.value) for each in model.metadata_props}
    assert described["classes"] == list(EMOTIONS) and described["facts"]["name"] == "tiny"


def test_other_readers_agree_and_are_recorded(tmp_path, capsys):
    """The packaged network has the mean and the repetition that OpenCV miscalculates or refuses."""
    out = tmp_path / "out"
    status, _, error = call(capsys, "nano", "--out", out)
    assert status == 0, error
    formats = json.loads((out / "export.json").read_text())["formats"]
    readers = {
        each["reader"].split()[0]: each for entry in formats.values() for each in entry["readers"]
    }
    assert set(readers) >= {"TensorFlow", "ai-edge-litert", "ONNX", "OpenCV"}
    assert readers["OpenCV"]["furthest"] < 1e-5
    assert {entry["output"] for entry in formats.values()} == {"probabilities"}
    assert formats["litert"]["least_runtime"] == "TensorFlow Lite 2.2.0"
    assert call(capsys, "nano", "--out", tmp_path / "new", "--version", "0")[0] == 2


@pytest.mark.parametrize("name", packaged.names())
def test_packaged_files_name_their_output_and_an_old_runtime(name):
    from ai_edge_litert.interpreter import Interpreter

    path = packaged.path_of(name, ".tflite")
    signature = Interpreter(str(path)).get_signature_list()["serving_default"]
    assert signature == {"inputs": ["pixels"], "outputs": ["probabilities"]}
    least = litert.read_least_runtime(path.read_bytes())
    assert tuple(map(int, least.split("."))) <= (2, 14)


def test_embeddings_are_a_second_output(tiny_run, faces, expected, tmp_path, capsys):
    out = tmp_path / "both"
    status, _, error = call(capsys, tiny_run, "--out", out, "--embeddings", "--version", "2")
    assert status == 0, error
    record = json.loads((out / "export.json").read_text())
    assert record["formats"]["savedmodel"]["path"] == "saved_model/2"
    (reader,) = record["formats"]["savedmodel"]["readers"]
    assert reader["reader"].startswith("TensorFlow ")
    assert files.list_files(out, api_export.KIND, foreign=True) == []
    assert all(entry["embeddings"] < 1e-3 for entry in record["formats"].values())
    known = insideout_tf.embed(faces, tiny_run)
    import onnxruntime
    import tensorflow as tf

    pixels = faces[..., None].astype(np.float32)
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    probabilities, embeddings = session.run(None, {"pixels": pixels})
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    np.testing.assert_allclose(embeddings, known, atol=1e-3 * known.std())
    signatures = tf.saved_model.load(str(out / "saved_model/2")).signatures
    served = signatures["uint8"](pixels=tf.constant(faces[..., None]))
    np.testing.assert_allclose(served["embeddings"], known, atol=1e-3 * known.std())
    told = insideout_tf.predict_emotions(faces, str(out / "model.tflite"), engine="litert")
    np.testing.assert_allclose(told, expected, atol=1e-4)


def test_packaged_model_quantized(tmp_path, capsys):
    """Half and a quarter of the bytes, each with its own limit; a second run replaces the first.

    The folder of an export that was killed two days ago goes; that of a running export stays.
    """
    out = tmp_path / "out"
    killed, working = (files.name_temporary(out, process=each) for each in (12, 34))
    other = files.name_temporary(tmp_path / "not.out", process=12)
    for folder in (killed, working, other):
        folder.mkdir()
        (folder / "model.tflite").touch()
    for folder in (killed, other):
        os.utime(folder, times=(time.time() - 2 * 24 * 3600,) * 2)
    whole = 4 * packaged.facts("small")["parameters"]
    sizes = {}
    for stored in ("float16", "dynamic"):
        status, out, error = call(
            capsys,
            *("small", "--format", "litert", "--quantize", stored),
            *("--out", tmp_path / "out", "--overwrite"),
        )
        assert status == 0, error
        assert "drawn faces" in out and "model.tflite" in out
        record = json.loads((tmp_path / "out/export.json").read_text())
        assert record["temperature"] == packaged.facts("small")["temperature"]
        sizes[stored] = record["formats"]["litert"]["bytes"]
    assert sizes["float16"] < 0.55 * whole and sizes["dynamic"] < 0.3 * whole
    assert sorted(tmp_path.iterdir()) == sorted((working, other, tmp_path / "out"))


@pytest.mark.fer2013
def test_imagenet_network_with_normalization(real, unpacked, tmp_path):
    """EfficientNetV2-B0: tf2onnx alone turns its Normalization layer into inputs without values."""
    from insideout_tf.network.build import build_network

    experiment = Experiment(
        name="b0",
        backbone="EfficientNetV2B0",
        weights=str(WEIGHTS),
        image_size=48,
        stages=(Stage("head", epochs=1, learning_rate=0.1),),
    )
    model = build_network(experiment)
    model.save(tmp_path / "b0.keras")
    record = export.export(
        tmp_path / "b0.keras", tmp_path / "out", ("savedmodel", "onnx"), data=unpacked("npz")
    )
    assert record["compared_on"] == "512 PublicTest faces of fer2013.npz"
    assert record["formats"]["onnx"]["furthest"] < 1e-4


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("litert", lambda content: content[: len(content) // 2], "works without this package"),
        ("onnx", lambda content: content[: len(content) // 2], "works without this package"),
        ("onnx", None, "expected Keras' probabilities to 0.0001"),
    ],
)
def test_a_file_that_differs_is_refused_and_nothing_stays(
    name, spoil, message, tiny_run, tmp_path, capsys, monkeypatch
):
    module = {"litert": litert, "onnx": onnx_export}[name]
    honest = getattr(module, f"to_{name}")

    def other(model, *rest):
        if spoil:
            return spoil(honest(model, *rest))
        import keras

        another = keras.models.clone_model(model)  # random weights
        return honest(another, *rest)

    monkeypatch.setattr(module, f"to_{name}", other)
    files.mark(tmp_path / "out", api_export.KIND)
    (tmp_path / "out/model.onnx").write_text("before")
    status, _, error = call(
        capsys, tiny_run, "--format", name, "--out", tmp_path / "out", "--overwrite"
    )
    assert status == 2 and message in error and error.count("\n") == 1
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"out", files.MARKER, "model.onnx"}
    assert (tmp_path / "out/model.onnx").read_text() == "before"


def test_refusals(tiny_run, tmp_path, capsys, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("x")
    for words, message in (
        ((tiny_run, "--out", tmp_path / "full"), "expected nothing there yet"),
        ((tiny_run, "--out", tmp_path / "full/file"), "expected a folder"),
        ((tiny_run, "--out", tmp_path / "new", "--format", "h5"), "--format: expected some of"),
        (
            (tiny_run, "--out", tmp_path / "new", "--format", "onnx", "--quantize", "float16"),
            "--quantize: expected litert",
        ),
        ((tmp_path / "none", "--out", tmp_path / "new"), "Received: nothing there"),
    ):
        status, _, error = call(capsys, *words)
        assert status == 2 and message in error and error.count("\n") == 1
    monkeypatch.setattr(imports, "is_installed", lambda name: name != "onnxruntime")
    status, _, error = call(capsys, tiny_run, "--out", tmp_path / "new", "--format", "onnx")
    assert status == 2 and "pip install onnxruntime" in error
    assert not (tmp_path / "new").exists()


def test_needs_tensorflow(tiny_run, tmp_path):
    code = "import sys; from insideout_tf import export; export.main(sys.argv[1:])"
    done = run_python(
        code,
        *(tiny_run, "--out", tmp_path / "out"),
        env={"KERAS_BACKEND": "jax"},
        check=False,
    )
    assert done.returncode == 2 and "expected the TensorFlow backend" in done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_images_of_16_bits_agree(tmp_path):
    """Sixteen bits a pixel become the same eight bits in both, to within one grey level."""
    import tensorflow as tf

    deep = np.linspace(0, 65535, 48 * 48).reshape(48, 48).astype(np.uint16)
    content = io.BytesIO()
    Image.fromarray(deep).save(content, "PNG")
    (tmp_path / "deep.png").write_bytes(content.getvalue())
    graph = saved_model.decode_in_graph(tf.constant(content.getvalue())).numpy()[..., 0]
    assert np.abs(graph - images.read_face(tmp_path / "deep.png")).max() <= 1
