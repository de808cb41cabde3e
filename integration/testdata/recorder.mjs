// An HTTP server of Node.js that records requests, each when it has come whole, and answers
// it with the record and its number in X-Recorded. /.recorded/CLIENT hands over what is
// recorded of a client, which is the connection's address, or X-Forwarded-For behind a gateway;
// /.recorded/ hands over all that is left, by client.
// Bytes are characters of the same number.
import { createServer } from 'node:http';

const journal = new Map();
let count = 0;

const pairs = (raw) => raw.flatMap((name, i) => (i % 2 ? [] : [[name, raw[i + 1]]]));

const server = createServer((request, response) => {
  if (request.url.startsWith('/.recorded/')) {
    const client = request.url.slice('/.recorded/'.length);
    response.end(JSON.stringify(client ? (journal.get(client) ?? []) : Object.fromEntries(journal)));
    journal.delete(client);
    return;
  }
  const id = ++count;
  const peer = request.socket.remoteAddress;
  const body = [];
  // In events: between the last byte of a request and its end there is no moment at which its connection could be cut.
  // So whoever is recorded was recorded after all that came before it.
  request.on('error', () => {}); // cut
  request.on('data', (part) => body.push(part));
  request.on('end', () => record(id, peer, body, request, response));
});

function record(id, peer, body, request, response) {
  const entry = {
    id,
    method: request.method,
    target: request.url,
    fields: pairs(request.rawHeaders),
    body: Buffer.concat(body).toString('latin1'),
    trailers: pairs(request.rawTrailers),
  };
  const client = peer === '127.0.0.1' ? request.headers['x-forwarded-for'] : peer;
  journal.set(client, [...(journal.get(client) ?? []), entry]);
  const text = JSON.stringify(entry);
  response.setHeader('X-Recorded', `${id} ${entry.method}`);
  if (id % 2) response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}
// Node.js has a list of methods, and refuses all others: X-Refused says so.
server.on('clientError', (error, socket) => {
  socket.resume();
  if (socket.writable) socket.end(`HTTP/1.1 400 Bad Request\r\nX-Refused: ${error.code}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
});
server.keepAliveTimeout = 0; // none
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
