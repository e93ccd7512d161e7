#!/usr/bin/env python3
"""Runs well-known Python forecasters at the origins of a predictions file of `evaluate`, and scores all alike.

usage: forecast_compare.py DIR PREDICTIONS [--models last,lightgbm,ridge,mstl,theta] [--every N]
needs numpy and pandas; lightgbm and statsforecast for the models of that name.

An origin is the time of the newest row seen; a forecast at horizon h is of the row at origin + h. Rows finer than five minutes
are averaged. Scores: geometric mean over series of the MAE over that of the seasonal naive (day), median WAPE, and the mean
over series of the pinball loss at .95 over mean load where a model has quantiles.
"""
import argparse
import os
import warnings

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(threads, "1")
warnings.filterwarnings("ignore")
import numpy as np
import pandas as pd

STEP = 300
DAY = 86400 // STEP
WINDOW = 7 * DAY


def load(folder, name):
    table = pd.read_csv(os.path.join(folder, name + ".csv"), parse_dates=["timestamp"])
    return table.set_index("timestamp").value.resample(f"{STEP}s").mean()


def filled(y):
    """Long gaps from a day earlier, short ones by a line."""
    y = y.copy()
    gap = ~np.isfinite(y)
    for i in np.flatnonzero(gap):
        if i >= DAY and gap[max(0, i - 6) : i + 7].sum() > 6:
            y[i] = y[i - DAY]
    return pd.Series(y).interpolate(limit_direction="both").values


def design(y, h, slot):
    """Rows of lag, seasonal and calendar features for all origins in the window, and the targets known by its end."""
    n = len(y)
    i = np.arange(max(n - WINDOW, 12), n)
    total = np.r_[0.0, np.cumsum(y)]

    def mean(width):
        return (total[i + 1] - total[np.maximum(i + 1 - width, 0)]) / np.minimum(width, i + 1)

    def at(j):
        return np.where(j >= 0, y[np.maximum(j, 0)], mean(DAY))

    day = at(i + h - DAY)
    columns = [y[i - k] for k in (0, 1, 2, 3, 5, 11)] + [mean(w) for w in (3, 12, 36, DAY)]
    columns += [day, at(i + h - 2 * DAY), at(i + h - 7 * DAY), day - at(i - DAY), at(i + h - 7 * DAY) - at(i - 7 * DAY)]
    columns += [np.median([at(i + h - k * DAY) for k in range(1, 6)], axis=0), y[i] - y[i - 3], y[i] - y[i - 11]]
    of_day = 2 * np.pi * ((slot + i + h) % DAY) / DAY
    of_week = 2 * np.pi * ((slot + i + h) % (7 * DAY)) / (7 * DAY)
    for k in (1, 2, 3, 4):
        columns += [np.sin(k * of_day), np.cos(k * of_day)]
    for k in (1, 2):
        columns += [np.sin(k * of_week), np.cos(k * of_week)]
    known = i + h < n
    return np.column_stack(columns), y[(i + h)[known]], known


def last(y, h, slot):
    return {0.5: y[-1]}


def ridge(y, h, slot):
    """Ridge on the logarithm of load."""
    scale = max(y[-WINDOW:].mean(), 1e-9)
    x, target, known = design(np.log1p(y / scale), h, slot)
    mean, spread = x[known].mean(0), x[known].std(0) + 1e-9
    a, b = (x[known] - mean) / spread, target - target.mean()
    weights = np.linalg.solve(a.T @ a + 3 * np.eye(a.shape[1]), a.T @ b)
    value = np.clip((x[-1] - mean) / spread @ weights + target.mean(), 0, 1.5 * target.max())
    return {0.5: np.expm1(value) * scale}


def lightgbm(y, h, slot):
    import lightgbm as lgb

    scale = max(y[-WINDOW:].mean(), 1e-9)
    x, target, known = design(y / scale, h, slot)
    data = lgb.Dataset(x[known], target, free_raw_data=False)
    shared = dict(num_leaves=15, learning_rate=0.08, min_data_in_leaf=15, num_threads=1, verbose=-1, seed=1)
    shared.update(feature_fraction=0.8, bagging_fraction=0.8, bagging_freq=1)
    out = {}
    for level in (0.5, 0.9, 0.95):
        goal = dict(objective="l1") if level == 0.5 else dict(objective="quantile", alpha=level)
        out[level] = max(0.0, float(lgb.train({**shared, **goal}, data, 100).predict(x[-1:])[0])) * scale
    return out


def statsforecast(model):
    def run(y, h, slot):
        result = model().forecast(y=y[-WINDOW:].astype(float), h=h, level=[80, 90])
        return {0.5: max(0, result["mean"][-1]), 0.9: max(0, result["hi-80"][-1]), 0.95: max(0, result["hi-90"][-1])}

    return run


def mstl():
    from statsforecast.models import MSTL, AutoETS

    return MSTL(season_length=[DAY], trend_forecaster=AutoETS(model="ZZN"))


def theta():
    from statsforecast.models import AutoTheta

    return AutoTheta(season_length=DAY, decomposition_type="additive")


MODELS = {"last": last, "ridge": ridge, "lightgbm": lightgbm, "mstl": statsforecast(mstl), "theta": statsforecast(theta)}


def compare(args):
    said = pd.read_csv(args.predictions, parse_dates=["origin"])
    rows = []
    for name, of_series in said.groupby("series"):
        load_of = load(args.folder, name)
        raw = load_of.values.astype(float)
        first = int(load_of.index[0].timestamp()) // STEP
        for origin in sorted(of_series.origin.unique())[:: args.every]:
            at = int(pd.Timestamp(origin).timestamp()) // STEP - first
            here = of_series[of_series.origin == origin]
            past = filled(raw[max(0, at + 1 - 2 * WINDOW) : at + 1])
            for seconds in sorted(here.horizon_seconds.unique()):
                h = int(seconds) // STEP
                if at + h >= len(raw) or not np.isfinite(raw[at + h]):
                    continue
                actual = raw[at + h]
                for model, group in here[here.horizon_seconds == seconds].groupby("model"):
                    rows += [(name, h, model, q, actual, v) for q, v in zip(group["quantile"], group["value"])]
                for model in args.models:
                    for q, v in MODELS[model](past, h, first + at + 1 - len(past)).items():
                        rows.append((name, h, model, q, actual, v))
        print("done", name, flush=True)
    return pd.DataFrame(rows, columns="series h model quantile actual value".split())


def report(table):
    over = table.actual - table.value
    table["loss"] = np.maximum(table["quantile"] * over, (table["quantile"] - 1) * over)
    for h, of_horizon in table.groupby("h"):
        print(f"\n{h * STEP // 60} min ahead")
        median = of_horizon[of_horizon["quantile"] == 0.5]
        mae = (2 * median.groupby(["series", "model"]).loss.mean()).unstack()
        size = median.groupby("series").actual.mean()
        upper = of_horizon[of_horizon["quantile"] == 0.95]
        pinball = upper.groupby(["series", "model"]).loss.mean().unstack().div(size, axis=0).mean()
        ratio = np.exp(np.log(mae.div(mae["seasonal-naive-day"], axis=0).clip(lower=1e-3)).mean())
        scores = pd.DataFrame(dict(ratio=ratio, wape_median=mae.div(size, axis=0).median(), pinball95=pinball))
        scores["worst_vs_last"] = mae.div(mae["last-value"], axis=0).max()
        print(scores.sort_values("ratio").round(4).to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("predictions")
    parser.add_argument("--models", type=lambda text: text.split(","), default=["last", "ridge", "lightgbm"])
    parser.add_argument("--every", type=int, default=1)
    report(compare(parser.parse_args()))


if __name__ == "__main__":
    main()
