"""CPU time of the default ensemble beside statsforecast and Prophet, in one run on one machine.

    pip install statsforecast prophet pandas numpy
    cargo build --release
    python benches/forecast_peers.py DATA target/release/forethought

DATA is the folder that `forethought bench forecast --help` describes. One window of each reference series is fitted
and forecast a day ahead (288 steps) by AutoETS, AutoTheta, AutoARIMA and MSTL of statsforecast and by Prophet, each
once before it is measured, on one thread. Of forethought it is what `bench forecast` prints: a cold fit with
everything (calibration included), and a step. The served path is a day: a fit every six hours, a step every minute
for us; for them a fit every six hours alone.
"""

import logging
import os
import re
import subprocess
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NIXTLA_ID_AS_COL", "1")

import numpy as np
import pandas as pd
from prophet import Prophet
from statsforecast.models import MSTL, AutoARIMA, AutoETS, AutoTheta

logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
DAY, STEP = 288, "5min"
FILES = {
    "nasa_http": ("traces/nasa_http_1min.csv.gz", "value", None),
    "wc98_pre": ("traces/wc98_pre_1min.csv.gz", "value", None),
    "alibaba2018_cpu": ("traces/alibaba2018_cluster_30s.csv.gz", "cpu_util_percent", None),
    "google2019_cpu": ("traces/google2019_cell_5min.csv.gz", "avg_cpu", None),
    "bitbrains_vm43_cpu": ("traces/bitbrains_rnd201308_5min.csv.xz", "cpu_pct", "vm43"),
    "kpi_cpu4": ("kpi/cpu4.csv.gz", "value", None),
}


def window(data, name, file, column, owner):
    table = pd.read_csv(f"{data}/{file}")
    if owner:
        table = table[table.series == owner]
    index = pd.to_datetime(table.timestamp, unit="s")
    series = pd.Series(table[column].to_numpy(float), index=index).resample(STEP).mean()
    windows = pd.read_csv(f"{data}/reference_forecast_windows.csv")
    row = windows[windows.series == f"public/{name}"].iloc[-1]
    before = series[series.index < pd.Timestamp(row.origin)].iloc[-int(row.H):]
    return before.interpolate().bfill()


def cpu(work):
    # Prophet's search is a process of its own.
    start = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - start


def prophet(values):
    frame = pd.DataFrame({"ds": values.index, "y": values.to_numpy()})
    model = Prophet()
    model.fit(frame)
    model.predict(model.make_future_dataframe(DAY, freq=STEP, include_history=False))


def main(data, program):
    models = {
        "AutoETS": lambda: AutoETS(season_length=1),
        "AutoTheta": lambda: AutoTheta(season_length=DAY),
        "AutoARIMA": lambda: AutoARIMA(season_length=1),
        "MSTL": lambda: MSTL(season_length=DAY),
    }
    totals = {name: [] for name in [*models, "Prophet"]}
    # Compiled once, before anything is measured.
    warm = np.sin(np.arange(3 * DAY) / 40.0) + np.arange(3 * DAY) % 7
    for make in models.values():
        make().forecast(y=warm, h=3, level=[80])
    for name, source in FILES.items():
        values = window(data, name, *source)
        y = values.to_numpy()
        for model, make in models.items():
            totals[model].append(cpu(lambda: make().forecast(y=y, h=DAY, level=[80])))
        totals["Prophet"].append(cpu(lambda: prophet(values)))
    seconds = {name: float(np.mean(times)) for name, times in totals.items()}
    for name, value in seconds.items():
        print(f"{name:<12} {value:8.3f} s a fit and forecast")
    printed = subprocess.run(
        [program, "bench", "forecast", "--data", data, "--only", "default", "--without-m4"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    line = re.search(r"^default .*$", printed, re.MULTILINE).group().split()
    fit, step = float(line[-2]) / 1e3, float(line[-1]) / 1e6
    four = sum(seconds[name] for name in models)
    served = 4 * fit + 1440 * step
    print(f"{'forethought':<12} {fit:8.3f} s a cold fit, {step * 1e6:.1f} us a step")
    print(f"cold fit: {four / fit:.0f} times cheaper than the four, {seconds['Prophet'] / fit:.0f} than Prophet")
    print(f"a day served: {4 * four / served:.0f} times cheaper than the four")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), sys.argv[2])
