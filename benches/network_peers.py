"""CPU time of networks beside onnxruntime, in one run on one machine, one thread each.

    pip install torch==2.15.0 onnx==1.23.2 onnxscript onnxruntime==1.31.1 numpy
    cargo build --release
    python benches/network_peers.py target/release/forethought

Weights are random; how long a network takes does not depend on them. The first two are those that
docs/models.md names, at their full size.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/fixtures/onnx"))

import make_torch
import numpy as np
import onnxruntime
import torch
from torch import nn

ROWS = [1, 64]


class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(8, 64, num_layers=2, batch_first=True)
        self.out = nn.Linear(64, 9)

    def forward(self, window):
        x, _ = self.gru(window)
        return self.out(x[:, -1])


NETWORKS = [
    ("LSTM(64)-LSTM(32), 60 x 8", make_torch.Lstm, (60, 8), ["forecast"]),
    ("3 bidirectional LSTM(128), attention, 60 x 50", lambda: make_torch.BiLstm(128), (60, 50), ["short", "medium", "long", "sure"]),
    ("2 GRU(64), 60 x 8", Gru, (60, 8), ["forecast"]),
    ("perceptron 64-24-8-24-64", make_torch.Autoencoder, (64,), ["again"]),
    ("transformer 48 x 6", make_torch.Transformer, (48, 6), ["forecast"]),
]


def cpu():
    return sum(os.times()[:2])


def onnxruntime_seconds(path, shape, rows):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    window = {"window": make_torch.rows(rows, int(np.prod(shape))).reshape(rows, *shape)}
    session.run(None, window)
    start, runs = cpu(), 0
    while cpu() - start < 1:
        session.run(None, window)
        runs += 1
    return (cpu() - start) / runs


def main():
    program = sys.argv[1]
    print(f"{'network':<48} {'rows':>5} {'ms':>9} {'onnxruntime':>12} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name, make, shape, outputs in NETWORKS:
            torch.manual_seed(1)
            path = pathlib.Path(folder) / "model.onnx"
            make_torch.export(make(), path, shape, outputs, True)
            row = ",".join(map(str, shape))
            shown = subprocess.run(
                [program, "bench", "network", str(path), f"--row={row}", f"--rows={','.join(map(str, ROWS))}"],
                check=True, capture_output=True, text=True,
            ).stdout
            for rows in ROWS:
                own = float(re.search(rf"^ *{rows} rows a run +([\d.]+) ms", shown, re.M)[1])
                other = 1e3 * onnxruntime_seconds(path, shape, rows)
                print(f"{name:<48} {rows:>5} {own:>9.3f} {other:>12.3f} {own / other:>6.1f}")
            print(f"{'':<48} {re.search(r'^1000 series.*', shown, re.M)[0]}")


main()
