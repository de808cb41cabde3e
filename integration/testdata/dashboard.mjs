// The dashboard in headless Chromium, with sessions that this program opens through the gateway: a
// JSON object on standard input has the addresses, and what was seen goes to standard output.
import { json } from 'node:stream/consumers';
import { once } from 'node:events';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';
import axe from 'axe-core';

const { url, gateway, many } = await json(process.stdin);
const page_ = url.replace(/\?.*/, 'dashboard');
const result = { errors: [], hosts: [], violations: [], asked: 0 };

async function session(path) {
  const client = new WebSocket(`ws://${gateway}${path}`);
  await once(client, 'open');
  return client;
}

const early = await session('/chat/early'); // it has ended before the page is opened
early.close(4000, 'too early');
await once(early, 'close');

const clients = {};
let sending; // what sends frames again and again
for (const path of ['/chat/a', '/chat/b', '/chat/c', '/feed/a', '/feed/b']) clients[path] = await session(path);

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// watch notes what goes wrong on a page, and where it asks.
function watch(page, expected = []) {
  page.setDefaultTimeout(60000);
  page.on('console', (m) => {
    if (m.type() === 'error' || m.type() === 'warning') {
      if (!expected.some((text) => m.text().includes(text))) result.errors.push(m.text());
    }
  });
  page.on('pageerror', (error) => result.errors.push(error.message));
  page.on('request', (r) => result.hosts.push(new URL(r.url()).host));
}

const seen = (page, test, argument) => page.waitForFunction(test, argument, { polling: 100 });
const rowsAre = (page, n) => seen(page, (n) => document.querySelectorAll('.sizer .row').length === n, n);
const row = (page, path) => page.locator('.sizer .row', { has: page.locator(`.uri:text-is("${path}")`) });

try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  watch(page, ['status of 400']); // of a filter that is wrong on purpose
  await page.goto(url);
  result.address = page.url().replace(/^.*:\d+/, '');
  const cookies = await context.cookies();
  result.cookies = cookies.map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite }));
  await rowsAre(page, 5);
  await page.locator('#link:text-is("live")').waitFor();
  await page.locator('#end-list .badge:text-is("4000")').waitFor();

  // Numbers move.
  for (let i = 0; i < 20; i++) clients['/chat/a'].send('hello');
  await seen(page, () => [...document.querySelectorAll('.sizer .row')].some((r) => r.querySelector('.uri').textContent === '/chat/a' && r.querySelector('.messages').textContent === '40'));
  await seen(page, () => document.querySelector('.chart canvas').getAttribute('aria-label').includes('5 open'));
  result.about = await page.locator('#about').textContent();
  result.bars = await page.locator('#bars').textContent();
  result.map = await page.locator('#backends').textContent();

  // The filter.
  await page.locator('#filter [name=route]').fill('feed');
  await rowsAre(page, 2);
  await page.locator('#filter [name=route]').fill('');
  await page.locator('#filter [name=client]').fill('nowhere');
  await page.locator('#filter-problem').waitFor();
  result.wrongFilter = await page.locator('#filter-problem').textContent();
  await page.locator('#filter [type=reset]').click();
  await rowsAre(page, 5);
  await page.locator('#filter-problem').waitFor({ state: 'hidden' });

  // The keyboard: details open with Enter, close with Escape, and the focus comes back.
  await row(page, '/chat/a').locator('[data-act=open]').focus();
  await page.keyboard.press('Enter');
  await page.locator('dialog[open] .details').waitFor();
  result.details = await page.locator('dialog').textContent();
  await page.keyboard.press('Escape');
  await seen(page, () => !document.querySelector('dialog').open && document.activeElement?.dataset.act === 'open');

  // Frames are shown in the details while they pass: their payloads where the route allows it and the box is
  // ticked. Closing the details ends that.
  await row(page, '/chat/b').locator('[data-act=open]').click();
  await page.locator('dialog [name=payload]').check();
  await page.locator('dialog button:text-is("Show frames")').click();
  await page.locator('dialog button:text-is("Stop")').waitFor();
  sending = setInterval(() => clients['/chat/b'].send('<b>shown to the operator</b>'), 100); // the tap may begin after some
  await page.locator('dialog .frames code').first().waitFor();
  result.frames = await page.locator('dialog .frames').textContent();
  result.framesBold = await page.locator('dialog .frames b').count();
  await page.evaluate(() => { // again without payloads: those that wait to be drawn are not
    const button = document.querySelector('dialog .tap button');
    button.click();
    document.querySelector('dialog [name=payload]').click();
    button.click();
  });
  await page.locator('dialog .frames li').first().waitFor();
  result.framesLeft = await page.locator('dialog .frames code').count();

  // While it is paused the frames in view stay, and it says how many have come. Only one kind of them is in view
  // where one is chosen.
  await page.locator('dialog button:text-is("Pause")').click();
  const still = await page.locator('dialog .frames').textContent();
  await seen(page, () => /Paused: [1-9][0-9]* frames? came meanwhile/.test(document.querySelector('dialog .tap [role=status]').textContent));
  await page.locator('dialog button:text-is("Stop")').click(); // the end is no reason to go on
  await page.locator('dialog button:text-is("Show frames")').waitFor();
  result.stayed = still === await page.locator('dialog .frames').textContent();
  await page.locator('dialog button:text-is("Go on")').click();
  await page.locator('dialog button:text-is("Show frames")').click();
  await seen(page, (n) => document.querySelector('dialog .frames').textContent.length > n, still.length);

  // Another kind of frames leaves a pause, and what it holds. Payloads that it holds are not in view where the box
  // is not ticked any more.
  const paused = (more) => seen(page, (more) => Number(/Paused: ([0-9]+)/.exec(document.querySelector('dialog .tap [role=status]').textContent)?.[1]) > more, more);
  await page.locator('dialog button:text-is("Pause")').click();
  await paused(0);
  await page.locator('dialog [name=op]').selectOption('text');
  await page.locator('dialog [name=payload]').check();
  const before = Number((await page.locator('dialog .tap [role=status]').textContent()).match(/[0-9]+/)[0]);
  await paused(before + 1);
  await page.locator('dialog button:text-is("Stop")').click();
  await page.locator('dialog [name=payload]').uncheck();
  const shown = await page.locator('dialog .frames li').count();
  await page.locator('dialog button:text-is("Go on")').click();
  await seen(page, (n) => document.querySelectorAll('dialog .frames li').length > n, shown);
  result.uncovered = (await page.locator('dialog .frames li').allTextContents()).filter((text) => !/^[0-9:.]+ \w+ → \w+ text, [0-9]+ bytes$/.test(text));

  // What asks whether to end the session takes the place of the details, and ends the tap: there can be another one.
  await page.locator('dialog button:text-is("Show frames")').click();
  await page.locator('dialog button:text-is("Stop")').waitFor();
  await page.locator('dialog button:text-is("End session…")').click();
  await page.locator('dialog [name=reason]').waitFor();
  await page.keyboard.press('Escape');
  await row(page, '/chat/b').locator('[data-act=open]').click();
  await page.locator('dialog button:text-is("Show frames")').click();
  await page.locator('dialog .frames li').first().waitFor();

  await page.locator('dialog [name=op]').selectOption('close');
  result.others = await page.locator('dialog .frames li:visible').count();
  clearInterval(sending);
  await page.keyboard.press('Escape');
  await row(page, '/feed/a').locator('[data-act=open]').click();
  await page.locator('dialog button:text-is("Show frames")').click();
  await page.locator('dialog button:text-is("Stop")').waitFor();
  result.boxes = await page.locator('dialog [name=payload]').count();
  await page.keyboard.press('Escape');

  // Details whose answer comes when they are closed ask no more: three answers for the list are longer than until
  // they would.
  const ofOne = '**/sessions/*';
  const held = new Promise((resolve) => { page.route(ofOne, (route) => { result.asked++; resolve(route); }); });
  await row(page, '/chat/c').locator('[data-act=open]').click();
  const late = await held;
  await page.keyboard.press('Escape');
  await late.continue();
  for (let i = 0; i < 3; i++) await page.waitForResponse((r) => r.url().includes('/sessions?'));
  await page.unroute(ofOne);

  // A list that changes leaves the focus alone.
  await page.locator('#columns .client button').click();
  await row(page, '/chat/a').locator('[data-act=end]').focus();
  const extra = await session('/chat/extra');
  await rowsAre(page, 6);
  extra.terminate();
  await rowsAre(page, 5);
  result.focus = await page.evaluate(() => document.activeElement?.closest('.row')?.querySelector('.uri').textContent ?? '');

  // One session ends, with a code and a reason.
  const ended = once(clients['/chat/a'], 'close');
  await row(page, '/chat/a').locator('[data-act=end]').click();
  await page.locator('dialog [name=code]').fill('4001');
  await page.locator('dialog [name=reason]').fill('please log in again');
  await page.locator('dialog [type=submit]').click();
  const [code, reason] = await ended;
  result.closed = { code, reason: String(reason) };
  await page.locator('#end-list .badge:text-is("4001")').waitFor();
  result.end = await page.locator('#end-list').textContent();
  await page.locator('#event-list', { hasText: 'operator' }).waitFor();
  await rowsAre(page, 4);

  // All that match a filter end; they are counted first.
  await page.locator('#filter [name=route]').fill('feed');
  await rowsAre(page, 2);
  const feeds = ['/feed/a', '/feed/b'].map((path) => once(clients[path], 'close'));
  await page.locator('#end-all').click();
  await page.locator('dialog [name=spread]').waitFor();
  result.question = await page.locator('dialog h2').textContent();
  await page.locator('dialog [name=spread]').fill('0s');
  await page.locator('dialog [name=code]').fill('1012');
  await page.locator('dialog [type=submit]').click();
  result.feeds = (await Promise.all(feeds)).map(([code]) => code);
  await page.locator('#filter [type=reset]').click();

  // An endpoint drains, and gets work again.
  const endpoint = page.locator('[aria-label="Backend spare"] .endpoint-row');
  for (const [button, state] of [['Drain', 'draining'], ['Undrain', 'up']]) {
    await endpoint.locator(`button:text-is("${button}")`).click();
    await page.locator('dialog [type=submit]').click();
    await endpoint.locator(`.badge:text-is("${state}")`).waitFor();
  }

  // Many sessions: few rows have elements, and the last one can be reached. What they say stays text.
  const now = new Date().toISOString();
  const counts = { messages: 1, frames: 1, controls: 0, bytes: 10 };
  const hostile = '/<img src=x onerror="document.title=1"><b>bold</b>';
  const list = Array.from({ length: many }, (_, i) => ({
    session: i.toString(16).padStart(16, '0'), request_id: 'r', route: 'chat', backend: 'app', endpoint: '127.0.0.1:1', client: '192.0.2.1', host: 'a.test',
    uri: i === 0 ? hostile : `/many/${i}`, compression: false, opened: new Date(Date.now() - (many - i) * 1000).toISOString(), last: now, from_client: counts, from_backend: counts,
  }));
  await context.route('**/sessions?*', (route) => route.fulfill({ json: list }));
  await seen(page, (n) => document.querySelector('#table').getAttribute('aria-rowcount') === String(n + 1), many);
  await page.locator('.sizer .row').first().waitFor();
  result.hostile = await page.evaluate(() => ({ text: document.querySelector('.sizer .row .uri').textContent, elements: document.querySelectorAll('.sizer .uri *').length }));
  result.wantHostile = hostile;
  result.elements = 0;
  for (const share of [0.25, 0.5, 1]) {
    await page.evaluate((share) => { const v = document.querySelector('#viewport'); v.scrollTop = share * v.scrollHeight; }, share);
    await seen(page, () => {
      const v = document.querySelector('#viewport').getBoundingClientRect();
      const rows = [...document.querySelectorAll('.sizer .row')].map((r) => r.getBoundingClientRect());
      return rows.some((r) => r.top <= v.top + 1) && rows.some((r) => r.bottom >= v.bottom - 1);
    });
    result.elements = Math.max(result.elements, await page.locator('.sizer .row').count());
  }
  result.last = await page.locator('.sizer .row .uri').last().textContent();
  await context.close();

  // What axe finds, in both colour schemes and on a phone, with a dialog too.
  for (const [name, options] of [
    ['light', { colorScheme: 'light' }], ['dark', { colorScheme: 'dark' }],
    ['phone', { colorScheme: 'light', viewport: { width: 360, height: 780 }, isMobile: true }],
  ]) {
    const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
    await context.addCookies(cookies);
    const page = await context.newPage();
    watch(page);
    await page.goto(page_);
    await rowsAre(page, 2);
    await page.locator('#certificate-list li, #certificates-empty:visible').first().waitFor();
    await page.evaluate(axe.source);
    const check = async (where) => {
      const { violations } = await page.evaluate(() => window.axe.run());
      for (const v of violations) {
        if (v.impact === 'serious' || v.impact === 'critical') result.violations.push(`${name}, ${where}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 150)).join(' | ')}`);
      }
    };
    await check('page');
    await page.locator('#end-all').click();
    await page.locator('dialog[open] [name=code]').waitFor();
    await check('dialog');
    await page.keyboard.press('Escape');
    await page.locator('.sizer [data-act=open]').first().click();
    await page.locator('dialog[open] .details').waitFor();
    await check('details');
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) result.violations.push(`${name}: the page is wider than its window`);
    await context.close();
  }
} catch (error) {
  result.failed = String(error.stack ?? error);
} finally {
  clearInterval(sending);
  await browser.close();
  for (const client of Object.values(clients)) client.terminate();
}
result.hosts = [...new Set(result.hosts)];
console.log(JSON.stringify(result));
