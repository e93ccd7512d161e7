// The list of policies.

import { html, useState } from '../vendor/htm-preact.js';
import { state, now } from './store.js';
import { useStore, useTick, Chip, Spark, Gauge, Empty, forecastWords } from './parts.js';
import { number, plural, expected } from './format.js';

const PAGE = 100;

const ORDER = {
  attention: (a, b) => Number(Boolean(b.attention)) - Number(Boolean(a.attention)) || byName(a, b),
  name: (a, b) => byName(a, b),
  next: (a, b) => (Date.parse(a.nextChange?.at ?? '9999-01-01') - Date.parse(b.nextChange?.at ?? '9999-01-01')) || byName(a, b),
  replicas: (a, b) => b.replicas.current - a.replicas.current || byName(a, b),
};
const byName = (a, b) => a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name);

function Totals({ policies }) {
  const sum = (f) => policies.reduce((n, p) => n + f(p), 0);
  const attention = policies.filter((p) => p.attention).length;
  const trusted = policies.filter((p) => p.forecastStatus.active).length;
  const saved = sum((p) => p.saved?.replicaHours ?? 0);
  const current = sum((p) => p.replicas.current), desired = sum((p) => p.replicas.desired);
  return html`<dl class="tiles">
    <div><dt>Policies</dt><dd>${number(policies.length)}</dd><dd class="note">${attention ? html`<span class="warn-text">${plural(attention, 'policy').replace('policys', 'policies')} to look at</span>` : 'all in order'}</dd></div>
    <div><dt>Replicas</dt><dd>${number(current)}${desired !== current ? html`<span class="to"> → ${number(desired)}</span>` : ''}</dd><dd class="note">${number(sum((p) => p.replicas.ready))} ready</dd></div>
    <div><dt>Forecasts trusted</dt><dd>${number(trusted)}<span class="of"> of ${number(policies.length)}</span></dd><dd class="note">${trusted === policies.length ? 'none scales by the load alone' : 'the others scale reactively'}</dd></div>
    <div><dt>Saved so far</dt><dd>${number(saved)}</dd><dd class="note">replica-hours against static peak</dd></div>
  </dl>`;
}

function Row({ p }) {
  const s = forecastWords(p.forecastStatus), t = now();
  const change = p.replicas.desired !== p.replicas.current;
  return html`<tr role="row" class=${p.attention ? 'attention' : ''}>
    <th role="rowheader" scope="row" class="who">
      <a href=${`#/policies/${encodeURIComponent(p.namespace)}/${encodeURIComponent(p.name)}`}><b>${p.name}</b></a>
      <span class="sub">${p.namespace} · ${p.target.kind}${p.target.name !== p.name ? ` ${p.target.name}` : ''}</span>
      ${(p.paused || p.mode === 'Recommend') && html`<span class="chips">${p.paused && html`<${Chip} kind="warn">paused</${Chip}>`}${p.mode === 'Recommend' && html`<${Chip}>recommends only</${Chip}>`}</span>`}
    </th>
    <td role="cell" class="load"><${Spark} spark=${p.spark} label="Load lately and as expected"/></td>
    <td role="cell" class="replicas"><span class="cap">Replicas</span>
      <span class="big">${p.replicas.current}${change && html`<span class=${`to ${p.replicas.desired > p.replicas.current ? 'up' : 'down'}`}> → ${p.replicas.desired}</span>`}</span>
      <${Gauge} replicas=${p.replicas}/><span class="sub">${p.replicas.min} to ${p.replicas.max}</span></td>
    <td role="cell" class="need"><span class="cap">Need</span><span class="big">${number(p.need)}</span><span class="sub">${p.driver || ' '}</span></td>
    <td role="cell" class="forecast"><span class="cap">Forecast</span><${Chip} kind=${s.kind} title=${p.forecastStatus.message}>${s.word}</${Chip}><span class="sub">${s.more}</span></td>
    <td role="cell" class="next"><span class="cap">Next change</span>${p.nextChange ? html`<span class="big">${expected(p.nextChange.at, t)}<span class="to"> → ${p.nextChange.replicas}</span></span><span class="sub">${p.nextChange.reason}</span>` : html`<span class="sub">none expected</span>`}</td>
    ${p.attention && html`<td role="cell" class="trouble"><b>${p.attention.reason}</b> ${p.attention.message}</td>`}
  </tr>`;
}

export function Policies() {
  useStore();
  useTick(5000);
  const [filter, setFilter] = useState('');
  const [order, setOrder] = useState('attention');
  const [shown, setShown] = useState(PAGE);
  const all = [...state.policies.values()];
  if (state.loaded && all.length === 0) {
    return html`<h1>Policies</h1><${Empty} title="No policies yet">Apply an <code>AutoscalePolicy</code> and it shows up here within seconds. <code>foresail doctor</code> tells if something is in the way.</${Empty}>`;
  }
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((p) => words.every((w) => `${p.namespace}/${p.name} ${p.target.kind} ${p.target.name} ${p.mode} ${p.attention?.reason ?? ''}`.toLowerCase().includes(w)));
  found.sort(ORDER[order]);
  return html`<h1 class="sr">Policies</h1><${Totals} policies=${all}/>
    <div class="toolbar">
      <label class="search"><span class="sr">Filter policies</span><input type="search" id="filter" placeholder="Filter by name, namespace, kind, trouble …" value=${filter} onInput=${(e) => { setFilter(e.target.value); setShown(PAGE); }}/><kbd aria-hidden="true">/</kbd></label>
      <label class="order">Order <select value=${order} onChange=${(e) => setOrder(e.target.value)}><option value="attention">trouble first</option><option value="name">name</option><option value="next">next change</option><option value="replicas">replicas</option></select></label>
      <span class="count" role="status">${found.length === all.length ? '' : `${number(found.length)} of ${number(all.length)}`}</span>
    </div>
    <div class="panel flush"><table role="table" class="policies" aria-label="Policies">
      <thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Policy</th><th role="columnheader" scope="col">Load and forecast</th><th role="columnheader" scope="col">Replicas</th><th role="columnheader" scope="col">Need</th><th role="columnheader" scope="col">Forecast</th><th role="columnheader" scope="col">Next change</th></tr></thead>
      <tbody role="rowgroup">${found.slice(0, shown).map((p) => html`<${Row} key=${`${p.namespace}/${p.name}`} p=${p}/>`)}</tbody>
    </table>
    ${found.length === 0 && html`<p class="nothing">Nothing matches “${filter}”.</p>`}
    ${found.length > shown && html`<button class="more" onClick=${() => setShown(shown + PAGE)}>Show ${Math.min(PAGE, found.length - shown)} more of ${number(found.length - shown)}</button>`}</div>`;
}
