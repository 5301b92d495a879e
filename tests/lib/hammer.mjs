// hammer.mjs URL STOP-FILE: asks URL over keep-alive connections, without a pause, until STOP-FILE exists, and listens to its
// /clock meanwhile. Prints {"requests", "failed", "reset", "versions", "clocks", "first"}: a request failed if it was not answered 200.
import http from 'node:http';
import { existsSync } from 'node:fs';

const [url, stop] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
const seen = { requests: 0, failed: 0, versions: {}, clocks: 0, first: null };
let over = false;

const get = () => new Promise((resolve) => {
  const request = http.get(`${url}/healthz`, { agent, timeout: 10000 }, (response) => {
    let body = '';
    response.on('data', (chunk) => { body += chunk; });
    response.on('end', () => {
      seen.requests += 1;
      if (response.statusCode !== 200) { seen.failed += 1; seen.first ??= `status ${response.statusCode}: ${body.slice(0, 200)}`; }
      else { const { version } = JSON.parse(body); seen.versions[version] = (seen.versions[version] ?? 0) + 1; }
      resolve();
    });
    response.on('error', (error) => { seen.failed += 1; seen.first ??= `body: ${error.message}`; resolve(); });
  });
  request.on('timeout', () => request.destroy(new Error('no answer in 10 s')));
  request.on('error', (error) => { seen.requests += 1; seen.failed += 1; seen.first ??= error.message; resolve(); });
});

const worker = async () => { while (!over) await get(); };
http.get(`${url}/clock`, (response) => { response.on('data', () => { seen.clocks += 1; }); response.on('error', () => {}); }).on('error', () => {});
const watch = setInterval(() => { over = existsSync(stop); }, 50);
await Promise.all(Array.from({ length: 8 }, worker));
clearInterval(watch);
console.log(JSON.stringify(seen));
process.exit(0);
