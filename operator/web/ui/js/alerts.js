// Alerts: what fires, what may soon, what is over.

import { html } from '../vendor/htm-preact.js';
import { state } from './store.js';
import { useStore, useTick, Chip, Time, Ago, Empty } from './parts.js';

const RANK = { critical: 0, warning: 1, info: 2 };
const KIND = { critical: 'bad', warning: 'warn', info: 'info' };

function Alert({ a }) {
  return html`<li class=${`alert ${a.severity} ${a.state}`}>
    <div class="line"><${Chip} kind=${a.state === 'resolved' ? 'good' : KIND[a.severity]}>${a.state === 'firing' ? a.severity : a.state}</${Chip}><b>${a.alert}</b><span class="sub">${a.subject}</span><span class="sub since">${a.state === 'resolved' ? html`over <${Ago} at=${a.resolved ?? a.since}/>` : html`since <${Time} at=${a.since}/> (<${Ago} at=${a.since}/>)`}</span></div>
    <p class="summary">${a.summary}</p>${a.description && html`<p class="why">${a.description}</p>`}
    ${a.consequences.length > 0 && html`<details><summary>${a.consequences.length} more are down only because of this</summary><p class="why">${a.consequences.join(', ')}</p></details>`}
    <div class="foot">${a.runbookUrl && html`<a href=${a.runbookUrl} rel="noreferrer">What to do</a>`}
      ${a.deliveries.map((d) => html`<span key=${d.receiver} class=${`delivery ${d.delivered ? '' : 'warn-text'}`} title=${d.message}>${d.delivered ? '✓' : '✕'} ${d.receiver}${d.delivered ? '' : `: ${d.message}`}</span>`)}
      ${a.traceId && html`<span class="trace">trace <code>${a.traceId}</code></span>`}</div></li>`;
}

export function Alerts() {
  useStore();
  useTick(5000);
  const by = (phase) => state.alerts.filter((a) => a.state === phase).sort((a, b) => RANK[a.severity] - RANK[b.severity] || Date.parse(b.since) - Date.parse(a.since));
  const parts = [['firing', 'Firing'], ['pending', 'Not sure yet'], ['resolved', 'Lately over']];
  if (state.loaded && state.alerts.length === 0) return html`<h1>Alerts</h1><${Empty} title="All quiet">No alert fires, and none was lately.</${Empty}>`;
  return html`<h1>Alerts</h1>${by('firing').length === 0 && html`<p class="reason">Nothing fires now.</p>`}
    ${parts.map(([phase, title]) => { const list = by(phase); return list.length > 0 && html`<section key=${phase} class="panel" aria-labelledby=${phase}><div class="panel-head"><h2 id=${phase}>${title}</h2><span class="sub">${list.length}</span></div><ul class="alerts">${list.map((a) => html`<${Alert} key=${a.id} a=${a}/>`)}</ul></section>`; })}`;
}
