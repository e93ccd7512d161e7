// The page of one policy.

import { html, useEffect, useMemo, useRef, useState } from '../vendor/htm-preact.js';
import { state, get, now } from './store.js';
import { useStore, useTick, Chip, Time, Ago, Glyph, Empty, forecastWords, forecastSentence } from './parts.js';
import { LoadChart, ReplicaChart, loadColumns, replicaColumns } from './chart.js';
import { clock, number, percent, span, withUnit, expected } from './format.js';

const RANGES = [['3 h', 3 * 3600], ['12 h', 12 * 3600], ['2 days', 2 * 86400], ['7 days', 7 * 86400]];

/** A span in which the forecast takes up a good part of the chart, whether it knows an hour or a day. */
function fitting(forecast) {
  const horizon = forecast ? forecast.rows.length * forecast.step.secs : 8 * 3600;
  return (RANGES.find(([, s]) => s >= horizon * 1.5) ?? RANGES[RANGES.length - 1])[1];
}

/** The whole of one policy, fetched again when its row changes, at most once a second however often that is. */
function usePolicy(key) {
  const [policy, setPolicy] = useState(null);
  const [missing, setMissing] = useState(null);
  const renew = useRef(null);
  const row = state.policies.get(key);
  useEffect(() => {
    let gone = false, busy = false, stale = false;
    const [ns, name] = key.split('/').map(encodeURIComponent);
    renew.current = async () => {
      if (busy) { stale = true; return; }
      busy = true;
      stale = false;
      try {
        const fresh = await get(`policies/${ns}/${name}`);
        if (!gone) { setPolicy(fresh); setMissing(null); }
      } catch (error) { if (!gone && error.status === 404) setMissing(error.message); }
      setTimeout(() => { busy = false; if (stale && !gone) renew.current(); }, 1000);
    };
    setPolicy(null);
    setMissing(null);
    renew.current();
    return () => { gone = true; };
  }, [key]);
  useEffect(() => { renew.current(); }, [row?.updated]);
  return { policy, missing };
}

function Tiles({ p }) {
  const r = p.replicas, metric = p.metrics[0], s = forecastWords(metric?.forecastStatus);
  return html`<dl class="tiles">
    <div><dt>Replicas</dt><dd>${r.current}${r.desired !== r.current ? html`<span class="to"> → ${r.desired}</span>` : ''}</dd><dd class="note">${r.ready} ready · ${r.min} to ${r.max} allowed</dd></div>
    <div><dt>Need now</dt><dd>${number(p.need)}</dd><dd class="note">${p.driver || 'nothing to go by'}</dd></div>
    <div><dt>Load</dt><dd>${number(metric?.value)}<span class="of"> ${metric?.unit}</span></dd><dd class="note">${metric?.absence ? html`<span class="warn-text">${metric.absence.reason}</span>` : `${number(metric?.target)} per replica${metric?.ageSeconds !== null && metric?.ageSeconds !== undefined ? ` · ${span(metric.ageSeconds)} old` : ''}`}</dd></div>
    <div><dt>Forecast</dt><dd class="word">${s.word}</dd><dd class="note">${s.more || ' '}</dd></div>
    <div><dt>Next change</dt><dd>${p.nextChange ? html`<span class="nb">${expected(p.nextChange.at, now())}</span> <span class="to"> → ${p.nextChange.replicas}</span>` : '–'}</dd><dd class="note">${p.nextChange?.reason ?? 'none expected'}</dd></div>
    <div><dt>Pods ready within</dt><dd>${p.startup ? span(p.startup.p95Seconds) : '–'}</dd><dd class="note">looks ${span(p.leadTimeSeconds)} ahead</dd></div>
    <div><dt>Saved</dt><dd>${p.saved ? number(p.saved.replicaHours) : '–'}<span class="of"> replica-h</span></dd><dd class="note">${p.saved ? `against ${p.saved.against}` : 'not known yet'}</dd></div>
  </dl>`;
}

/** The same figures as the chart, for who can't see it. */
function Figures({ columns, unit }) {
  const n = columns[0].length, step = Math.max(1, Math.floor(n / 16));
  const rows = [];
  for (let i = n - 1; i >= 0; i -= step) rows.unshift(i);
  return html`<details class="figures"><summary>The chart as a table</summary><div class="scroll" tabindex="0" role="group" aria-label="Figures of the chart"><table><thead><tr><th scope="col">Time</th><th scope="col">Load${unit ? `, ${unit}` : ''}</th><th scope="col">Capacity</th><th scope="col">Expected</th><th scope="col">Between</th></tr></thead><tbody>
    ${rows.map((i) => html`<tr key=${columns[0][i]}><th scope="row">${clock(columns[0][i] * 1000, now())}</th><td>${number(columns[1][i])}</td><td>${number(columns[2][i])}</td><td>${number(columns[8][i] ?? columns[3][i])}</td><td>${columns[4][i] === null || columns[4][i] === undefined ? '–' : `${number(columns[5][i])} and ${number(columns[4][i])}`}</td></tr>`)}
  </tbody></table></div></details>`;
}

function Charts({ p, metric, setMetric }) {
  const [range, setRange] = useState(() => fitting(metric.forecast));
  const ahead = Math.max(p.leadTimeSeconds * 3, range / 3);
  const columns = useMemo(() => loadColumns(metric, range, ahead), [metric, range]);
  const replicas = useMemo(() => replicaColumns(p, range), [p, range]);
  const end = columns[0].length ? columns[0][columns[0].length - 1] : now() / 1000;
  const measured = columns[1].findLastIndex((v) => v !== null);
  const latest = measured >= 0 ? columns[0][measured] : now() / 1000;
  const xRange = [columns[0][0] ?? latest - range, Math.max(end, latest) + range * 0.02];
  const available = metric.recent ? metric.recent.values.length * metric.recent.step.secs : 0;
  const words = `Load of ${metric.name}: ${withUnit(metric.value, metric.unit)} now; ready replicas can carry ${withUnit(columns[2].filter((v) => v !== null).pop() ?? null, metric.unit)}. ${p.nextChange ? `Expected: ${p.nextChange.replicas} replicas ${expected(p.nextChange.at, now())}.` : ''}`;
  return html`<section class="panel" aria-labelledby="charts">
    <div class="panel-head"><h2 id="charts">Load, capacity and forecast</h2>
      ${p.metrics.length > 1 && html`<div class="segments" role="group" aria-label="Metric">${p.metrics.map((m) => html`<button key=${m.name} aria-pressed=${m.name === metric.name} onClick=${() => setMetric(m.name)}>${m.name}</button>`)}</div>`}
      <div class="segments" role="group" aria-label="Time shown">${RANGES.filter(([, s], i) => i < 2 || available > RANGES[i - 1][1]).map(([word, s]) => html`<button key=${s} aria-pressed=${s === range} onClick=${() => setRange(s)}>${word}</button>`)}</div>
    </div>
    <${LoadChart} metric=${metric} columns=${columns} lead=${p.leadTimeSeconds} height=${270} label=${words} xRange=${xRange} remake=${metric.name}/>
    <${Figures} columns=${columns} unit=${metric.unit}/>
    <h3 class="minor">Replicas</h3>
    <${ReplicaChart} columns=${replicas} policy=${p} height=${150} xRange=${xRange} remake=${p.name} label=${`Replicas over the same time: ${p.replicas.ready} ready, ${p.replicas.desired} wanted.`}/>
  </section>`;
}

const OUTCOME = { Scaled: 'scaled', Suggested: 'suggested', Held: 'held', Refused: 'refused' };

function Decisions({ list }) {
  const [all, setAll] = useState(false);
  const shown = all ? list : list.slice(0, 12);
  return html`<section class="panel" aria-labelledby="decisions"><div class="panel-head"><h2 id="decisions">Decisions</h2></div>
    ${list.length === 0 && html`<p class="nothing">Nothing changed or was held back yet.</p>`}
    <ol class="timeline">${shown.map((d) => {
      const way = d.to > d.from ? 'up' : d.to < d.from ? 'down' : 'same';
      return html`<li key=${d.at + d.outcome} class=${`${OUTCOME[d.outcome]} ${way}`}>
        <span class="at"><${Time} at=${d.at}/></span>
        <span class="move">${d.outcome === 'Held' ? html`held at <b>${d.from}</b>` : html`<b>${d.from}</b> → <b>${d.to}</b>`}${d.outcome === 'Suggested' || d.outcome === 'Refused' ? html` <${Chip} kind=${d.outcome === 'Refused' ? 'bad' : ''}>${OUTCOME[d.outcome]}</${Chip}>` : ''}<span class="driver">${d.driver}</span></span>
        <span class="why">${d.message}</span>
        ${d.limits.map((l) => html`<span key=${l.reason} class="limit"><b>${l.reason}</b> ${l.message}</span>`)}
        ${d.traceId && html`<span class="trace">trace <code>${d.traceId}</code></span>`}
      </li>`;
    })}</ol>
    ${list.length > 12 && html`<button class="more" onClick=${() => setAll(!all)}>${all ? 'Show fewer' : `Show ${list.length - 12} more`}</button>`}
  </section>`;
}

function Candidates({ metrics }) {
  const rows = metrics.flatMap((m) => m.candidates.map((c) => ({ ...c, metric: m.name })));
  const top = Math.max(1, ...rows.map((c) => c.replicas));
  return html`<section class="panel" aria-labelledby="candidates"><div class="panel-head"><h2 id="candidates">Who asks for how many</h2></div>
    <ul class="candidates">${rows.map((c, i) => html`<li key=${i} class=${c.wins ? 'wins' : ''}>
      <span class="name">${c.kind}<span class="sub"> ${c.metric}</span>${c.wins && html` <${Chip} kind="good">leads</${Chip}>`}</span><b>${number(c.replicas)}</b>
      <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="4" class="track"/><rect width=${(c.replicas / top) * 100} height="4" class="fill"/></svg>
      <span class="sub why">${c.message}</span></li>`)}</ul></section>`;
}

function Conditions({ list }) {
  const good = (c) => (c.type === 'ScalingLimited' ? c.status === 'False' : c.status === 'True');
  const glyph = (c) => (good(c) ? 'pass' : c.status === 'Unknown' ? 'unknown' : c.type === 'ForecastActive' || c.type === 'ScalingLimited' ? 'warn' : 'fail');
  return html`<section class="panel" aria-labelledby="conditions"><div class="panel-head"><h2 id="conditions">Conditions</h2></div>
    <ul class="conditions">${list.map((c) => html`<li key=${c.type} class=${glyph(c)}><${Glyph} status=${glyph(c)}/><span><b>${c.type}</b> <span class="sub">${c.status} · ${c.reason} · <${Ago} at=${c.since}/></span><span class="why">${c.message}</span></span></li>`)}</ul></section>`;
}

function Forecast({ metric }) {
  const s = metric.forecastStatus;
  if (!s) return null;
  const bar = (v, title, good) => html`<div class="meter"><span>${title}</span><b>${percent(v, 1)}</b><svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="4" class="track"/><rect width=${Math.min(100, v * 100)} height="4" class=${good ? 'fill' : 'fill bad'}/></svg></div>`;
  return html`<section class="panel" aria-labelledby="forecast"><div class="panel-head"><h2 id="forecast">Forecast</h2></div>
    <p class="why">${forecastSentence(s)}</p>
    ${s.errorRatio !== null && s.errorRatio !== undefined && bar(s.errorRatio, 'Loss of its upper quantile, of the better of last value and yesterday', s.errorRatio < 1)}
    ${s.coverage !== null && s.coverage !== undefined && bar(s.coverage, `Values within the band${s.coverageTarget ? `, meant to be ${percent(s.coverageTarget)}` : ''}`, !s.coverageTarget || s.coverage > s.coverageTarget - 0.05)}
    <p class="sub query"><code>${metric.query}</code></p></section>`;
}

function Backtest({ b }) {
  return html`<section class="panel" aria-labelledby="backtest"><div class="panel-head"><h2 id="backtest">Backtest</h2><span class="sub">${clock(b.from, 0)} to ${clock(b.to, 0)}</span></div>
    <div class="scroll" tabindex="0" role="group" aria-label="Backtest figures"><table class="plain"><thead><tr><th scope="col">Way of scaling</th><th scope="col" class="n">Load not served</th><th scope="col" class="n">Time short</th><th scope="col" class="n">Replica-hours</th><th scope="col" class="n">Changes</th></tr></thead>
    <tbody>${b.rows.map((r, i) => html`<tr key=${r.name} class=${i === 0 ? 'ours' : ''}><th scope="row">${r.name}</th><td class="n">${percent(r.unservedRatio, 3)}</td><td class="n">${percent(r.shortRatio, 2)}</td><td class="n">${number(r.replicaHours)}</td><td class="n">${number(r.scales)}</td></tr>`)}</tbody></table></div></section>`;
}

export function Policy({ namespace, name }) {
  useStore();
  useTick(5000);
  const { policy: p, missing } = usePolicy(`${namespace}/${name}`);
  const [chosen, setMetric] = useState(null);
  const back = html`<nav class="crumbs" aria-label="Breadcrumb"><a href="#/policies">Policies</a> <span aria-hidden="true">/</span> ${namespace} <span aria-hidden="true">/</span></nav>`;
  if (missing) return html`${back}<h1>${name}</h1><${Empty} title="Not here">${missing}. It may have been deleted.</${Empty}>`;
  if (!p) return html`${back}<h1>${name}</h1><div class="panel loading" aria-busy="true">Fetching …</div>`;
  const metric = p.metrics.find((m) => m.name === chosen) ?? p.metrics[0];
  return html`${back}
    <header class="title"><h1>${p.name}</h1><span class="sub">${p.target.kind} ${p.target.name}</span>
      <${Chip} kind=${p.mode === 'Auto' ? 'good' : ''}>${p.mode === 'Auto' ? 'scales by itself' : 'recommends only'}</${Chip}>
      ${p.paused && html`<${Chip} kind="warn">paused${p.paused.until ? html` until ${clock(p.paused.until, now())}` : ''}: ${p.paused.reason}</${Chip}>`}</header>
    <p class="reason" aria-live="polite">${p.reason}</p>
    <${Tiles} p=${p}/>
    ${metric && html`<${Charts} p=${p} metric=${metric} setMetric=${setMetric}/>`}
    <div class="columns"><div><${Decisions} list=${p.decisions}/></div>
      <div><${Candidates} metrics=${p.metrics}/>${metric && html`<${Forecast} metric=${metric}/>`}<${Conditions} list=${p.conditions}/>${p.backtest && html`<${Backtest} b=${p.backtest}/>`}</div></div>`;
}
