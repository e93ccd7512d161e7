// Takes the pictures in docs/images, from the preview at a fixed moment, so that they change only with the page.
//
//   cargo build -p web --example preview && node operator/web/tests/page/pictures.mjs
//
// Needs Chromium (CHROMIUM names it), and playwright-core where PAGE_MODULES points: the browser test puts it there.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');
const { CHROMIUM = '/usr/bin/chromium', PAGE_MODULES = join(homedir(), '.cache/foresail/page-test'), CARGO_TARGET_DIR = join(root, 'target') } = process.env;
const { chromium } = createRequire(join(PAGE_MODULES, 'package.json'))('playwright-core');

const port = 8977, base = `http://127.0.0.1:${port}`;
const server = spawn(join(CARGO_TARGET_DIR, 'debug/examples/preview'), [`127.0.0.1:${port}`, '1', '2026-11-20T17:19:10Z'], { stdio: 'ignore' });
try {
  for (let i = 0; i < 200; i += 1) {
    try { if ((await fetch(`${base}/readyz`)).ok) break; } catch { await new Promise((done) => setTimeout(done, 50)); }
  }
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const shoot = async (name, hash, colorScheme, viewport, scale = 1.5) => {
    const context = await browser.newContext({ colorScheme, viewport, deviceScaleFactor: scale, timezoneId: 'UTC', locale: 'en-GB', reducedMotion: 'reduce' });
    const page = await context.newPage();
    await page.goto(`${base}/${hash}`);
    await page.waitForSelector('.link.live');
    await page.waitForTimeout(1200);
    await page.screenshot({ path: join(root, 'docs/images', name) });
    await context.close();
  };
  const wide = { width: 1200, height: 760 };
  await shoot('page.png', '#/policies/shop/checkout', 'light', wide);
  await shoot('page-dark.png', '#/policies/shop/checkout', 'dark', wide);
  await shoot('policies.png', '#/policies', 'light', wide);
  await shoot('health.png', '#/health', 'light', { width: 1200, height: 560 });
  await shoot('phone.png', '#/policies/shop/checkout', 'dark', { width: 390, height: 844 }, 2);
  await browser.close();
} finally {
  server.kill('SIGTERM');
}
