// Charts over time: load with what is expected, and replicas. Drawn by uPlot on a canvas; colors come from the style
// sheet, so that both themes are one place's business.

import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { clock, number } from './format.js';
import { now } from './store.js';

/** A grid from the API (`start`, `step`, `values`) as [seconds, value] pairs' parts. */
export function grid(series) {
  if (!series) return { t: [], v: [] };
  const start = Date.parse(series.start) / 1000, step = series.step.secs;
  return { t: series.values.map((_, i) => start + i * step), v: series.values };
}

/** The value of a forecast's row at a level, linear between the levels it was made for. */
function quantile(levels, row, level) {
  let i = levels.findIndex((l) => l >= level);
  if (i < 0) return row[row.length - 1];
  if (i === 0 || levels[i] === level) return row[i];
  const share = (level - levels[i - 1]) / (levels[i] - levels[i - 1]);
  return row[i - 1] + (row[i] - row[i - 1]) * share;
}

/** Values of another grid at the slots of `t`; grids may begin at different moments of a step. */
function align(t, step, other) {
  const slot = (x) => Math.floor(Math.round(x) / step);
  const bySlot = new Map(other.t.map((x, i) => [slot(x), other.v[i]]));
  return t.map((x) => bySlot.get(slot(x)) ?? null);
}

/** Columns for the chart of load: time, measured, capacity, expected before, and the quantiles ahead. */
export function loadColumns(metric, seconds, aheadSeconds) {
  const past = grid(metric.recent);
  const end = past.t.length ? past.t[past.t.length - 1] : now() / 1000;
  const from = end - seconds;
  const first = Math.max(0, past.t.findIndex((t) => t >= from));
  const t = past.t.slice(first), load = past.v.slice(first);
  const at = (series) => align(t, metric.recent?.step.secs ?? 1, grid(series));
  const capacity = at(metric.capacity), hindcast = at(metric.hindcast);
  const q = { low: [], midLow: [], mid: [], midHigh: [], high: [] };
  for (const k of Object.keys(q)) q[k] = t.map(() => null);
  const f = metric.forecast;
  if (f) {
    const levels = f.levels, lowest = levels[0], highest = levels[levels.length - 1];
    // The fan opens from the last measured point, so that eyes can follow it.
    const last = load.length - 1;
    if (last >= 0 && load[last] !== null) for (const k of Object.keys(q)) q[k][last] = load[last];
    const origin = Date.parse(f.origin) / 1000, step = f.step.secs;
    const lastCapacity = capacity.filter((c) => c !== null).pop() ?? null;
    f.rows.forEach((row, i) => {
      const x = origin + i * step;
      if (x <= end || x > end + aheadSeconds) return;
      t.push(x); load.push(null); hindcast.push(null);
      capacity.push(lastCapacity !== null && x - end < step * 1.5 ? lastCapacity : null);
      q.low.push(quantile(levels, row, lowest));
      q.midLow.push(quantile(levels, row, Math.max(lowest, 0.25)));
      q.mid.push(quantile(levels, row, 0.5));
      q.midHigh.push(quantile(levels, row, Math.min(highest, 0.75)));
      q.high.push(quantile(levels, row, highest));
    });
  }
  return [t, load, capacity, hindcast, q.high, q.low, q.midHigh, q.midLow, q.mid];
}

export function replicaColumns(policy, seconds) {
  const ready = grid(policy.readyReplicas), wanted = grid(policy.desiredReplicas);
  const end = ready.t.length ? ready.t[ready.t.length - 1] : now() / 1000;
  const first = Math.max(0, ready.t.findIndex((t) => t >= end - seconds));
  const t = ready.t.slice(first);
  return [t, ready.v.slice(first), align(t, policy.readyReplicas?.step.secs ?? 1, wanted)];
}

/** The color that a custom property has in the theme of now. */
function color(name, alpha = 1) {
  const probe = document.createElement('i');
  probe.className = `probe-${name}`;
  document.body.append(probe);
  const rgb = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).join(' ');
  probe.remove();
  return `rgb(${rgb} / ${alpha})`;
}

const axis = (font, extra) => ({
  font, stroke: color('muted'), grid: { stroke: color('line'), width: 1 }, ticks: { show: false }, ...extra,
});

function timeAxis(font) {
  return axis(font, {
    grid: { show: false }, size: 28, gap: 6, space: 70,
    values: (u, splits) => {
      const range = u.scales.x.max - u.scales.x.min;
      return splits.map((s) => {
        const d = new Date(s * 1000);
        const midnight = d.getHours() === 0 && d.getMinutes() === 0;
        if (range > 3 * 86400 || midnight) return new Intl.DateTimeFormat('en', { weekday: 'short', day: 'numeric' }).format(d);
        return clock(s * 1000, s * 1000);
      });
    },
  });
}

/** Shades the time that decisions look ahead over, and marks now. */
function nowMarks(lead) {
  const x = (u, s) => Math.round(u.valToPos(s, 'x', true));
  return {
    hooks: {
      drawClear: (u) => {
        const s = now() / 1000;
        if (!lead || s > u.scales.x.max) return;
        const { ctx, bbox } = u;
        const from = Math.max(bbox.left, x(u, s)), to = Math.min(bbox.left + bbox.width, x(u, s + lead));
        ctx.save();
        ctx.fillStyle = color('lead', 0.13);
        ctx.fillRect(from, bbox.top, Math.max(2, to - from), bbox.height);
        ctx.restore();
      },
      draw: (u) => {
        const at = x(u, now() / 1000), { ctx, bbox } = u;
        if (at < bbox.left || at > bbox.left + bbox.width) return;
        ctx.save();
        ctx.strokeStyle = color('muted', 0.7);
        ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
        ctx.lineWidth = devicePixelRatio;
        ctx.beginPath(); ctx.moveTo(at, bbox.top); ctx.lineTo(at, bbox.top + bbox.height); ctx.stroke();
        ctx.restore();
      },
    },
  };
}

/** Small marks where replicas were changed. */
function scaleMarks(decisions) {
  return {
    hooks: {
      draw: (u) => {
        const { ctx, bbox } = u, size = 4 * devicePixelRatio;
        ctx.save();
        for (const d of decisions()) {
          const s = Date.parse(d.at) / 1000;
          if (d.outcome !== 'Scaled' || s < u.scales.x.min || s > u.scales.x.max) continue;
          const x = u.valToPos(s, 'x', true), up = d.to > d.from, y = bbox.top + bbox.height - (up ? 2 : 2 + size) * 1;
          ctx.fillStyle = up ? color('forecast') : color('muted');
          ctx.beginPath();
          ctx.moveTo(x - size, up ? y : y - 0); ctx.lineTo(x + size, up ? y : y - 0); ctx.lineTo(x, up ? y - size * 1.4 : y + size * 1.4);
          ctx.fill();
        }
        ctx.restore();
      },
    },
  };
}

function loadOptions(unit, lead) {
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const thin = { points: { show: false }, spanGaps: false };
  const stepped = uPlot.paths.stepped({ align: 1 });
  const edge = { ...thin, width: 0, stroke: 'transparent' };
  return {
    series: [
      {},
      { ...thin, label: 'load', stroke: color('load'), width: 2 },
      { ...thin, label: 'capacity', stroke: color('capacity'), width: 1.5, paths: stepped },
      { ...thin, label: 'expected before', stroke: color('forecast', 0.75), width: 1, dash: [2, 3] },
      edge, edge, edge, edge,
      { ...thin, label: 'expected', stroke: color('forecast'), width: 2, dash: [6, 4] },
    ],
    bands: [
      { series: [4, 5], fill: color('forecast', 0.14) },
      { series: [6, 7], fill: color('forecast', 0.22) },
    ],
    axes: [timeAxis(font), axis(font, { size: 58, values: (u, vs) => vs.map((v) => number(v)), label: undefined })],
    scales: { x: { time: true }, y: { range: (u, lo, hi) => [0, (hi || 1) * 1.08] } },
    plugins: [nowMarks(lead)],
  };
}

function replicaOptions(decisions, limits) {
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const stepped = uPlot.paths.stepped({ align: 1 });
  const thin = { points: { show: false } };
  return {
    series: [
      {},
      { ...thin, label: 'ready', stroke: color('capacity'), fill: color('capacity', 0.15), width: 2, paths: stepped },
      { ...thin, label: 'wanted', stroke: color('ink', 0.8), width: 1.25, dash: [4, 3], paths: stepped },
    ],
    axes: [timeAxis(font), axis(font, { size: 58, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], space: 26 })],
    scales: { x: { time: true }, y: { range: (u, lo, hi) => [0, Math.max(hi || 1, limits().min, 2) * 1.15] } },
    plugins: [nowMarks(0), scaleMarks(decisions)],
  };
}

const sync = () => uPlot.sync('time');

/** One chart; `make` gives options and `columns` data. Made anew when the theme or `key` changes. */
export function Chart({ columns, make, height, label, remake, onCursor, xRange }) {
  const box = useRef(null), chart = useRef(null);
  const range = useRef(xRange);
  range.current = xRange;
  useEffect(() => {
    const build = () => {
      chart.current?.destroy();
      const options = make();
      options.scales.x.range = () => range.current;
      chart.current = new uPlot({
        width: box.current.clientWidth, height, legend: { show: false },
        cursor: { sync: { key: sync().key }, drag: { x: false, y: false }, points: { size: 6 }, y: false },
        ...options,
        hooks: { setCursor: [(u) => onCursor?.(u.cursor.idx ?? null)] },
      }, columns, box.current);
    };
    build();
    const resize = new ResizeObserver(() => {
      if (box.current && chart.current) chart.current.setSize({ width: box.current.clientWidth, height });
    });
    resize.observe(box.current);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', build);
    document.addEventListener('foresail:theme', build);
    return () => {
      resize.disconnect();
      scheme.removeEventListener('change', build);
      document.removeEventListener('foresail:theme', build);
      chart.current?.destroy();
      chart.current = null;
    };
  }, [remake, height]);
  useEffect(() => { chart.current?.setData(columns); }, [columns]);
  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}

export function LoadChart({ metric, columns, lead, height, label, xRange, remake }) {
  const [at, setAt] = useState(null);
  const last = columns[1].findLastIndex((v) => v !== null);
  const i = at ?? (last < 0 ? 0 : last);
  const value = (c) => columns[c]?.[i];
  const fan = value(4) !== null && value(4) !== undefined && value(1) === null;
  return html`<div>
    <div class="legend">
      <span class="when">${columns[0][i] ? clock(columns[0][i] * 1000, now()) : ''}</span>
      ${value(1) !== null && html`<span class="key load">load <b>${number(value(1))}</b></span>`}
      ${value(2) !== null && value(2) !== undefined && html`<span class="key capacity">capacity <b>${number(value(2))}</b></span>`}
      ${value(3) !== null && value(3) !== undefined && html`<span class="key before">expected before <b>${number(value(3))}</b></span>`}
      ${fan && html`<span class="key forecast">expected <b>${number(value(8))}</b> <span class="range">${number(value(5))} to ${number(value(4))}</span></span>`}
      <span class="unit">${metric.unit}</span>
    </div>
    <${Chart} columns=${columns} make=${() => loadOptions(metric.unit, lead)} height=${height} label=${label} onCursor=${setAt} xRange=${xRange} remake=${remake}/>
  </div>`;
}

export function ReplicaChart({ columns, policy, height, label, xRange, remake }) {
  const latest = useRef(policy);
  latest.current = policy;
  const [at, setAt] = useState(null);
  const last = columns[1].length - 1;
  const i = at !== null && at <= last ? at : last;
  return html`<div>
    <div class="legend">
      <span class="when">${columns[0][i] ? clock(columns[0][i] * 1000, now()) : ''}</span>
      <span class="key capacity">ready <b>${number(columns[1][i])}</b></span>
      <span class="key wanted">wanted <b>${number(columns[2][i])}</b></span>
      <span class="key mark">scaled</span>
    </div>
    <${Chart} columns=${columns} make=${() => replicaOptions(() => latest.current.decisions, () => latest.current.replicas)} height=${height} label=${label} onCursor=${setAt} xRange=${xRange} remake=${remake}/>
  </div>`;
}
