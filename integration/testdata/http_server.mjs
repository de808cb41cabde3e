// An HTTP server of Node.js: /page.html, /down?bytes=N, /events?count=N, and the
// length of what is sent to /up.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

const chunk = Buffer.alloc(64 << 10, 'x');

async function* bytes(left) {
  for (; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const parameter = (name) => Number(url.searchParams.get(name));
  switch (url.pathname) {
    case '/down':
      await pipeline(bytes(parameter('bytes')), response).catch(() => {}); // the client has left
      break;
    case '/events':
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      for (let n = 0; n < parameter('count'); n++) response.write(`id: ${n}\ndata: event ${n}\n\n`);
      request.on('close', () => response.end());
      break;
    case '/up': {
      let length = 0;
      for await (const part of request) length += part.length;
      response.setHeader('X-Method', request.method);
      response.end(String(length));
      break;
    }
    default:
      response.writeHead(200, { 'Content-Type': 'text/html' });
      response.end(await readFile(new URL('page.html', import.meta.url)));
  }
});
// Longer than the gateway keeps a connection: one that closes while a request is
// on its way to it fails the request, if that cannot be sent again.
server.keepAliveTimeout = 120_000;
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
