"""Reads the events of scripts/tensorboard with TensorBoard's reader, and compares them with metrics.jsonl."""

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.util import tensor_util

work = Path(sys.argv[1])
multiplexer = plugin_event_multiplexer.EventMultiplexer(
    tensor_size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0},
    purge_orphaned_data=False,
)
multiplexer.AddRunsFromDirectory(str(work / "logs")).Reload()
runs = multiplexer.Runs()
assert sorted(runs) == ["digits", "nets", "nets/net-1", "nets/net-2"], sorted(runs)
tags = runs["digits"]["tensors"]


def tensors(tag, run="digits"):
    return [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in multiplexer.Tensors(run, tag)]


lines = (work / "digits" / "metrics.jsonl").read_text().splitlines()
epochs = [event for event in map(json.loads, lines) if event["event"] == "epoch"]
assert len(epochs) == 6
for tag, name in [
    ("loss/train", "train_loss"),
    ("loss/valid", "valid_loss"),
    ("metrics/accuracy", "accuracy"),
    ("learning_rate", "lr"),
    ("samples_per_second", "samples_per_second"),
]:
    expected = [(epoch["step"], np.float32(epoch[name])) for epoch in epochs]
    found = [(step, np.float32(value)) for step, value in tensors(tag)]
    assert found == expected, (tag, found, expected)
for tag in ["gradient_norm/layers.0", "update_ratio/layers.1"]:
    assert [step for step, _ in tensors(tag)] == [epoch["step"] for epoch in epochs], tag
for tag, count in [("layers.0.weight", 32 * 64), ("layers.1.bias", 10)]:
    histograms = tensors(tag)
    assert len(histograms) == 6, tag
    for _, buckets in histograms:
        # (buckets, 3): left, right, count.
        assert buckets.shape[1] == 3 and buckets[:, 2].sum() == count, (tag, buckets)
# One at the end of each of the two trainings.
images = tensors("confusion_matrix")
assert len(images) == 2
width, height, png = images[-1][1]
image = Image.open(io.BytesIO(png))
assert image.size == (int(width), int(height)) and image.size[0] > 400
text = tensors("confusion_matrix/table")[-1][1].item().decode()
assert text.count("\n") == 12, text
assert "epochs = 3" in tensors("config")[0][1].item().decode()
plugins = {tag: multiplexer.SummaryMetadata("digits", tag).plugin_data.plugin_name for tag in tags}
assert {plugins[tag] for tag in ("loss/train", "layers.0.weight", "confusion_matrix", "config")} == {
    "scalars",
    "histograms",
    "images",
    "text",
}, plugins
print(f"TensorBoard reads {len(tags)} tags of {len(runs)} runs back, as metrics.jsonl has them")
