// Headless Chromium on one page: a JSON object on standard input says which, and
// what its talk() is called with; the results go to standard output.
import { json } from 'node:stream/consumers';
import { chromium } from 'playwright-core';

const { page: url, spki, resolve, talks } = await json(process.stdin);

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    `--host-resolver-rules=${resolve}`,
    // Nothing but the certificate with this key is excused from a public root.
    `--ignore-certificate-errors-spki-list=${spki}`,
  ],
});
try {
  const page = await browser.newPage();
  const answer = await page.goto(url);
  const results = [];
  for (const [url, options] of talks) {
    results.push(await page.evaluate(([url, options]) => talk(url, options), [url, options]));
  }
  console.log(JSON.stringify({
    status: answer.status(),
    heading: await page.textContent('h1'),
    secure: await page.evaluate(() => isSecureContext),
    results,
  }));
} finally {
  await browser.close();
}
