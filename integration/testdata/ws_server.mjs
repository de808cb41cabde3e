// An echo of ws for Node.js, with permessage-deflate and subprotocols. The text
// "close CODE REASON" makes it close.
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: true,
  handleProtocols: (offered) => ['chat.v2', 'chat.v1'].find((p) => offered.has(p)) ?? false,
});
server.on('listening', () => console.log(`127.0.0.1:${server.address().port}`));
server.on('connection', (ws) => {
  ws.on('message', (data, binary) => {
    const close = !binary && /^close (\d+) (.*)$/.exec(data.toString());
    if (close) ws.close(Number(close[1]), close[2]);
    else ws.send(data, { binary });
  });
});
