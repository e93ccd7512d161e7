// The health of everything: the graph of what depends on what, and one component in detail.

import { html, useEffect, useState } from '../vendor/htm-preact.js';
import { state, now, refreshHealth } from './store.js';
import { useStore, useTick, Status, Chip, Ago, Time, Empty, Glyph, statusWord } from './parts.js';
import { number, percent, plural } from './format.js';

const BAD = { fail: 0, warn: 1, maintenance: 2, unknown: 3, pass: 4 };

/** Columns from what users touch to what everything stands on; within a column, near what it is tied to. */
export function layout(nodes) {
  const byId = new Map(nodes.map((n) => [n.id, n]));
  const users = new Map(nodes.map((n) => [n.id, []]));
  for (const n of nodes) for (const d of n.dependsOn) users.get(d)?.push(n.id);
  const depth = new Map();
  // A circle is cut where it closes.
  const deep = (id, seen) => {
    if (depth.has(id)) return depth.get(id);
    if (seen.has(id)) return 0;
    const above = users.get(id).map((u) => deep(u, new Set(seen).add(id)) + 1);
    const d = Math.max(0, ...above);
    depth.set(id, d);
    return d;
  };
  for (const n of nodes) deep(n.id, new Set());
  const columns = [];
  for (const n of nodes) (columns[depth.get(n.id)] ??= []).push(n);
  const place = new Map();
  const settle = () => columns.forEach((c) => c.forEach((n, i) => place.set(n.id, i - (c.length - 1) / 2)));
  columns.forEach((c) => c.sort((a, b) => a.id.localeCompare(b.id)));
  settle();
  for (let round = 0; round < 6; round += 1) {
    for (const c of round % 2 ? [...columns].reverse() : columns) {
      const center = (n) => {
        const tied = [...users.get(n.id), ...n.dependsOn.filter((d) => byId.has(d))].map((id) => place.get(id));
        return tied.length ? tied.reduce((a, b) => a + b, 0) / tied.length : place.get(n.id);
      };
      const centers = new Map(c.map((n) => [n.id, center(n)]));
      c.sort((a, b) => centers.get(a.id) - centers.get(b.id) || a.id.localeCompare(b.id));
      settle();
    }
  }
  return { columns, depth };
}

const W = 196, H = 58, GAP_X = 64, GAP_Y = 16;

function Graph({ nodes, chosen, choose }) {
  const { columns } = layout(nodes);
  const tallest = Math.max(...columns.map((c) => c.length));
  const height = tallest * (H + GAP_Y) - GAP_Y, width = columns.length * (W + GAP_X) - GAP_X;
  const at = new Map();
  columns.forEach((c, x) => {
    const top = (height - (c.length * (H + GAP_Y) - GAP_Y)) / 2;
    c.forEach((n, y) => at.set(n.id, { x: x * (W + GAP_X), y: top + y * (H + GAP_Y) }));
  });
  const edges = nodes.flatMap((n) => n.dependsOn.filter((d) => at.has(d)).map((d) => {
    const a = at.get(n.id), b = at.get(d), bend = GAP_X * 0.6;
    const x1 = a.x + W, y1 = a.y + H / 2, x2 = b.x, y2 = b.y + H / 2;
    const below = nodes.find((m) => m.id === d);
    const carries = n.causes.length > 0 && (below.causes.length > 0 || n.causes.includes(d)) && below.status !== 'pass';
    const lit = chosen && (chosen === n.id || chosen === d);
    return html`<path key=${`${n.id}>${d}`} class=${`edge ${carries ? 'carries' : ''} ${lit ? 'lit' : ''}`} d=${`M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`}/>`;
  }));
  return html`<div class="graph-scroll" tabindex="0" role="group" aria-label="Dependency graph"><svg class="graph" width=${width + 4} height=${height + 4} viewBox=${`-2 -2 ${width + 4} ${height + 4}`} aria-hidden="true">
    ${edges}
    ${nodes.map((n) => { const p = at.get(n.id); return html`<g key=${n.id} class=${`node ${n.status} ${n.causes.length ? 'consequence' : ''} ${chosen === n.id ? 'chosen' : ''}`} transform=${`translate(${p.x} ${p.y})`} onClick=${() => choose(n.id)}>
      <rect class="card" width=${W} height=${H} rx="10"/><rect class="mark" x="0" y="12" width="3" height=${H - 24} rx="1.500"/>
      <text class="name" x="16" y="24">${n.title.length > 22 ? `${n.title.slice(0, 21)}…` : n.title}</text>
      <text class="state" x="16" y="43">${n.causes.length ? `because of ${short(n.causes[0])}` : n.pending ? 'failing, not yet sure' : n.flapping ? 'flapping' : statusWord(n.status)}${!n.causes.length && n.latencyMs !== null && n.latencyMs !== undefined && n.status === 'pass' ? ` · ${number(n.latencyMs)} ms` : ''}</text>
      <g transform=${`translate(${W - 26} 14)`}><svg class="glyph" viewBox="0 0 12 12" width="14" height="14"><${Glyph} status=${n.status}/></svg></g></g>`; })}
  </svg></div>`;
}

const short = (id) => id.split('/').pop();

function Latencies({ list }) {
  const values = list.filter((v) => v !== null), top = Math.max(1, ...values);
  if (list.length < 2) return null;
  return html`<svg class="latencies" viewBox=${`0 0 ${list.length * 4} 30`} preserveAspectRatio="none" role="img" aria-label=${`Last ${list.length} probes, ${list.length - values.length} failed`}>
    ${list.map((v, i) => (v === null ? html`<rect class="failed" x=${i * 4} y="0" width="3" height="30"/>` : html`<rect x=${i * 4} y=${30 - (v / top) * 28} width="3" height=${(v / top) * 28}/>`))}</svg>`;
}

function Detail({ n, nodes, close }) {
  const users = nodes.filter((m) => m.dependsOn.includes(n.id));
  const link = (id) => html`<a key=${id} class="plainlink" href=${`#/health/${encodeURIComponent(id)}`}>${short(id)}</a> `;
  return html`<section class="panel detail" aria-labelledby="component"><div class="panel-head"><h2 id="component">${n.title}</h2><${Status} status=${n.status}/>${n.pending && html`<${Chip} kind="warn">failing, not yet sure</${Chip}>`}${n.flapping && html`<${Chip} kind="warn">flapping, messages held</${Chip}>`}<button class="quiet close" onClick=${close} aria-label="Close details">✕</button></div>
    <p class="why">${n.output}</p>
    <dl class="facts">
      <div><dt>Check</dt><dd>${n.kind} · ${n.critical ? 'critical' : 'not critical'}</dd></div>
      ${n.since && html`<div><dt>${statusWord(n.status)} since</dt><dd><${Time} at=${n.since}/> (<${Ago} at=${n.since}/>)</dd></div>`}
      ${n.causes.length > 0 && html`<div><dt>Root cause</dt><dd>${n.causes.map(link)}</dd></div>`}
      ${n.votes && html`<div><dt>Probers</dt><dd>${n.votes[0]} of ${n.votes[1]} see it fail</dd></div>`}
      ${n.dependsOn.length > 0 && html`<div><dt>Depends on</dt><dd>${n.dependsOn.map(link)}</dd></div>`}
      ${users.length > 0 && html`<div><dt>Used by</dt><dd>${users.map((u) => link(u.id))}</dd></div>`}
      ${n.uptime.length > 0 && html`<div><dt>Well for</dt><dd>${n.uptime.map(([w, r]) => html`<span key=${w} class="uptime">${w} <b>${percent(r, 2)}</b></span>`)}</dd></div>`}
    </dl>
    <${Latencies} list=${n.latenciesMs}/>
    ${n.transitions.length > 0 && html`<h3 class="minor">Changes</h3><ul class="transitions">${n.transitions.slice(0, 8).map((t) => html`<li key=${t.at}><${Status} status=${t.to}/> <span class="sub"><${Time} at=${t.at} seconds=${true}/></span> <span class="why">${t.output}</span></li>`)}</ul>`}
  </section>`;
}

export function Health({ id }) {
  useStore();
  useTick(5000);
  useEffect(() => { refreshHealth(); const t = setInterval(refreshHealth, 10000); return () => clearInterval(t); }, []);
  const [group, setGroup] = useState(null);
  const { status, nodes: all, groups } = state.health;
  if (state.loaded && all.length === 0) {
    return html`<h1>Health</h1><${Empty} title="Nothing is watched yet">Apply a <code>HealthCheck</code> for each component, say what it depends on, and this page tells causes from consequences.</${Empty}>`;
  }
  const nodes = group ? all.filter((n) => n.groups.includes(group)) : all;
  const chosen = all.find((n) => n.id === id);
  const choose = (next) => { location.hash = `#/health/${encodeURIComponent(next)}`; };
  const roots = all.filter((n) => n.status === 'fail' && n.causes.length === 0);
  const sorted = [...nodes].sort((a, b) => BAD[a.status] - BAD[b.status] || Number(a.causes.length > 0) - Number(b.causes.length > 0) || a.id.localeCompare(b.id));
  return html`<header class="title"><h1>Health</h1><${Status} status=${status}/>
      <span class="sub">${plural(all.length, 'component')}${roots.length ? html`, root ${roots.length === 1 ? 'cause' : 'causes'}: <b>${roots.map((r) => r.title).join(', ')}</b>` : ''}</span></header>
    ${groups.length > 0 && html`<div class="groups" role="group" aria-label="Groups"><button aria-pressed=${group === null} onClick=${() => setGroup(null)}>all</button>${groups.map((g) => html`<button key=${g.name} aria-pressed=${group === g.name} onClick=${() => setGroup(group === g.name ? null : g.name)}><${Status} status=${g.status} quiet=${true}/> ${g.name}</button>`)}</div>`}
    ${nodes.length > 0 && nodes.length <= 120 && html`<div class="panel graph-panel"><${Graph} nodes=${nodes} chosen=${id} choose=${choose}/></div>`}
    ${chosen && html`<${Detail} n=${chosen} nodes=${all} close=${() => { location.hash = '#/health'; }}/>`}
    <div class="panel flush"><table role="table" class="components" aria-label="Components"><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Component</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col">Last result</th><th role="columnheader" scope="col" class="n">Time taken</th><th role="columnheader" scope="col" class="n">Well today</th></tr></thead>
      <tbody role="rowgroup">${sorted.slice(0, 300).map((n) => html`<tr role="row" key=${n.id} class=${n.id === id ? 'chosen' : ''}>
        <th role="rowheader" scope="row" class="who"><a href=${`#/health/${encodeURIComponent(n.id)}`}><b>${n.title}</b></a><span class="sub">${n.kind}</span></th>
        <td role="cell"><${Status} status=${n.status}/>${n.since && html`<span class="sub"><${Ago} at=${n.since}/></span>`}</td>
        <td role="cell" class="why">${n.causes.length ? html`consequence of <b>${n.causes.map(short).join(', ')}</b>` : n.output}</td>
        <td role="cell" class="n">${n.latencyMs === null || n.latencyMs === undefined ? '–' : `${number(n.latencyMs)} ms`}</td>
        <td role="cell" class="n">${percent((n.uptime.find(([w]) => w === '24h') ?? n.uptime[0] ?? [])[1], 2)}</td></tr>`)}</tbody></table></div>`;
}
