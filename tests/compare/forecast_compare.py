#!/usr/bin/env python3
"""Runs well-known Python forecasters at the origins of a predictions file of `evaluate`, and scores all alike.

usage: forecast_compare.py DIR PREDICTIONS [--models last,lightgbm,ridge,mstl,theta] [--every N] [--keep FILE]
needs numpy and pandas; lightgbm and statsforecast for the models of that name. With --keep, what the libraries say is
written there series by series, and read from there where it is known: they are slow, and scoring again is not.

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


def last(y, horizons, slot):
    return {(h, 0.5): y[-1] for h in horizons}


def ridge(y, horizons, slot):
    """Ridge on the logarithm of load."""
    scale = max(y[-WINDOW:].mean(), 1e-9)
    out = {}
    for h in horizons:
        x, target, known = design(np.log1p(y / scale), h, slot)
        mean, spread = x[known].mean(0), x[known].std(0) + 1e-9
        a, b = (x[known] - mean) / spread, target - target.mean()
        weights = np.linalg.solve(a.T @ a + 3 * np.eye(a.shape[1]), a.T @ b)
        value = np.clip((x[-1] - mean) / spread @ weights + target.mean(), 0, 1.5 * target.max())
        out[h, 0.5] = np.expm1(value) * scale
    return out


def lightgbm(y, horizons, slot):
    import lightgbm as lgb

    scale = max(y[-WINDOW:].mean(), 1e-9)
    shared = dict(num_leaves=15, learning_rate=0.08, min_data_in_leaf=15, num_threads=1, verbose=-1, seed=1)
    shared.update(feature_fraction=0.8, bagging_fraction=0.8, bagging_freq=1)
    out = {}
    for h in horizons:
        x, target, known = design(y / scale, h, slot)
        data = lgb.Dataset(x[known], target, free_raw_data=False)
        for level in (0.5, 0.9, 0.95):
            goal = dict(objective="l1") if level == 0.5 else dict(objective="quantile", alpha=level)
            out[h, level] = max(0.0, float(lgb.train({**shared, **goal}, data, 100).predict(x[-1:])[0])) * scale
    return out


def statsforecast(model):
    def run(y, horizons, slot):
        result = model().forecast(y=y[-WINDOW:].astype(float), h=max(horizons), level=[80, 90])
        names = {0.5: "mean", 0.9: "hi-80", 0.95: "hi-90"}
        return {(h, q): max(0.0, float(result[name][h - 1])) for h in horizons for q, name in names.items()}

    return run


def mstl():
    from statsforecast.models import MSTL, AutoETS

    return MSTL(season_length=[DAY], trend_forecaster=AutoETS(model="ZZN"))


def theta():
    from statsforecast.models import AutoTheta

    return AutoTheta(season_length=DAY, decomposition_type="additive")


MODELS = {"last": last, "ridge": ridge, "lightgbm": lightgbm, "mstl": statsforecast(mstl), "theta": statsforecast(theta)}
COLUMNS = "series origin h model quantile value".split()


def known_rows(path):
    """What was kept of earlier runs, by series, origin and model."""
    if not path or not os.path.exists(path):
        return {}
    kept = pd.read_csv(path, parse_dates=["origin"])
    return {key: group for key, group in kept.groupby(["series", "origin", "model"])}


def libraries(args, name, load_of, origins, horizons, kept):
    """Forecasts of the libraries for one series."""
    raw = load_of.values.astype(float)
    first = int(load_of.index[0].timestamp()) // STEP
    rows = []
    for origin in origins:
        at = int(origin.timestamp()) // STEP - first
        past = filled(raw[max(0, at + 1 - 2 * WINDOW) : at + 1])
        for model in args.models:
            if (name, origin, model) in kept:
                rows += kept[name, origin, model][COLUMNS].values.tolist()
                continue
            said = MODELS[model](past, horizons, first + at + 1 - len(past))
            rows += [[name, origin, h, model, q, v] for (h, q), v in said.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def compare(args):
    said = pd.read_csv(args.predictions, parse_dates=["origin"])
    said["h"] = said.horizon_seconds // STEP
    kept = known_rows(args.keep)
    tables = []
    for name, of_series in said.groupby("series"):
        load_of = load(args.folder, name)
        origins = sorted(of_series.origin.unique())[:: args.every]
        origins = [pd.Timestamp(o) for o in origins]
        ours = of_series[of_series.origin.isin(origins)][COLUMNS]
        theirs = libraries(args, name, load_of, origins, sorted(of_series.h.unique()), kept)
        both = pd.concat([ours, theirs], ignore_index=True)
        both["actual"] = load_of.reindex(both.origin + pd.to_timedelta(both.h * STEP, unit="s")).values
        tables.append(both.dropna())
        if args.keep:
            old = [g for key, g in kept.items() if key[0] != name or key[1] not in origins or key[2] not in args.models]
            kept.update({key: g for key, g in theirs.groupby(["series", "origin", "model"])})
            everything = pd.concat([*old, *(t[t.model.isin(MODELS)][COLUMNS] for t in tables)], ignore_index=True)
            everything.drop_duplicates(["series", "origin", "h", "model", "quantile"]).to_csv(args.keep, index=False)
        print("done", name, flush=True)
    return pd.concat(tables, ignore_index=True)


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
        covered = upper.assign(hit=upper.actual <= upper.value * (1 + 1e-6)).groupby(["series", "model"]).hit.mean().unstack()
        scores["coverage95"] = covered.mean()
        print(scores.sort_values("ratio").round(4).to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("predictions")
    parser.add_argument("--models", type=lambda text: text.split(","), default=["last", "ridge", "lightgbm"])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--keep")
    report(compare(parser.parse_args()))


if __name__ == "__main__":
    main()
