// A client of ws for Node.js: URL. It sends each line of its standard input as a message, and prints the
// extensions that were agreed on, then each answer.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const ws = new WebSocket(process.argv[2], ['chat.v1'], { perMessageDeflate: { threshold: 0 } });
const opened = once(ws, 'open');
const [answer] = await once(ws, 'upgrade');
console.log(answer.headers['sec-websocket-extensions']);
await opened;
ws.on('message', (data) => console.log(data.toString()));
for await (const line of createInterface({ input: process.stdin })) ws.send(line);
ws.close(1000);
