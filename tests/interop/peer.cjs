// The other side, made of npm's ws: `serve [CERT KEY]` prints its port and echoes; `client URL [CA]` checks our echo.
const fs = require('fs');
const WebSocket = require('ws');
const [mode, first, second] = process.argv.slice(2);

function serve() {
  const options = first ? { cert: fs.readFileSync(first), key: fs.readFileSync(second) } : {};
  const http = first ? require('https').createServer(options) : require('http').createServer();
  const server = new WebSocket.Server({ server: http, perMessageDeflate: true });
  server.on('connection', (ws) => ws.on('message', (data, binary) => ws.send(data, { binary })));
  http.listen(0, '127.0.0.1', () => console.log(http.address().port));
}

function client() {
  const ws = new WebSocket(first, ['other', 'klystrr.agent.v1'], { ca: second && fs.readFileSync(second) });
  const messages = ['grüß dich', '', Buffer.alloc(200000, 7), 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65536)];
  let at = 0;
  let pong = false;
  const bad = (why) => { console.error(why); process.exit(1); };
  ws.on('open', () => {
    if (ws.protocol !== 'klystrr.agent.v1' || ws.extensions !== '') bad('negotiated: ' + ws.protocol + ws.extensions);
    ws.ping('hello');
    messages.forEach((m) => ws.send(m));
    ws.send('in ', { fin: false });
    ws.send('two', { fin: true });
  });
  ws.on('pong', (data) => { pong = data.toString() === 'hello'; });
  ws.on('message', (data, binary) => {
    const want = at < messages.length ? messages[at] : 'in two';
    if (binary !== Buffer.isBuffer(want) || Buffer.compare(data, Buffer.from(want)) !== 0) bad('another echo at ' + at);
    if (at++ === messages.length) ws.close(1000, 'done');
  });
  ws.on('close', (code) => (code === 1000 && pong ? process.exit(0) : bad('closed ' + code + ', pong ' + pong)));
  ws.on('error', (e) => bad(e));
}

(mode === 'serve' ? serve : client)();
