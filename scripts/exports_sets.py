"""Exported models for sets like well-known ones, for scripts/exports: the census table Adult, digits of
28 × 28 pixels, and, where they lie in WGRAD_DATA_DIR, MNIST and California housing themselves.
"""

import csv
import gzip
import math
import os
import random
import struct
from pathlib import Path

from exports import OPTIONS, compare, predicted, run_onnx, wgrad

ADULT = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship",
    "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
]
EDUCATION = ["HS-grad", "Some-college", "Bachelors", "Masters", "Assoc-voc", "11th", "Doctorate", "Prof-school"]
MARITAL = ["Married-civ-spouse", "Divorced", "Never-married", "Separated", "Widowed"]
COUNTRIES = ["United-States", "Mexico", "Philippines", "Germany", "Puerto-Rico", "India", "Cuba", "England"]


def adult(path, rows, seed):
    """A table with the columns and the style of Adult: a space after each comma, `?` for a missing text, most capital
    gains 0. In the held-out rows (seed 1) there are categories that no training row has, and gaps where there
    are none in training."""
    draw = random.Random(seed)
    pick = lambda names, more: draw.choice(names + (more if seed else []))
    unknown = lambda share, text: "?" if draw.random() < share else text
    with open(path, "w", newline="") as file:
        file.write(",".join(ADULT) + "\n")
        for _ in range(rows):
            years = draw.randrange(1, 17)
            age, hours = draw.randrange(17, 91), draw.randrange(1, 100)
            gain = draw.choice([0] * 10 + [2174, 14084, 99999])
            marital = pick(MARITAL, ["Married-AF-spouse"])
            score = years / 4 + (marital == MARITAL[0]) * 2 + hours / 30 + gain / 20000 + draw.gauss(0, 1)
            cells = [
                "" if seed and draw.random() < 0.05 else age,
                unknown(0.06, pick(["Private", "Self-emp-not-inc", "Local-gov", "State-gov"], ["Never-worked"])),
                draw.randrange(12285, 1484705),
                pick(EDUCATION, ["Preschool"]),
                years,
                marital,
                unknown(0.06, pick(["Craft-repair", "Sales", "Exec-managerial", "Tech-support"], ["Armed-Forces"])),
                draw.choice(["Husband", "Wife", "Own-child", "Not-in-family"]),
                draw.choice(["White", "Black", "Asian-Pac-Islander", "Other"]),
                draw.choice(["Male", "Female"]),
                gain,
                draw.choice([0] * 20 + [1902]),
                hours,
                unknown(0.02, pick(COUNTRIES, ["Holand-Netherlands"])),
                ">50K" if score > 5.5 else "<=50K",
            ]
            file.write(", ".join(str(cell) for cell in cells) + "\n")


def census(work):
    train, held = work / "adult.csv", work / "adult-held.csv"
    adult(train, 3000, 0)
    adult(held, 1000, 1)
    with open(held) as file:
        texts = file.read()
    assert all(name in texts for name in ["Holand-Netherlands", "Armed-Forces", "?", "\n, "]), "nothing is unseen"
    for i, options in enumerate([
        [],
        ["--scaling", "quantile", "--embed", "native-country,occupation", "--calibrate", "temperature"],
        ["--ensemble", "3:folds", "--log-transform", "capital-gain", "--one-hot", "education-num"],
    ]):
        run = str(work / f"adult-{i}")
        wgrad("train", str(train), *OPTIONS, "--target", "income", *options, "--out", run)
        wgrad("export", run, "-o", f"{run}.onnx")
        numbers, classes = predicted(run, str(held))
        found, labels, _ = run_onnx(f"{run}.onnx", held)
        compare(f"Adult-like {' '.join(options)}", found, numbers)
        assert list(labels) == classes and len(set(classes)) == 2, "another label"


def idx(path, dimensions, values):
    path.write_bytes(struct.pack(f">BBBB{len(dimensions)}I", 0, 0, 8, len(dimensions), *dimensions) + bytes(values))


def strokes(place, rows, seed, part):
    """Ten kinds of strokes in images of 28 × 28, in four files like MNIST."""
    import numpy as np

    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 10, rows)
    y, x = np.mgrid[0:28, 0:28]
    angle = labels[:, None, None] * math.pi / 10
    offset = draw.normal(0, 2, (rows, 1, 1))
    away = np.abs((x - 13.5) * np.sin(angle) - (y - 13.5) * np.cos(angle) + offset)
    pixels = 255 * np.exp(-((away / 2) ** 2)) * (np.hypot(x - 13.5, y - 13.5) < 10)
    pixels = np.clip(pixels + draw.normal(0, 20, pixels.shape), 0, 255).astype(np.uint8)
    idx(place / f"{part}-images-idx3-ubyte", (rows, 28, 28), pixels.tobytes())
    idx(place / f"{part}-labels-idx1-ubyte", (rows,), labels.astype(np.uint8).tobytes())


def mnist_test(place):
    import numpy as np

    file = next(place.glob("t10k-images*"))
    raw = gzip.open(file).read() if file.suffix == ".gz" else file.read_bytes()
    return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)


def images(work):
    """Probabilities for images with unchanged pixels as input."""
    import numpy as np
    import onnxruntime

    place = work / "strokes"
    place.mkdir()
    strokes(place, 4000, 0, "train")
    strokes(place, 1000, 1, "t10k")
    sets = [("strokes", str(place), [], place)]
    if data := os.environ.get("WGRAD_DATA_DIR"):
        inner = Path(data) / "mnist"
        sets.append(("mnist", "mnist", ["--data-dir", data], inner if inner.is_dir() else Path(data)))
    for name, given, where, files in sets:
        run = str(work / f"{name}-run")
        wgrad("train", given, *where, *OPTIONS[:3], "--epochs", "1", "--layers", "32:relu", "--out", run)
        wgrad("export", run, "-o", f"{run}.onnx", *where)
        wgrad("predict", run, given, *where, "--device", "cpu", "-o", f"{run}.npy")
        session = onnxruntime.InferenceSession(f"{run}.onnx", providers=["CPUExecutionProvider"])
        rows = mnist_test(files).astype(np.float32)
        found = session.run(["probabilities"], {"input": rows})[0]
        assert found.argmax(axis=1).std() > 2, "one class alone is predicted"
        compare(f"{name} of 28 × 28", found.tolist(), np.load(f"{run}.npy").tolist())


def housing(work):
    """California housing with held-out rows: a text column, and missing bedrooms."""
    file = Path(os.environ.get("WGRAD_DATA_DIR", "")) / "california_housing" / "housing.csv"
    if "WGRAD_DATA_DIR" not in os.environ or not file.is_file():
        print("skipped: no california_housing/housing.csv in WGRAD_DATA_DIR")
        return
    with open(file, newline="") as source:
        header, *rows = list(csv.reader(source))
    random.Random(0).shuffle(rows)
    parts = {"train": rows[2000:], "held": rows[:2000]}
    for part, own in parts.items():
        with open(work / f"housing-{part}.csv", "w", newline="") as out:
            csv.writer(out).writerows([header, *own])
    held = work / "housing-held.csv"
    assert any(row[4] == "" for row in parts["held"])
    run = str(work / "housing")
    options = ["--target", "median_house_value", "--out", run]
    wgrad("train", str(work / "housing-train.csv"), *OPTIONS, *options)
    wgrad("export", run, "-o", f"{run}.onnx")
    compare("California housing", run_onnx(f"{run}.onnx", held)[0], predicted(run, str(held))[0])


def all_sets(work):
    census(work)
    images(work)
    housing(work)
