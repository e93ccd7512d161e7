// Small pieces that several views share.

import { html, useEffect, useReducer } from '../vendor/htm-preact.js';
import { subscribe, now } from './store.js';
import { clock, relative, percent, seasons, span } from './format.js';

/** Draws again when the store changes. */
export function useStore() {
  const [, draw] = useReducer((n) => n + 1, 0);
  useEffect(() => subscribe(draw), []);
}

/** Draws again every `ms`, for times that pass. */
export function useTick(ms) {
  const [, draw] = useReducer((n) => n + 1, 0);
  useEffect(() => { const t = setInterval(draw, ms); return () => clearInterval(t); }, [ms]);
}

export const Time = ({ at, seconds }) => html`<time datetime=${at} title=${new Date(at).toString()}>${clock(at, now(), seconds)}</time>`;
export const Ago = ({ at }) => html`<time datetime=${at} title=${new Date(at).toString()}>${relative(at, now())}</time>`;

export const Chip = ({ kind, children, title }) => html`<span class="chip ${kind ?? ''}" title=${title}>${children}</span>`;

const WORDS = { pass: 'Well', warn: 'Degraded', fail: 'Down', maintenance: 'Maintenance', unknown: 'Not known' };
export const statusWord = (status) => WORDS[status] ?? status;

/** A status is a shape and a word as well as a color. */
export const Status = ({ status, quiet }) => html`<span class="status ${status}"><${Glyph} status=${status}/>${quiet ? html`<span class="sr">${statusWord(status)}</span>` : statusWord(status)}</span>`;

export function Glyph({ status }) {
  const shape = {
    pass: html`<path d="M2.500 6.500 5 9l4.500-5.500"/>`,
    warn: html`<path d="M6 2.200 10.500 10h-9z"/>`,
    fail: html`<path d="m3 3 6 6m0-6-6 6"/>`,
    maintenance: html`<path d="M6 2v4l2.500 2"/>`,
    unknown: html`<path d="M4.200 4.300C4.300 3 5.200 2.300 6.200 2.300c1.100 0 1.900.700 1.900 1.700C8.100 5.300 6 5.500 6 7M6 9.500v.100"/>`,
  }[status];
  return html`<svg class="glyph" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">${shape}</svg>`;
}

/** Load of the past as a line, what is expected as a dashed one. */
export function Spark({ spark, label }) {
  const past = spark?.past ?? [], ahead = spark?.ahead ?? [];
  const n = past.length + ahead.length;
  if (n < 2) return html`<span class="spark none">no history yet</span>`;
  const W = 168, H = 36, x = (i) => (i / (n - 1)) * W, y = (v) => 2 + (1 - v / 1000) * (H - 4);
  const path = (values, from) => {
    let d = '', pen = false;
    values.forEach((v, i) => {
      if (v === null) { pen = false; return; }
      d += `${pen ? 'L' : 'M'}${x(from + i).toFixed(1)} ${y(v).toFixed(1)}`;
      pen = true;
    });
    return d;
  };
  const joined = past.length ? [past[past.length - 1], ...ahead] : ahead;
  const from = past.length ? past.length - 1 : 0;
  const area = `${path(past, 0)}L${x(past.length - 1).toFixed(1)} ${H}L0 ${H}Z`;
  return html`<svg class="spark" viewBox="0 0 ${W} ${H}" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${past.every((v) => v !== null) && html`<path class="area" d=${area}/>`}
    <path class="past" d=${path(past, 0)}/><path class="ahead" d=${path(joined, from)}/>
    <line class="now" x1=${x(from)} x2=${x(from)} y1="0" y2=${H}/></svg>`;
}

/** Replicas between their limits. */
export function Gauge({ replicas }) {
  const { current, ready, desired, min, max } = replicas;
  const top = Math.max(max, current, desired, 1), at = (v) => `${(v / top) * 100}%`;
  const label = `${current} replicas, ${ready} ready, ${desired} wanted, between ${min} and ${max}`;
  return html`<svg class="gauge" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=${label}>
    <rect class="track" x="0" y="3" width="100" height="2"/>
    <rect class="range" x=${(min / top) * 100} y="3" width=${((max - min) / top) * 100} height="2"/>
    <rect class="pending" x="0" y="1.500" width=${(Math.max(current, desired) / top) * 100} height="5"/>
    <rect class="ready" x="0" y="1.500" width=${(ready / top) * 100} height="5"/></svg>`;
}

/** What to think of the forecast, in few words. */
export function forecastWords(s) {
  if (!s || !s.reason) return { kind: 'quiet', word: 'no forecast', more: '' };
  if (s.active) {
    const better = s.errorRatio !== null && s.errorRatio !== undefined ? `${percent(Math.max(0, 1 - s.errorRatio))} closer than naive` : '';
    return { kind: 'good', word: 'trusted', more: better };
  }
  const words = { Learning: 'learning', NotEnoughHistory: 'learning', NotBetterThanNaive: 'not better than naive', Off: 'off' };
  return { kind: s.reason === 'Off' ? 'quiet' : 'warn', word: words[s.reason] ?? s.reason, more: 'reactive only' };
}

const asSentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}` : '');

export function forecastSentence(s) {
  if (!s) return '';
  const parts = [asSentence(s.message)];
  if (s.model) parts.push(`Model: ${s.model}.`);
  if (s.seasonsSeconds?.length) parts.push(`Pattern: ${seasons(s.seasonsSeconds)}.`);
  if (s.historySeconds) parts.push(`Learned from ${span(s.historySeconds)}.`);
  return parts.filter(Boolean).join(' ');
}

export const Empty = ({ title, children }) => html`<div class="empty"><svg viewBox="0 0 48 48" width="48" height="48" aria-hidden="true"><path d="M26 6c9 8 13 18 12 28H26zM22 12v22H9c6-6 10-14 13-22zM7 38h34c-2 3-5 5-8 5H15c-3 0-6-2-8-5z"/></svg><h2>${title}</h2><p>${children}</p></div>`;
