"""Lists the verbs: `python -m insideout_tf`."""

VERBS = {
    "predict": "the emotions of faces in photos, video and crops, by a model that comes along",
    "explain": "what a model looked at: Grad-CAM heat maps",
    "inspect": "what is in a FER2013 file or folder: counts, duplicates, blank images",
    "train": "train an experiment; without arguments the quickstart, on drawn faces",
    "evaluate": "judge a run or a saved model on a named split",
    "export": "a trained model for TF Serving, LiteRT and ONNX Runtime, each file compared with Keras",
}


def main():
    print("Facial emotion recognition on FER2013. Verbs, each with --help:\n")
    for name, meaning in VERBS.items():
        print(f"  python -m insideout_tf.{name:<10} {meaning}")


if __name__ == "__main__":
    main()
