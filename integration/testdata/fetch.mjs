// Headless Chromium on one page that uses fetch and EventSource: a JSON object
// on the command line says where and how much; what the page saw goes to
// standard output.
import { chromium } from 'playwright-core';

const { page: url, spki, resolve, bytes, events } = JSON.parse(process.argv[2]);

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
  await page.goto(url);
  console.log(JSON.stringify(await page.evaluate(async ([bytes, events]) => {
    const up = await fetch('/up', { method: 'POST', body: new Blob([new Uint8Array(bytes)]) });
    const uploaded = Number(await up.text());
    let downloaded = 0;
    const down = await fetch(`/down?bytes=${bytes}`);
    for await (const part of down.body) downloaded += part.length;
    const heard = await new Promise((done) => {
      const heard = [];
      const source = new EventSource(`/events?count=${events}`);
      source.onmessage = ({ data }) => {
        if (heard.push(data) === events) {
          source.close();
          done(heard);
        }
      };
      source.onerror = () => done(heard);
    });
    const aborted = new AbortController();
    const hanging = fetch(`/events?count=1`, { signal: aborted.signal }).then((r) => r.text());
    aborted.abort();
    return {
      uploaded, downloaded, heard,
      aborted: await hanging.catch((e) => e.name),
      protocol: performance.getEntriesByType('navigation')[0].nextHopProtocol,
    };
  }, [bytes, events])));
} finally {
  await browser.close();
}
