// A small real application: a page that shows its version, uploads that outlive a release, and a clock sent by
// the server, so that a dropped connection would show at once.
const express = require('express');
const fs = require('node:fs');
const path = require('node:path');

const build = JSON.parse(fs.readFileSync(path.join(__dirname, 'build.json'), 'utf8'));
const uploads = path.join(__dirname, '..', 'uploads');
const release = process.env.KLYSTRR_RELEASE || 'not deployed';
const app = express();
const clocks = new Set();

app.disable('x-powered-by');
app.get('/healthz', (req, res) => res.json({ status: 'ok', version: build.version }));
app.get('/client.js', (req, res) => res.sendFile(path.join(__dirname, 'client.js')));
app.get('/style.css', (req, res) => res.sendFile(path.join(__dirname, 'style.css')));

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

app.get('/', (req, res) => {
  const files = fs.readdirSync(uploads).filter((name) => !name.startsWith('.')).sort();
  const list = files.map((name) => `<li>${escape(name)}</li>`).join('') || '<li class="none">nothing yet</li>';
  res.type('html').send(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Klystrr sample</title><link rel="stylesheet" href="/style.css"></head>
<body><main>
<h1>${escape(process.env.GREETING || 'It is live.')}</h1>
<dl><dt>Version</dt><dd id="version">${escape(build.version)}</dd>
<dt>Release</dt><dd id="release">${escape(release)}</dd>
<dt>Node</dt><dd>${escape(process.version)}</dd>
<dt>Server's clock</dt><dd><time id="clock">…</time> <span id="drops"></span></dd></dl>
<h2>Uploads <small>kept over releases</small></h2><ul id="uploads">${list}</ul>
<p><input type="file" id="file"> <button id="send">Upload</button></p>
</main><script src="/client.js"></script></body></html>`);
});

app.put('/uploads/:name', express.raw({ type: () => true, limit: '8mb' }), (req, res) => {
  const { name } = req.params;
  if (!/^[\w][\w.-]{0,99}$/.test(name)) return res.status(400).json({ error: 'a file name of letters, digits, . _ and -' });
  fs.writeFileSync(path.join(uploads, name), Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0));
  res.status(201).json({ stored: name });
});

app.get('/uploads/:name', (req, res) => res.sendFile(req.params.name, { root: uploads }, (err) => err && res.status(404).end()));

app.get('/clock', (req, res) => {
  res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache', 'X-Accel-Buffering': 'no' });
  res.flushHeaders();
  const tick = () => res.write(`data: ${new Date().toISOString()}\n\n`);
  const timer = setInterval(tick, 1000);
  clocks.add(res);
  tick();
  req.on('close', () => {
    clearInterval(timer);
    clocks.delete(res);
  });
});

// Without PORT there is nothing sensible to listen on: say so instead of guessing.
const port = Number(process.env.PORT);
if (!port) throw new Error('PORT is not set');
const server = app.listen(port, process.env.HOST || '127.0.0.1', () => {
  console.log(`version ${build.version} listens on ${port}`);
});

// Finish what is being answered, end the clocks, then go.
const leave = () => {
  server.close(() => process.exit(0));
  for (const res of clocks) res.end();
  setTimeout(() => server.closeAllConnections(), 5000).unref();
};
process.on('SIGTERM', leave);
process.on('SIGINT', leave);
