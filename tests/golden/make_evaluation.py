"""Golden metrics from scikit-learn for wgrad's tests.

Writes evaluation.json into the folder that holds this script. Rerun it with

    python3 -m venv venv
    venv/bin/pip install scikit-learn==1.9.1
    venv/bin/python tests/golden/make_evaluation.py

Made with Python 3.11, scikit-learn 1.9.1 and numpy 2.4. Every input is a multiple of 1/64, so that
float32 holds it exactly; inputs come from Python's own `random` with fixed seeds. A metric that
scikit-learn doesn't define for a case is null.

Three things are not scikit-learn's own: the calibration error, which it doesn't have, is computed
here by its definition; MAPE goes over the rows whose target is not 0, where scikit-learn divides by
2**-52; probabilities are handed to it in float64.
"""

import json
import random
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import sklearn
from sklearn import metrics

FOLDER = Path(__file__).resolve().parent
GRID = 64
BINS = 15
warnings.simplefilter("ignore")


def distributions(rng, rows, classes, coarse=1):
    """(rows, classes) multiples of coarse/64, each row summing to exactly 1; zeros and ties occur."""
    result = []
    for _ in range(rows):
        cuts = sorted(rng.randint(0, GRID // coarse) * coarse for _ in range(classes - 1))
        result.append([(b - a) / GRID for a, b in pairwise([0, *cuts, GRID])])
    return result


def calibration_error(p, labels, weights):
    confidence = p.max(axis=1)
    right = p.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(int), 1, BINS)
    gap = 0.0
    for b in range(1, BINS + 1):
        inside = bins == b
        gap += abs((weights[inside] * right[inside]).sum() - (weights[inside] * confidence[inside]).sum())
    return gap / weights.sum()


def area(truth, score, weights):
    if len(set(truth[weights > 0])) < 2:
        return None
    return metrics.roc_auc_score(truth, score, sample_weight=weights)


def classes_case(name, probabilities, labels, weights=None):
    p, y = np.array(probabilities), np.array(labels)
    w = np.ones(len(y)) if weights is None else np.array(weights)
    known = list(range(p.shape[1]))
    predicted = p.argmax(axis=1)
    scores = {}
    for average in ["macro", "weighted"]:
        # Without labels=: over the classes that occur among labels or predictions.
        prf = metrics.precision_recall_fscore_support(y, predicted, average=average, sample_weight=w, zero_division=0)
        suffix = "" if average == "macro" else "_weighted"
        scores |= {f"{key}{suffix}": value for key, value in zip(["precision", "recall", "f1"], prf[:3])}
    per_class = metrics.precision_recall_fscore_support(y, predicted, labels=known, sample_weight=w, zero_division=0)
    areas = [area(y == k, p[:, k], w) for k in known]
    defined = [a for a in areas if a is not None]
    auc = areas[1] if len(known) == 2 else (float(np.mean(defined)) if defined else None)
    if len(known) > 2 and len(defined) == len(known):
        assert np.isclose(auc, metrics.roc_auc_score(y, p, multi_class="ovr", sample_weight=w if weights else None)) or weights
    return {
        "case": name,
        "probabilities": probabilities,
        "labels": labels,
        "weights": weights,
        "values": scores
        | {
            "accuracy": metrics.accuracy_score(y, predicted, sample_weight=w),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted, sample_weight=w),
            "roc_auc": auc,
            "log_loss": metrics.log_loss(y, y_proba=p, labels=known, sample_weight=w),
            "brier": metrics.brier_score_loss(y, p, labels=known, sample_weight=w),
            "calibration_error": calibration_error(p, y, w),
        },
        "per_class": {
            "precision": per_class[0].tolist(),
            "recall": per_class[1].tolist(),
            "f1": per_class[2].tolist(),
            "support": [float(w[y == k].sum()) for k in known],
            "roc_auc": areas,
        },
        "confusion": metrics.confusion_matrix(y, predicted, labels=known, sample_weight=w).astype(float).tolist(),
    }


def numbers_case(name, predictions, targets, weights=None):
    p, t = np.array(predictions), np.array(targets)
    w = np.ones(len(t)) if weights is None else np.array(weights)
    varies = any(len(set(t[:, c])) > 1 for c in range(t.shape[1]))
    relative = []
    for c in range(t.shape[1]):
        kept = t[:, c] != 0
        if (w * kept).sum() > 0:
            relative.append(metrics.mean_absolute_percentage_error(t[kept, c], p[kept, c], sample_weight=w[kept]))
    return {
        "case": name,
        "predictions": predictions,
        "targets": targets,
        "weights": weights,
        "values": {
            "rmse": metrics.mean_squared_error(t, p, sample_weight=w) ** 0.5,
            "mae": metrics.mean_absolute_error(t, p, sample_weight=w),
            "median_absolute_error": metrics.median_absolute_error(t, p, sample_weight=weights),
            "r2": metrics.r2_score(t, p, sample_weight=w, multioutput="variance_weighted") if varies else None,
            "mape": float(np.mean(relative)) if relative else None,
        },
        "rmse_of_each": [float(np.sqrt(v)) for v in metrics.mean_squared_error(t, p, sample_weight=w, multioutput="raw_values")],
        "zero_targets": int((t == 0).sum()),
    }


def labels_case(name, probabilities, truth, weights=None):
    p, t = np.array(probabilities), np.array(truth).astype(int)
    w = np.ones(len(t)) if weights is None else np.array(weights)
    predicted = (p >= 0.5).astype(int)
    values = {
        "subset_accuracy": metrics.accuracy_score(t, predicted, sample_weight=w),
        "hamming_loss": metrics.hamming_loss(t, predicted, sample_weight=w),
    }
    for average, suffix in [("micro", "_micro"), ("macro", "")]:
        prf = metrics.precision_recall_fscore_support(t, predicted, average=average, sample_weight=w, zero_division=0)
        values |= {f"{key}{suffix}": value for key, value in zip(["precision", "recall", "f1"], prf[:3])}
    areas = [area(t[:, c], p[:, c], w) for c in range(t.shape[1])]
    defined = [a for a in areas if a is not None]
    values["roc_auc"] = float(np.mean(defined)) if defined else None
    losses = [metrics.log_loss(t[:, c], y_proba=np.c_[1 - p[:, c], p[:, c]], labels=[0, 1], sample_weight=w) for c in range(t.shape[1])]
    values["log_loss"] = float(np.mean(losses))
    return {"case": name, "probabilities": probabilities, "truth": truth, "weights": weights, "values": values, "roc_auc_of_each": areas}


def grid(rng, rows, columns, low, high):
    return [[rng.randint(low * GRID, high * GRID) / GRID for _ in range(columns)] for _ in range(rows)]


def weights(rng, rows):
    return [rng.randint(0, 2 * GRID) / GRID for _ in range(rows)]


def main():
    rng = random.Random(1)
    draw = lambda rows, classes: [rng.randrange(classes) for _ in range(rows)]
    binary, many = distributions(rng, 60, 2), distributions(rng, 80, 5)
    classes = [
        classes_case("two classes", binary, draw(60, 2)),
        classes_case("two classes, weighted", binary, draw(60, 2), weights(rng, 60)),
        classes_case("five classes", many, draw(80, 5)),
        classes_case("five classes, weighted", many, draw(80, 5), weights(rng, 80)),
        classes_case("many ties and zeros", distributions(rng, 80, 3, coarse=16), draw(80, 3)),
        classes_case("a class that never occurs", distributions(rng, 40, 4), [k % 3 for k in draw(40, 4)]),
        classes_case("a class that neither occurs nor is predicted", [[*row, 0.0] for row in distributions(rng, 30, 2)], draw(30, 2)),
        classes_case("one class only", distributions(rng, 20, 3), [1] * 20),
        classes_case("a single row", [[0.25, 0.75]], [1]),
        classes_case("all right and certain", [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0, 1, 1]),
        classes_case("all wrong and certain", [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [1, 0, 0]),
    ]
    one, two = grid(rng, 51, 1, -3, 3), grid(rng, 50, 2, -3, 3)
    numbers = [
        numbers_case("one output, odd rows", one, grid(rng, 51, 1, -3, 3)),
        numbers_case("two outputs, even rows", two, grid(rng, 50, 2, -9, 9)),
        numbers_case("two outputs, weighted", two, grid(rng, 50, 2, -9, 9), weights(rng, 50)),
        numbers_case("targets of zero", grid(rng, 20, 1, -1, 1), [[x if i % 3 else 0.0] for i, [x] in enumerate(grid(rng, 20, 1, 1, 2))]),
        numbers_case("one target only", grid(rng, 9, 1, -1, 1), [[0.75]] * 9),
        numbers_case("a single row", [[2.5]], [[2.0]]),
        numbers_case("exact", one, one),
        # A variance far below the square of the mean.
        numbers_case("far from zero", [[4096 + x] for [x] in one], [[4096 + x] for [x] in grid(rng, 51, 1, -3, 3)]),
    ]
    truth = [[float(rng.random() < 0.3) for _ in range(4)] for _ in range(40)]
    labels = [
        labels_case("four labels", grid(rng, 40, 4, 0, 1), truth),
        labels_case("four labels, weighted", grid(rng, 40, 4, 0, 1), truth, weights(rng, 40)),
        labels_case("a label that is never there", grid(rng, 15, 2, 0, 1), [[0.0, float(i % 2)] for i in range(15)]),
    ]
    written = {"made_with": f"scikit-learn {sklearn.__version__}", "classes": classes, "numbers": numbers, "labels": labels}
    text = json.dumps(written, allow_nan=False, default=float)
    (FOLDER / "evaluation.json").write_text(text.replace('{"case"', '\n{"case"') + "\n")


main()
