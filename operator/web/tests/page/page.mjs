// The page in a real Chromium: loads, moves, survives restarts and a server that hangs, is usable without a mouse and
// without sight, and talks to nobody else. Run by `cargo test -p web --test page`.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { availableParallelism, loadavg } from 'node:os';
import { gzipSync } from 'node:zlib';
import { join } from 'node:path';

const { PREVIEW, CHROMIUM, PAGE_MODULES, PAGE_PICTURES } = process.env;
const require = createRequire(join(PAGE_MODULES, 'package.json'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(PAGE_PICTURES, { recursive: true });

const freePort = () => new Promise((done) => {
  const server = createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)); });
});
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

let server = null;
async function serve() {
  server = spawn(PREVIEW, [`127.0.0.1:${port}`, '20'], { env: { ...process.env, PREVIEW_HEARTBEAT_MS: '1000', PREVIEW_EVERY_MS: '150' }, stdio: 'ignore' });
  for (let i = 0; i < 200; i += 1) {
    try { if ((await fetch(`${base}/readyz`)).ok) return; } catch { /* not yet */ }
    await wait(25);
  }
  throw new Error('the preview did not start');
}
const ended = () => new Promise((done) => { if (server.exitCode !== null || server.signalCode) done(); else server.once('exit', done); });

const failures = [];
function check(word, holds, detail = '') {
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${word}${detail ? `: ${detail}` : ''}`);
  if (!holds) failures.push(word);
}

// Figures in milliseconds mean something only where the processors are free to give them.
function quick(word, holds, detail) {
  const busy = loadavg()[0] / availableParallelism();
  if (!holds && busy > 1.5) console.log(`late ${word}: ${detail}; the machine is busy (load ${busy.toFixed(1)} a processor), not judged`);
  else check(word, holds, detail);
}

await serve();
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// A connection that is refused shows in the console; that is no error of the page while the server is away.
let away = false;
const complaints = [];
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on('console', (m) => { if (m.type() === 'error' && !(away && /net::ERR|EventSource/.test(m.text()))) complaints.push(m.text()); });
  page.on('pageerror', (e) => complaints.push(String(e.stack)));
  page.on('request', (r) => { if (!r.url().startsWith(base) && !r.url().startsWith('data:')) complaints.push(`asked ${r.url()}`); });
  return page;
}
const live = (page, ms) => page.waitForSelector('.link.live', { timeout: ms });

try {
  const page = await open({ viewport: { width: 1280, height: 860 } });
  const sizes = [];
  page.on('response', async (r) => { if (!r.url().includes('/api/')) try { sizes.push([r.url(), gzipSync(await r.body()).length]); } catch { /* gone */ } });
  await page.goto(`${base}/`);
  await page.waitForSelector('.policies tbody tr');
  check('all policies are listed', await page.locator('.policies tbody tr').count() === 12);
  await live(page, 3000);
  await page.waitForLoadState('load');
  const total = sizes.reduce((n, [, s]) => n + s, 0);
  check('the page is under 150 KiB compressed', total > 20000 && total < 150 * 1024, `${(total / 1024).toFixed(1)} KiB in ${sizes.length} files`);

  // From the first byte to the rows on the screen, with an empty cache; starting a renderer is the browser's business.
  const loads = [];
  for (let i = 0; i < 5; i += 1) {
    const fresh = await open({ viewport: { width: 1280, height: 860 } });
    await fresh.addInitScript(() => {
      new MutationObserver((_, watch) => {
        if (!document.querySelector('.policies tbody tr')) return;
        watch.disconnect();
        window.rowsAfter = performance.now() - performance.getEntriesByType('navigation')[0].responseStart;
      }).observe(document, { childList: true, subtree: true });
    });
    await fresh.goto(`${base}/`);
    await fresh.waitForFunction(() => window.rowsAfter);
    loads.push(await fresh.evaluate(() => window.rowsAfter));
    await fresh.context().close();
  }
  loads.sort((a, b) => a - b);
  quick('first data within a second', loads[2] < 1000, `median ${loads[2].toFixed(0)} ms, worst ${loads[4].toFixed(0)} ms`);

  const rows = () => page.locator('.policies').innerText();
  const before = await rows();
  let moved = false;
  for (let i = 0; i < 40 && !moved; i += 1) { await wait(200); moved = (await rows()) !== before; }
  check('the list moves without being asked', moved);

  await page.keyboard.press('/');
  await page.keyboard.type('checkout');
  await page.waitForFunction(() => document.querySelectorAll('.policies tbody tr').length === 1);
  await page.getByRole('link', { name: 'checkout' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('.chart canvas');
  await wait(600);
  const colors = await page.evaluate(() => {
    const canvas = document.querySelector('.chart canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) seen.add(`${data[i] >> 5},${data[i + 1] >> 5},${data[i + 2] >> 5}`);
    return seen.size;
  });
  check('the chart has load, capacity and forecast in it', colors >= 3, `${colors} colors`);
  check('the heading names the policy', (await page.locator('h1').innerText()) === 'checkout');
  const reading = await page.locator('.chart').first().getAttribute('aria-label');
  check('the chart has words for who cannot see it', /ready replicas can carry/.test(reading), reading);

  // The server is killed: the page says so with the time of its data, and comes back by itself.
  away = true;
  server.kill('SIGKILL');
  await page.waitForSelector('.banner.lost', { timeout: 5000 });
  const words = await page.locator('.banner.lost').innerText();
  check('without a server the page says how old its data is', /Not connected, data from .*\d\d:\d\d/.test(words), words.replace(/\s+/g, ' '));
  check('and keeps showing it', await page.locator('.chart canvas').count() > 0);
  await page.screenshot({ path: join(PAGE_PICTURES, 'lost.png') });
  await ended();
  await wait(1500);
  const restarted = performance.now();
  await serve();
  await live(page, 15000);
  const back = performance.now() - restarted;
  away = false;
  quick('after a restart it is live again without a reload', back < 6000, `${back.toFixed(0)} ms after the start`);
  await page.goto(`${base}/#/policies`);
  await page.waitForSelector('.policies tbody tr');
  const after = await rows();
  moved = false;
  for (let i = 0; i < 40 && !moved; i += 1) { await wait(200); moved = (await rows()) !== after; }
  check('and moves again', moved);

  // A polite end: the stream says when to come back.
  away = true;
  server.kill('SIGTERM');
  await page.waitForSelector('.banner', { timeout: 5000 });
  await ended();
  const polite = performance.now();
  await serve();
  await live(page, 15000);
  check('after a polite restart as well', true, `${(performance.now() - polite).toFixed(0)} ms after the start`);

  // A server that hangs sends no error: only missing heartbeats tell.
  server.kill('SIGSTOP');
  const hung = performance.now();
  await page.waitForSelector('.banner.lost', { timeout: 10000 });
  check('a server that hangs is noticed by its missing heartbeats', true, `${((performance.now() - hung) / 1000).toFixed(1)} s`);
  server.kill('SIGCONT');
  await live(page, 40000);
  away = false;
  await page.context().close();

  // Twenty restarts: nearly all readers are back within two seconds of the server.
  const patient = await open({ viewport: { width: 1280, height: 860 } });
  await patient.goto(`${base}/`);
  await live(patient, 5000);
  away = true;
  const times = [];
  for (let i = 0; i < 20; i += 1) {
    server.kill('SIGTERM');
    await patient.waitForSelector('.link.lost', { timeout: 5000 });
    await ended();
    await serve();
    const up = performance.now();
    await live(patient, 15000);
    times.push(performance.now() - up);
  }
  away = false;
  times.sort((a, b) => a - b);
  quick('95 % of restarts are over within two seconds', times[18] < 2000, `median ${times[9].toFixed(0)} ms, 95 % ${times[18].toFixed(0)} ms, worst ${times[19].toFixed(0)} ms`);
  await patient.context().close();

  // Every view in light, dark and on a phone: no accessibility findings, no sideways scrolling.
  const views = { list: '#/policies', policy: '#/policies/shop/checkout', blind: '#/policies/platform/reports', gone: '#/policies/shop/nothing', health: '#/health', component: '#/health/shop%2Forders-db', alerts: '#/alerts', calendar: '#/calendar' };
  for (const [tag, options] of Object.entries({
    light: { colorScheme: 'light', viewport: { width: 1280, height: 860 } },
    dark: { colorScheme: 'dark', viewport: { width: 1280, height: 860 } },
    phone: { colorScheme: 'light', viewport: { width: 390, height: 844 }, hasTouch: true },
  })) {
    const view = await open({ ...options, bypassCSP: true, reducedMotion: 'reduce' });
    away = tag === 'none';
    for (const [name, hash] of Object.entries(views)) {
      await view.goto(`${base}/${hash}`);
      await view.waitForSelector('main h1, main .tiles');
      await wait(500);
      await view.evaluate(AXE);
      const found = await view.evaluate(() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
      const list = found.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.any[0]?.message ?? ''}`).join('; ')}`);
      check(`${name} (${tag}) is accessible`, list.length === 0, list.join(' | '));
      const wide = await view.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      check(`${name} (${tag}) fits its width`, wide <= 0, wide > 0 ? `${wide} px too wide` : '');
      await view.screenshot({ path: join(PAGE_PICTURES, `${name}-${tag}.png`), fullPage: true });
    }
    await view.context().close();
  }
  // A policy that isn't there is answered with 404, which the console reports; all else must be silent.
  const real = complaints.filter((c) => !/404/.test(c));
  check('the console is silent and nobody else was asked', real.length === 0, real.slice(0, 5).join(' | '));
} catch (error) {
  check('the test runs to its end', false, String(error.stack));
} finally {
  await browser.close();
  server.kill('SIGKILL');
}
process.exit(failures.length ? 1 : 0);
