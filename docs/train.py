"""Trains a network of your own with PyTorch, and writes it as a version of a model: the ONNX file and its manifest.

    pip install torch onnx onnxscript numpy
    python train.py trace.csv --step=5m --horizons=1h,24h --model=checkout --directory=models
    forethought models verify checkout 1 --models.directory=models
    forethought models promote checkout 1 --models.directory=models

The CSV file has a column `timestamp` (seconds since the epoch) and one of values. Replace `Network` by whatever you like: what
must stay is that it takes `(N, window, features)`, scaled as below, and answers `(N, horizons, quantiles)`. Features and scaling
are those of `forethought` (docs/models.md, src/features): what is trained on is then what the running process asks with.
"""

import argparse
import csv
import datetime
import gzip
import hashlib
import json
import pathlib

import numpy as np
import torch
from torch import nn

FEATURES = ["value", "day_sin_1", "day_cos_1", "day_sin_2", "day_cos_2", "week_sin_1", "week_cos_1"]
LEVELS = [0.1, 0.5, 0.9]
FLOOR = 0.001
DAY, WEEK = 86_400, 604_800
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": DAY, "w": WEEK}


class Network(nn.Module):
    def __init__(self, horizons, hidden=48):
        super().__init__()
        self.horizons = horizons
        self.gru = nn.GRU(len(FEATURES), hidden, batch_first=True)
        self.out = nn.Linear(hidden, horizons * len(LEVELS))

    def forward(self, window):
        x, _ = self.gru(window.clamp(-10, 10))
        x = self.out(x[:, -1]).reshape(-1, self.horizons, len(LEVELS))
        # The median as it is, the others as positive steps away from it: they never cross.
        middle, steps = x[..., 1:2], nn.functional.softplus(x)
        return torch.cat([middle - steps[..., :1], middle, middle + steps[..., 2:]], -1)


def seconds(span):
    return int(span[:-1]) * UNITS[span[-1]]


def series(path, step):
    """Times and values on the grid; what is missing is NaN."""
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    with opened as lines:
        rows = list(csv.DictReader(lines))
    column = next(name for name in rows[0] if name != "timestamp")
    places = np.array([int(float(row["timestamp"])) // step for row in rows])
    values = np.full(places.max() - places.min() + 1, np.nan)
    values[places - places.min()] = [float(row[column] or "nan") for row in rows]
    return (places.min() + np.arange(len(values))) * step, values


def features(times, values):
    """One row a time, in the order of FEATURES; the wall clock is UTC, and weeks begin on Monday."""
    day, week = 2 * np.pi * (times % DAY) / DAY, 2 * np.pi * ((times + 3 * DAY) % WEEK) / WEEK
    columns = [values, np.sin(day), np.cos(day), np.sin(2 * day), np.cos(2 * day), np.sin(week), np.cos(week)]
    return np.stack(columns, 1)


def samples(rows, window, horizons, places):
    """Scaled windows that end at these places, what followed in the same units, and how much each counts."""
    windows, targets, weights = [], [], []
    for place in places:
        own = rows[place + 1 - window : place + 1].copy()
        known = ~np.isnan(own[:, 0])
        if known.sum() < (window + 1) // 2:
            continue
        mean, deviation = own[known, 0].mean(), own[known, 0].std()
        deviation = max(deviation, FLOOR * abs(mean))
        if deviation == 0:
            continue
        # A missing value is the one before it; the first ones are the first that is known.
        last = np.maximum.accumulate(np.where(known, np.arange(window), known.argmax()))
        own[:, 0] = (own[last, 0] - mean) / deviation
        windows.append(own)
        targets.append((rows[place + horizons, 0] - mean) / deviation)
        weights.append(deviation)
    # In units of the series and not of the window: what is judged is the error itself.
    weights = np.minimum(np.array(weights) / np.nanstd(rows[:, 0]), 10)
    return [torch.tensor(np.array(part), dtype=torch.float32) for part in (windows, targets, weights)]


def pinball(quantiles, targets, weights):
    errors = targets[..., None] - quantiles
    levels = torch.tensor(LEVELS)
    losses = torch.maximum(levels * errors, (levels - 1) * errors) * weights[:, None, None]
    return losses[~torch.isnan(losses)].mean()


def train(network, learning, stopping, epochs):
    adam = torch.optim.AdamW(network.parameters(), 2e-3)
    best, kept = np.inf, None
    for epoch in range(epochs):
        for batch in torch.randperm(len(learning[0])).split(256):
            adam.zero_grad()
            pinball(network(learning[0][batch]), *(part[batch] for part in learning[1:])).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            adam.step()
        with torch.no_grad():
            loss = pinball(network(stopping[0]), *stopping[1:]).item()
        print(f"epoch {epoch + 1}: {loss:.4f} on later days")
        if loss < best:
            best, kept = loss, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)


def shown(at):
    return datetime.datetime.fromtimestamp(int(at), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=pathlib.Path)
    parser.add_argument("--step", default="1m")
    parser.add_argument("--window", type=int, default=60)
    parser.add_argument("--horizons", default="15m,1h")
    parser.add_argument("--model", default="checkout")
    parser.add_argument("--version", default="1")
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path("models"))
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    torch.manual_seed(1)
    step, horizons = seconds(asked.step), asked.horizons.split(",")
    steps = np.array([seconds(horizon) // step for horizon in horizons])
    times, values = series(asked.csv, step)
    rows = features(times, values)
    # Six sevenths to learn from, one to stop by: time is never shuffled.
    split, end = len(rows) * 6 // 7, len(rows) - steps.max()
    every = max(1, split // 20_000)
    learning = samples(rows, asked.window, steps, range(asked.window - 1, split - steps.max(), every))
    stopping = samples(rows, asked.window, steps, range(split, end, every))
    network = Network(len(horizons))
    train(network, learning, stopping, asked.epochs)

    folder = asked.directory / asked.model / asked.version
    folder.mkdir(parents=True)
    network.eval()
    torch.onnx.export(
        network,
        (torch.zeros(2, asked.window, len(FEATURES)),),
        str(folder / "model.onnx"),
        input_names=["window"],
        output_names=["forecast"],
        opset_version=18,
        dynamo=True,
        external_data=False,
        dynamic_shapes={"window": {0: torch.export.Dim("batch")}},
    )
    manifest = {
        "format": 1,
        "name": asked.model,
        "version": asked.version,
        "created": shown(datetime.datetime.now().timestamp()),
        "step": asked.step,
        "window": asked.window,
        "features": FEATURES,
        "batch": "dynamic",
        "outputs": {"heads": [{"name": "forecast", "horizons": horizons, "quantiles": LEVELS}]},
        "scaling": {"window": {"floor": FLOOR}},
        "data": {"from": shown(times[0]), "to": shown(times[-1]), "series": 1},
        "sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{folder}: model.onnx and manifest.json")


main()
