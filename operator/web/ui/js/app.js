// The frame around the views: navigation, the state of the line to the server, theme, announcements.

import { html, render, useEffect, useState } from '../vendor/htm-preact.js';
import { state, start, retryNow, now } from './store.js';
import { useStore, useTick } from './parts.js';
import { clock, relative } from './format.js';
import { Policies } from './policies.js';
import { Policy } from './policy.js';
import { Health } from './health.js';
import { Alerts } from './alerts.js';
import { Calendar } from './calendar.js';

const VIEWS = [['policies', 'Policies'], ['health', 'Health'], ['alerts', 'Alerts'], ['calendar', 'Calendar']];

function useRoute() {
  const read = () => location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent);
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const changed = () => {
      setRoute(read());
      // As a page load would: from the top, with the reader's place at the new content.
      document.getElementById('main')?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    };
    window.addEventListener('hashchange', changed);
    return () => window.removeEventListener('hashchange', changed);
  }, []);
  return route;
}

function Link() {
  useTick(1000);
  const { link, dataTime } = state;
  if (link.status === 'live') {
    return html`<span class="link live"><i class="pulse" aria-hidden="true"></i>Live${state.meta?.speed > 1 ? html`<span class="speed"> ${clock(now(), now())} · ×${state.meta.speed}</span>` : ''}</span>`;
  }
  if (!dataTime) return html`<span class="link lost">${link.status === 'lost' ? 'Not connected' : 'Connecting …'}</span>`;
  return html`<span class="link lost">Not connected</span>`;
}

function Banner() {
  useTick(1000);
  const { link, dataTime, meta } = state;
  const wait = Math.ceil((link.retryAt - Date.now()) / 1000);
  const m = meta?.maintenance;
  return html`<div class="banners" role="status" aria-live="polite">
    ${link.status === 'lost' && html`<div class="banner lost"><b>Not connected${dataTime ? html`, data from ${clock(dataTime, dataTime)}` : ''}.</b> <span aria-live="off">${wait > 0 ? `Trying again in ${wait} s.` : 'Trying again …'}</span> <button onClick=${retryNow}>Try now</button></div>`}
    ${link.status === 'live' && m && html`<div class="banner"><b>${m.scheduled ? 'Maintenance' : 'Restarting'}</b> ${relative(m.shutdownTime, Date.now())}: ${m.reason}</div>`}
    ${link.status === 'live' && meta && !meta.leader && html`<div class="banner quiet">This replica stands by${meta.leaderName ? html`; <b>${meta.leaderName}</b> decides` : ''}.</div>`}
  </div>`;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem('foresail.theme', theme); } catch { /* not kept, then */ }
  document.dispatchEvent(new Event('foresail:theme'));
}

function Theme() {
  const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const [dark, setDark] = useState(isDark);
  return html`<button class="icon" aria-label=${dark ? 'Light theme' : 'Dark theme'} title=${dark ? 'Light theme' : 'Dark theme'} onClick=${() => { setTheme(dark ? 'light' : 'dark'); setDark(!dark); }}>
    <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">${dark ? html`<circle cx="10" cy="10" r="3.600"/><path d="M10 2v2m0 12v2M2 10h2m12 0h2M4.300 4.300l1.500 1.500m8.400 8.400 1.500 1.500m0-11.400-1.500 1.500m-8.400 8.400-1.500 1.500"/>` : html`<path d="M16.500 11.700A6.800 6.800 0 0 1 8.300 3.500a6.800 6.800 0 1 0 8.200 8.200z"/>`}</svg></button>`;
}

const Mark = () => html`<svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true"><path class="sail2" d="M17.500 3.500c5.800 5.400 8.500 11.900 8 19.300h-8z"/><path class="sail1" d="M15 7.500v15.300H6.200C10.100 18.400 13 13.400 15 7.500z"/><path class="hull" d="M4.500 25.200h23c-1.400 2.300-3.100 3.500-5.400 3.500H9.900c-2.300 0-4-1.200-5.400-3.500z"/></svg>`;

function App() {
  useStore();
  const route = useRoute();
  const view = VIEWS.some(([v]) => v === route[0]) ? route[0] : 'policies';
  const firing = state.alerts.filter((a) => a.state === 'firing').length;
  const sick = state.health.status;
  useEffect(() => {
    const title = view === 'policies' && route[2] ? `${route[2]} · Foresail` : `${VIEWS.find(([v]) => v === view)[1]} · Foresail`;
    document.title = firing ? `(${firing}) ${title}` : title;
  }, [view, route.join('/'), firing]);
  useEffect(() => {
    const key = (e) => {
      if (e.key === '/' && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        const field = document.getElementById('filter');
        if (field) { e.preventDefault(); field.focus(); }
      }
    };
    window.addEventListener('keydown', key);
    return () => window.removeEventListener('keydown', key);
  }, []);
  const content = !state.loaded
    ? html`<div class="panel loading" aria-busy="true">Fetching …</div>`
    : view === 'policies' && route.length >= 3 ? html`<${Policy} key=${route.join('/')} namespace=${route[1]} name=${route[2]}/>`
    : view === 'policies' ? html`<${Policies}/>`
    : view === 'health' ? html`<${Health} id=${route[1]}/>`
    : view === 'alerts' ? html`<${Alerts}/>` : html`<${Calendar}/>`;
  return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById('main').focus(); }}>Skip to content</a>
    <header class="top"><div class="bar">
      <a class="brand" href="#/policies" aria-label="Foresail, list of policies"><${Mark}/><span>Foresail</span></a>
      <nav aria-label="Main">${VIEWS.map(([v, title]) => html`<a key=${v} href=${`#/${v}`} aria-current=${v === view ? 'page' : null}>${title}${v === 'alerts' && firing > 0 ? html` <span class="badge" aria-label=${`${firing} firing`}>${firing}</span>` : ''}${v === 'health' && (sick === 'fail' || sick === 'warn') ? html` <span class=${`dot ${sick}`} role="img" aria-label=${sick === 'fail' ? 'down' : 'degraded'}></span>` : ''}</a>`)}</nav>
      <span class="right"><${Link}/><${Theme}/></span></div></header>
    <${Banner}/>
    <main id="main" tabindex="-1" class=${state.link.status === 'lost' ? 'stale' : ''}>${content}</main>
    <footer>${state.meta ? html`<span>Foresail ${state.meta.version}</span><span>${state.meta.instance}${state.meta.leader ? ' · decides' : ' · stands by'}</span>${state.meta.source && html`<span>${state.meta.source}</span>`}` : ''}<span class="links"><a href="api/v1/policies">API</a><a href="health?verbose">health</a><a href="metrics">metrics</a></span></footer>`;
}

render(html`<${App}/>`, document.getElementById('app'));
start();
