// What the page knows, and its line to the server.
//
// The stream of events keeps the store fresh. When the line breaks, or is silent for longer than the server promised,
// it is built anew after a wait that doubles, with jitter: up to half a second in the first minute, which is what
// restarts take, and half a minute after that. Coming back, the page says what it saw last; the server sends what
// was missed or says to fetch everything.

export const state = {
  link: { status: 'connecting', retryAt: 0, since: Date.now() },
  meta: null,
  policies: new Map(),
  health: { status: 'unknown', nodes: [], groups: [] },
  alerts: [],
  calendar: [],
  loaded: false,
  // The newest data, and when (by this browser's clock) it came.
  dataTime: 0,
  receivedAt: 0,
};

const listeners = new Set();
let scheduled = false;

export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function changed() {
  if (scheduled) return;
  scheduled = true;
  // Several events in one moment draw once; a hidden tab doesn't draw at all until it is seen.
  setTimeout(() => { scheduled = false; for (const l of listeners) l(); }, 60);
}

/** The time the data is true for, running on between updates; in a demo it runs faster than the clock. */
export function now() {
  if (!state.dataTime) return Date.now();
  const passed = state.link.status === 'live' ? Date.now() - state.receivedAt : 0;
  return state.dataTime + Math.min(passed, 120000) * (state.meta?.speed ?? 1);
}

function saw(time) {
  const t = Date.parse(time);
  if (t > state.dataTime) { state.dataTime = t; state.receivedAt = Date.now(); }
}

export async function get(path) {
  const answer = await fetch(`api/v1/${path}`, { headers: { accept: 'application/json' }, signal: AbortSignal.timeout(10000) });
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(body.message ?? `the server answered ${answer.status}`), { status: answer.status });
  }
  return answer.json();
}

async function loadEverything() {
  const [policies, health, alerts, calendar] = await Promise.all(['policies', 'health', 'alerts', 'calendar'].map(get));
  state.meta = policies.meta;
  // The data time may jump back where another process answers, as after a restart of the demo.
  state.dataTime = Date.parse(policies.meta.dataTime);
  state.receivedAt = Date.now();
  state.policies = new Map(policies.items.map((p) => [`${p.namespace}/${p.name}`, p]));
  Object.assign(state, { health, alerts: alerts.items, calendar: calendar.items, loaded: true });
}

const handlers = {
  policy(p) { state.policies.set(`${p.namespace}/${p.name}`, p); saw(p.updated); },
  'policy-removed'(key) { state.policies.delete(`${key.namespace}/${key.name}`); },
  alerts(list) { state.alerts = list; },
  calendar(list) { state.calendar = list; },
  meta(meta) { state.meta = { ...meta, maintenance: meta.maintenance ?? state.meta?.maintenance ?? null }; },
  maintenance(m) { if (state.meta) state.meta = { ...state.meta, maintenance: m }; },
  health(change) {
    const nodes = new Map(state.health.nodes.map((n) => [n.id, n]));
    for (const id of change.removed) nodes.delete(id);
    for (const n of change.nodes) nodes.set(n.id, n);
    state.health = { status: change.status, groups: change.groups, nodes: [...nodes.values()] };
  },
};

let source = null;
let timer = 0;
let watchdog = 0;
let attempt = 0;
let lastId = '';
let heartbeat = 10000;

const FIRST_WAIT = 250, RESTART_TAKES = 60000, WAIT_IN_RESTART = 500, LONGEST_WAIT = 30000;

function alive(event) {
  if (event.lastEventId) lastId = event.lastEventId;
  clearTimeout(watchdog);
  // Two heartbeats missed and half of one for slow networks.
  watchdog = setTimeout(() => lost(), heartbeat * 2.5);
}

function lost(wait) {
  source?.close();
  source = null;
  clearTimeout(watchdog);
  clearTimeout(timer);
  if (state.link.status !== 'lost') { state.link.since = Date.now(); attempt = 0; }
  const long = Date.now() - state.link.since > RESTART_TAKES;
  const ceiling = Math.min(long ? LONGEST_WAIT : WAIT_IN_RESTART, FIRST_WAIT * 2 ** attempt);
  const delay = wait ?? ceiling / 2 + Math.random() * ceiling / 2;
  if (long || FIRST_WAIT * 2 ** attempt < WAIT_IN_RESTART) attempt += 1;
  Object.assign(state.link, { status: 'lost', retryAt: Date.now() + delay });
  timer = setTimeout(connect, delay);
  changed();
}

export function connect() {
  clearTimeout(timer);
  source?.close();
  const mine = new EventSource(`api/v1/events${lastId ? `?lastEventId=${encodeURIComponent(lastId)}` : ''}`);
  source = mine;
  watchdog = setTimeout(() => lost(), heartbeat * 2.5);
  const on = (kind, handler) => mine.addEventListener(kind, (event) => {
    if (mine !== source) return;
    handler(JSON.parse(event.data));
    alive(event); // after the handler: the greeting says how long silence may last
    changed();
  });
  const refresh = async () => {
    try {
      await loadEverything();
      if (mine !== source) return;
      attempt = 0;
      state.link = { status: 'live', retryAt: 0, since: Date.now() };
      changed();
    } catch { if (mine === source) lost(); }
  };
  on('hello', (hello) => {
    heartbeat = hello.heartbeatMs;
    if (hello.resumed && state.loaded) { // nothing was missed
      attempt = 0;
      state.link = { status: 'live', retryAt: 0, since: Date.now() };
    } else refresh();
  });
  on('resync', refresh);
  on('beat', () => {});
  on('bye', (bye) => lost(bye.retryMs));
  for (const [kind, handler] of Object.entries(handlers)) on(kind, handler);
  mine.onerror = () => { if (mine === source) lost(); };
}

function hurry() {
  if (state.link.status === 'lost') { attempt = 0; connect(); }
}

export function start() {
  connect();
  // The first picture doesn't wait for the stream's greeting.
  loadEverything().then(changed, () => {});
  window.addEventListener('online', hurry);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) hurry(); });
}

export function retryNow() { hurry(); }

/** Fetches the health of everything again: latencies change without an event. */
export async function refreshHealth() {
  try { state.health = await get('health'); changed(); } catch { /* the link tells of trouble */ }
}
