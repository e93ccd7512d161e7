// What calendars say: windows of the past days and the coming weeks.

import { html } from '../vendor/htm-preact.js';
import { state, now } from './store.js';
import { useStore, useTick, Chip, Empty } from './parts.js';
import { clock, day, relative, span } from './format.js';

const KIND = { scaling: ['info', 'scaling'], maintenance: ['warn', 'maintenance'], holiday: ['', 'holiday'] };

export function Calendar() {
  useStore();
  useTick(30000);
  const t = now();
  const list = state.calendar.filter((w) => Date.parse(w.end) > t - 2 * 86400e3).slice(0, 200);
  if (state.loaded && list.length === 0) return html`<h1>Calendar</h1><${Empty} title="No windows">A <code>ScalingCalendar</code> holds launches, holidays and maintenance; its windows show up here.</${Empty}>`;
  const days = new Map();
  for (const w of list) { const d = day(w.start); days.set(d, [...(days.get(d) ?? []), w]); }
  return html`<h1>Calendar</h1><div class="agenda">${[...days].map(([d, windows]) => html`<section key=${d} class="panel"><div class="panel-head"><h2>${d}</h2></div><ul>${windows.map((w) => {
    const begun = Date.parse(w.start) <= t, over = Date.parse(w.end) <= t;
    const [kind, word] = KIND[w.kind];
    return html`<li key=${w.calendar + w.name + w.start} class=${over ? 'over' : begun ? 'running' : ''}>
      <span class="at">${clock(w.start, w.start)}<span class="sub"> for ${span((Date.parse(w.end) - Date.parse(w.start)) / 1000)}</span></span>
      <span><b>${w.name}</b> <${Chip} kind=${kind}>${word}</${Chip}> ${begun && !over && html`<${Chip} kind="good">now</${Chip}>`}<span class="why">${w.effect}</span></span>
      <span class="sub">${over ? 'over' : begun ? `ends ${relative(w.end, t)}` : relative(w.start, t)} · ${w.calendar}</span></li>`; })}</ul></section>`)}</div>`;
}
