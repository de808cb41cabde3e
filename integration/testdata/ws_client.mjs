// A client of ws for Node.js: URL CA-FILE. It ends with 0 when all is well.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import WebSocket from 'ws';

const [url, ca] = process.argv.slice(2);

async function open() {
  const ws = new WebSocket(url, ['chat.v3', 'chat.v1'], { ca: readFileSync(ca), perMessageDeflate: { threshold: 0 } });
  await once(ws, 'open');
  assert.equal(ws.protocol, 'chat.v1');
  assert.equal(ws.extensions, 'permessage-deflate');
  return ws;
}

{
  const ws = await open();
  const messages = ['hello', '', 'wörld ☃', 'compressible '.repeat(100_000), Buffer.alloc(0), randomBytes(1 << 20)];
  for (const message of messages) {
    ws.send(message);
    const [data, binary] = await once(ws, 'message');
    assert.equal(binary, typeof message !== 'string');
    assert.ok(data.equals(Buffer.from(message)));
  }
  for (const [part, fin] of [['frag', false], ['men', false], ['ted', true]]) ws.send(part, { fin });
  const [data] = await once(ws, 'message');
  assert.equal(data.toString(), 'fragmented');

  ws.ping('payload');
  const [pong] = await once(ws, 'pong');
  assert.equal(pong.toString(), 'payload');

  ws.close(4001, "client's reason");
  const [code, reason] = await once(ws, 'close');
  assert.deepEqual([code, reason.toString()], [4001, "client's reason"]);
}
{
  const ws = await open();
  ws.send("close 4002 server's reason");
  const [code, reason] = await once(ws, 'close');
  assert.deepEqual([code, reason.toString()], [4002, "server's reason"]);
}
