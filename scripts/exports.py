"""Exported models in other programs, for scripts/exports: `onnx DIR` or `torch DIR`.

Trains small nets in DIR, exports them, runs them on raw rows of a held-out table, in which values are
missing and categories unknown, and compares with `wgrad predict`.
"""

import csv
import datetime
import json
import math
import os
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path

TOLERANCE = 1e-5
WGRAD = str(Path(os.environ["WGRAD"]).resolve())
OPTIONS = ["--device", "cpu", "--quiet", "--epochs", "2"]


def wgrad(*args):
    env = {k: v for k, v in os.environ.items() if not k.startswith("WGRAD_")}
    env.setdefault("WGRAD_ENSEMBLE", "1")
    done = subprocess.run([WGRAD, *args], capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"wgrad {' '.join(args)}\n{done.stdout}{done.stderr}")
    return done


def table(path, rows, seed, target):
    """A table like houses: numbers, a category, a street, yes and no, 0 and 1, a date, each with missing values."""
    draw = random.Random(seed)
    gap = lambda share, value: "" if draw.random() < share else value
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["longitude", "income", "ocean proximity", "street", "flag", "bit", "sold", "label", "y", "z"])
        for i in range(rows):
            west = draw.gauss(-119.6, 2.0)
            income = math.exp(draw.gauss(5.0, 1.0))
            # The held-out rows contain names that aren't in the training rows.
            near = draw.choice(["NEAR BAY", "INLAND", '<1H "OCEAN", x', "ISLÁND"] + (["MOON"] if seed else []))
            street = f"street {draw.randrange(130 + 30 * seed)}"
            flag, bit = draw.choice(["yes", "no"]), draw.choice([0, 1])
            day = datetime.date(2019, 1, 1) + datetime.timedelta(days=draw.randrange(900))
            y = west + 119 + math.log(income) + len(near) / 5 + 2 * bit + draw.gauss(0, 0.2)
            cells = [gap(0.05, repr(west)), gap(0.03, f"{income:.0f}"), gap(0.05, near), street]
            cells += [gap(0.05, flag), bit, gap(0.04, day.isoformat()), draw.choice(["a", "b"])]
            out.writerow([*cells, target(y), f"{y * y:.3f}"])


def predicted(run, data):
    """The numbers of each row, and the class if there is one."""
    lines = wgrad("predict", run, data, "--device", "cpu", "--format", "jsonl").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    numbers = [[x for x in row.values() if isinstance(x, (int, float))] for row in rows]
    return numbers, [row.get("class") for row in rows]


def compare(what, found, expected):
    """Each output relative to its largest magnitude."""
    assert len(found) == len(expected) and len(found[0]) == len(expected[0]), what
    largest = 0.0
    for c in range(len(expected[0])):
        scale = max(abs(row[c]) for row in expected) or 1.0
        largest = max([largest, *(abs(a[c] - b[c]) / scale for a, b in zip(found, expected))])
    print(f"{what}: {len(found)} rows, largest relative difference {largest:.1e}")
    if not largest <= TOLERANCE:
        sys.exit(f"{what}: more than {TOLERANCE}")


def seconds(text):
    """A date in the form for exported models."""
    day = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)
    return day.timestamp()


def run_onnx(path, data):
    """The predictions of onnxruntime for the raw rows of a table: numbers, and labels."""
    import numpy as np
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with open(data, newline="") as file:
        rows = list(csv.DictReader(file))
    feed = {}
    for given in session.get_inputs():
        cells = [row[given.name] for row in rows]
        assert given.shape == ["N", 1], given.shape
        if given.type == "tensor(string)":
            feed[given.name] = np.array(cells, dtype=object).reshape(-1, 1)
        else:
            assert given.type == "tensor(double)", given.type
            is_date = given.name == "sold"
            number = lambda cell: math.nan if cell == "" else seconds(cell) if is_date else float(cell)
            feed[given.name] = np.array([number(cell) for cell in cells]).reshape(-1, 1)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, feed)))
    # If a column of the data is called label, the output is predicted_label.
    labels = found.pop("label", found.pop("predicted_label", None))
    return np.concatenate(list(found.values()), axis=1).astype(float).tolist(), labels, names


TABLES = {
    "number": lambda y: f"{y:.4f}",
    "three": lambda y: "low" if y < 4 else "mid" if y < 7 else 'high, "very"',
    "two": lambda y: y < 5,
    "count": lambda y: max(0, round(y)),
    "far": lambda y: f"{1.7e9 + y:.4f}",
}
RUNS = {
    "number": [
        [],
        ["--scaling", "minmax", "--layers", "8:gelu-tanh,8:elu,8:elu", "--norm", "layer", "--residual", "1"],
        ["--scaling", "robust", "--layers", "8:softplus,8:mish", "--norm", "batch"],
        ["--scaling", "quantile", "--layers", "12:relu*4+tanh*4+sine*4,8:gaussian"],
        ["--log-transform", "income", "--layers", "8:gelu,8:selu,8:leaky-relu,8:softsign"],
        ["--loss", "gaussian-nll", "--ensemble", "3"],
        ["--target", "y,z", "--layers", "8:silu,8:relu6,8:hard-swish,8:hard-sigmoid", "--bias", "subtract"],
    ],
    "three": [[], ["--ensemble", "3", "--one-hot", "street"], ["--loss", "hinge"]],
    "two": [["--calibrate", "temperature"], ["--loss", "binary-cross-entropy", "--embedding-dims", "3"]],
    "count": [["--loss", "poisson", "--task", "regression"]],
    "far": [[]],
}


def in_onnxruntime(work):
    import exports_sets
    import numpy as np
    import onnxruntime

    for kind, runs in RUNS.items():
        train, held = work / f"{kind}.csv", work / f"{kind}-held.csv"
        table(train, 600, 0, TABLES[kind])
        table(held, 300, 1, TABLES[kind])
        for i, options in enumerate(runs):
            run, target = str(work / f"{kind}-{i}"), [] if "--target" in options else ["--target", "y", "--ignore", "z"]
            wgrad("train", str(train), *OPTIONS, *target, *options, "--out", run)
            wgrad("export", run, "-o", f"{run}.onnx")
            numbers, classes = predicted(run, str(held))
            found, labels, names = run_onnx(f"{run}.onnx", held)
            compare(f"{kind} {' '.join(options)}: {', '.join(names)}", found, numbers)
            if labels is not None:
                assert list(labels) == classes, "another label"
    # Several labels in a row.
    with open(work / "labels.csv", "w") as file:
        file.write("a,b,tags\n")
        for i in range(400):
            tags = [name for name, n in (("red", 2), ("new", 3), ("big", 5)) if i % n == 0]
            file.write(f"{i % 7 / 7},{i % 11},{'|'.join(tags)}\n")
    run = str(work / "labels")
    wgrad("train", f"{run}.csv", *OPTIONS, "--target", "tags", "--task", "multilabel", "--out", run)
    wgrad("export", run, "-o", f"{run}.onnx")
    compare("labels", run_onnx(f"{run}.onnx", f"{run}.csv")[0], predicted(run, f"{run}.csv")[0])
    # A matrix.
    run = str(work / "digits")
    wgrad("train", "digits", *OPTIONS[:3], "--epochs", "1", "--layers", "32:relu", "--out", run)
    wgrad("export", run, "-o", f"{run}.onnx")
    wgrad("predict", run, "digits", "--device", "cpu", "-o", f"{run}.npy")
    session = onnxruntime.InferenceSession(f"{run}.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["probabilities"], {"input": digits()})[0]
    compare("digits", found.tolist(), np.load(f"{run}.npy").tolist())
    exports_sets.all_sets(work)
    from_scikit_learn(work)
    in_notebook(work)


def in_notebook(work):
    """The lines of docs/exports.md, unchanged: dates, codes with leading zeros, numbers that are names."""
    draw = random.Random(5)
    for name, rows in [("houses", 400), ("new", 200)]:
        with open(work / f"{name}.csv", "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["a", "zip", "code", "flag", "sold", "seen", "at", "y"])
            for _ in range(rows):
                gap = lambda value: "" if draw.random() < 0.1 else value
                day = datetime.datetime(2019, 1, 1) + datetime.timedelta(minutes=draw.randrange(900 * 1440))
                a, code = draw.gauss(0, 1), draw.randrange(3)
                cells = [gap(a), gap(f"0106{draw.randrange(4)}"), gap(code), gap(draw.choice([True, False]))]
                cells += [gap(f"{day:%d/%m/%Y}"), gap(f"{day:%Y-%m-%d %H:%M:%S}"), gap(f"{day:%H:%M}")]
                out.writerow([*cells, a + code + day.hour / 12 + day.month / 6])
    run = str(work / "notebook")
    wgrad("train", str(work / "houses.csv"), *OPTIONS, "--target", "y", "--one-hot", "code,zip", "--out", run)
    wgrad("export", run, "-o", str(work / "houses.onnx"))
    readme = Path("docs/exports.md").read_text()
    lines = re.search(r"```python\n(import json\nimport onnxruntime.*?)```", readme, re.S).group(1)
    before = os.getcwd()
    os.chdir(work)
    scope = {}
    exec(lines, scope)
    os.chdir(before)
    assert len(scope["dates"]) == 3 and {"zip", "code"} <= set(scope["texts"]), scope["columns"]
    compare("the notebook of docs/exports.md", scope["prices"].tolist(), predicted(run, str(work / "new.csv"))[0])


def digits():
    import numpy as np
    from sklearn.datasets import load_digits

    return load_digits().data.astype(np.float32)


def from_scikit_learn(work):
    """Nets that skl2onnx wrote, imported: they predict the same as scikit-learn."""
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    # They needn't converge.
    warnings.simplefilter("ignore")
    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    np.savetxt(work / "iris.csv", x, delimiter=",")
    small = {"hidden_layer_sizes": (8, 6), "max_iter": 50, "random_state": 0}
    nets = {
        "three": MLPClassifier(activation="relu", **small).fit(x, np.array(["p", "q", "r"])[y]),
        "two": MLPClassifier(activation="tanh", **small).fit(x, y == 1),
        "values": MLPRegressor(activation="logistic", **small).fit(x, y),
    }
    for name, net in nets.items():
        file, run = work / f"sklearn-{name}.onnx", str(work / f"sklearn-{name}")
        file.write_bytes(to_onnx(net, x[:1]).SerializeToString())
        wgrad("import", str(file), "--out", run)
        expected = net.predict_proba(x) if name != "values" else net.predict(x)[:, None]
        found, classes = predicted(run, str(work / "iris.csv"))
        compare(f"scikit-learn's {name}, imported", found, expected.tolist())
        if name == "three":
            assert classes == list(net.predict(x)), "another class"


def in_torch(work):
    """The README's lines, unchanged, and its `predict` on raw numbers."""
    import torch

    path = work / "numbers.csv"
    draw = random.Random(3)
    with open(path, "w") as file:
        file.write("a,b,c,d,y,kind\n")
        for i in range(400):
            a, b, c, d = draw.gauss(50, 9), draw.gauss(-3, 0.1), draw.random(), draw.choice([0, 1])
            y = a / 10 + 5 * b + c * d
            file.write(f"{a if i % 9 else ''},{b},{c},{d},{y},{'hi' if y > -9 else 'lo' if y > -10 else 'mid'}\n")
    cases = {
        "value": ["--target", "y", "--ignore", "kind", "--layers", "8:gelu,8:elu", "--norm", "batch"],
        "normal": ["--target", "y", "--ignore", "kind", "--loss", "gaussian-nll", "--ensemble", "2"],
        "kinds": ["--target", "kind", "--ignore", "y", "--layers", "8:selu", "--norm", "layer", "--ensemble", "3"],
    }
    with open(path, newline="") as file:
        cells = [[float(row[c] or "nan") for c in "abcd"] for row in csv.DictReader(file)]
    rows = torch.tensor(cells, dtype=torch.float64)
    for name, options in cases.items():
        run, out = str(work / f"torch-{name}"), work / f"torch-{name}-out"
        wgrad("train", str(path), *OPTIONS, *options, "--out", run)
        wgrad("export", run, "--format", "pytorch", "-o", str(out))
        lines = re.search(r"```python\n(.*?)```", (out / "README.md").read_text(), re.S).group(1)
        before = os.getcwd()
        os.chdir(out)
        scope = {}
        exec(lines, scope)
        os.chdir(before)
        compare(f"PyTorch, {name}", scope["predict"](rows).tolist(), predicted(run, str(path))[0])
    from_torch(work)


def from_torch(work):
    """Nets of PyTorch, imported from files of torch.onnx and safetensors: the same predictions."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    # With a wide range, so that probabilities are far apart.
    rows = torch.randn(300, 5) * torch.tensor([1.0, 3.0, 0.2, 1.0, 5.0])
    with open(work / "five.csv", "w") as file:
        file.writelines(",".join(map(repr, row)) + "\n" for row in rows.tolist())
    nn = torch.nn
    nets = {
        "values": (nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2)), []),
        "softmax": (nn.Sequential(nn.Linear(5, 12), nn.ELU(), nn.Linear(12, 3), nn.Softmax(dim=1)), []),
        "sigmoid": (nn.Sequential(nn.Linear(5, 9), nn.LeakyReLU(), nn.Linear(9, 1), nn.Sigmoid()), []),
        "logits": (nn.Sequential(nn.Linear(5, 7), nn.Softplus(), nn.Linear(7, 4)), ["--task", "classification"]),
    }
    for name, (net, options) in nets.items():
        file, run = str(work / f"torch-import-{name}.onnx"), str(work / f"torch-import-{name}")
        net.eval()
        axes = {"x": {0: "N"}, "y": {0: "N"}}
        names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
        torch.onnx.export(net, rows[:1], file, opset_version=17, **names)
        wgrad("import", file, "--out", run, *options)
        expected = net(rows).detach()
        if name == "logits":
            expected = expected.softmax(dim=1)
        if name == "sigmoid":
            expected = torch.cat([1 - expected, expected], dim=1)
        found, classes = predicted(run, str(work / "five.csv"))
        compare(f"torch.onnx, {name}, imported", found, expected.tolist())
        if name != "values":
            assert [int(c) for c in classes] == expected.argmax(dim=1).tolist(), "another class"
    file, run = str(work / "torch-state.safetensors"), str(work / "torch-state")
    net = nn.Sequential(nn.Linear(5, 10), nn.Tanh(), nn.Linear(10, 10), nn.Tanh(), nn.Linear(10, 3))
    save_file(net.state_dict(), file)
    wgrad("import", file, "--out", run, "--activation", "tanh", "--task", "classification")
    expected = net(rows).softmax(dim=1).tolist()
    compare("a PyTorch state dict, imported", predicted(run, str(work / "five.csv"))[0], expected)


if __name__ == "__main__":
    {"onnx": in_onnxruntime, "torch": in_torch}[sys.argv[1]](Path(sys.argv[2]))
