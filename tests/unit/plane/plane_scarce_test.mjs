// The plane when something runs out: descriptors, and (as root) the disk. node plane_scarce_test.mjs PATH/klystrr-plane
import { spawn, spawnSync, execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Ws, request, newKey, keyOfPoint, envelope, sha256, b64 } from './wsclient.mjs';

const program = process.argv[2], dir = fs.mkdtempSync(path.join(os.tmpdir(), 'klystrr-plane-scarce-'));
let failures = 0, plane, log = '';
process.on('exit', () => { plane?.kill('SIGKILL'); });
function check(name, ok, more) {
  console.log(`${ok ? 'ok' : 'not ok'} - ${name}`);
  if (!ok) { failures++; console.log('#  ' + JSON.stringify(more)); }
}
const freePort = () => new Promise((resolve) => {
  const s = net.createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => resolve(port)); });
});
const until = async (ask, ms = 20000) => {
  for (const end = Date.now() + ms; Date.now() < end;) { const v = await ask(); if (v) return v; await new Promise((r) => setTimeout(r, 50)); }
  return undefined;
};
const healthy = (base, ca) => until(async () => { try { return (await request(base, 'GET', '/healthz', { ca })).status === 200; } catch { return false; } });
async function make(name) {
  const data = path.join(dir, name), api = await freePort(), agents = await freePort();
  return { data, apiPort: api, agentPort: agents, api: `https://127.0.0.1:${api}`, agents: `https://127.0.0.1:${agents}`,
    init: ['init', '--data', data, '--api', `https://127.0.0.1:${api}`, '--agents', `https://127.0.0.1:${agents}`] };
}
function run(command, args) {
  plane = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  plane.stderr.on('data', (d) => { log += d; });
  plane.done = new Promise((resolve) => plane.on('exit', (code, signal) => resolve({ code, signal })));
}

// ---- descriptors ----

{
  const p = await make('few');
  spawnSync(program, p.init);
  const ca = fs.readFileSync(path.join(p.data, 'ca.pem'), 'utf8');
  run('sh', ['-c', `ulimit -n 48; exec ${program} run --data ${p.data}`]);
  check('it comes up with 48 descriptors', await healthy(p.api, ca));
  const sockets = [];
  for (let i = 0; i < 120; i++) { const s = net.connect(i % 2 ? p.apiPort : p.agentPort, '127.0.0.1'); s.on('error', () => {}); sockets.push(s); }
  await new Promise((r) => setTimeout(r, 1000));
  check('it lives through 120 connections', plane.exitCode === null && plane.signalCode === null, log);
  sockets.forEach((s) => s.destroy());
  check('and answers again when they are gone', await healthy(p.api, ca));
  plane.kill('SIGTERM');
  check('and ends in order', (await plane.done).code === 0, log);
}

// ---- the disk ----

const mounted = process.getuid() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
if (!mounted) console.log('skip - a full disk: needs root, to mount one of its own');
else {
  const p = await make('full');
  fs.mkdirSync(p.data, { mode: 0o700 });
  run('unshare', ['-m', '--propagation', 'private', 'sh', '-c', `mount -t tmpfs -o size=1200k,mode=700 tmpfs ${p.data} && ${program} ${p.init.join(' ')} >/dev/null && exec ${program} run --data ${p.data}`]);
  const inside = await until(() => { const f = `/proc/${plane.pid}/root${p.data}`; return fs.existsSync(path.join(f, 'admin.key')) && f; });
  const ca = await until(() => { try { return fs.readFileSync(path.join(inside, 'ca.pem'), 'utf8'); } catch { return undefined; } });
  check('it comes up on a small disk', await healthy(p.api, ca), log);
  const key = fs.readFileSync(path.join(inside, 'admin.key'), 'utf8').trim();
  const call = (method, what, body) => request(p.api, method, what, { ca, key, body });
  const about = (await call('GET', '/api/v1/plane')).json, point = Buffer.from(about.order_key, 'base64');
  const root = newKey(), manifestKey = newKey(), seal = newKey(), time = (ms) => new Date(ms).toISOString();
  const orderId = sha256(keyOfPoint(point).export({ type: 'spki', format: 'der' })).toString('hex');
  const role = (id) => ({ keyids: [id], threshold: 1 }), dates = { issued: time(Date.now()), expires: time(Date.now() + 86400e5) };
  await call('PUT', '/api/v1/trust', envelope('trust', { type: 'trust', version: 1, ...dates, plane: { id: about.id, urls: [p.agents], mode: 'direct', ca: about.ca_sha256 },
    keys: { [root.keyid]: b64(root.point), [manifestKey.keyid]: b64(manifestKey.point), [orderId]: about.order_key },
    roles: { root: role(root.keyid), manifest: role(manifestKey.keyid), order: role(orderId) }, hosts: [] }, root).text);
  const server = (await call('POST', '/api/v1/servers', { name: 'web1' })).json;
  execFileSync('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path.join(dir, 'k')], { stdio: 'ignore' });
  execFileSync('openssl', ['req', '-new', '-key', path.join(dir, 'k'), '-subj', '/CN=x', '-out', path.join(dir, 'r')], { stdio: 'ignore' });
  const cert = (await request(p.agents, 'POST', '/agent/v1/enrol', { ca, body: { token: server.secret, server: server.id, csr: fs.readFileSync(path.join(dir, 'r'), 'utf8'), seal: b64(seal.point), hostname: 'h', version: '0.1.0' } })).json.certificate;
  await call('POST', '/api/v1/projects', { name: 'shop' });
  await call('PUT', '/api/v1/projects/shop/manifest', envelope('manifest', { type: 'manifest', project: 'shop', version: 1, ...dates, servers: [server.id],
    source: { url: 'https://git.example.org/shop.git', ref: 'refs/heads/main' }, runtime: { node: 'system' }, phases: {},
    apps: [{ name: 'web', process: 'pm2', run: ['node', 's.js'], vhost: { names: ['shop.example.org'], listen: 8080 } }] }, manifestKey).text);
  const dep = (await call('POST', '/api/v1/projects/shop/deployments', { commit: 'a'.repeat(40) })).json.deployments[0];
  const connect = async () => {
    const w = await Ws.connect({ port: p.agentPort, ca, cert, key: fs.readFileSync(path.join(dir, 'k'), 'utf8') });
    w.send({ type: 'hello', server: server.id, version: '0.1.0', features: [], box_level: 1, challenge: crypto.randomBytes(32).toString('base64'),
      wall: time(Date.now()), trust: 1, seal: b64(seal.point), projects: [], streams: [{ name: `log/${dep.id}`, base: 0, end: 200000, closed: false }] });
    return { w, welcome: await w.until('welcome') };
  };
  let { w } = await connect();
  const bytes = crypto.randomBytes(200000);
  w.send({ type: 'open', handle: 1, name: `log/${dep.id}`, from: 0 });
  w.data(1, 0, bytes.subarray(0, 1000));
  check('while there is room bytes are acknowledged', (await w.until('ack'))?.offset === 1000);
  // All but a little; then all.
  const fill = path.join(inside, 'fill');
  const fd = fs.openSync(fill, 'w');
  for (let size = 65536; size >= 1; size = size > 1 ? size >> 1 : 0) for (;;) try { fs.writeSync(fd, Buffer.alloc(size)); } catch { break; }
  w.data(1, 1000, bytes.subarray(1000, 61000));
  const seen = [];
  for (let m; (m = await w.next());) seen.push(m);
  check('on a full disk nothing is acknowledged, and the host is told to come back', !seen.some((m) => m.type === 'ack') &&
    seen.some((m) => m.code === 'E_STORE') && seen.some((m) => m.type === 'goaway' && m.retry_after > 0), seen);
  let r;
  for (let i = 0; i < 20 && r?.status !== 507; i++) r = await call('POST', '/api/v1/projects', { name: `p${i}` });
  check('the API says 507 E_STORE', r.status === 507 && r.json.error.code === 'E_STORE', r.text);
  check('and still answers', (await call('GET', '/api/v1/servers')).status === 200);
  fs.closeSync(fd);
  fs.unlinkSync(fill);
  const again = await connect();
  w = again.w;
  check('with room again the host goes on where it was acknowledged', again.welcome?.streams[0]?.from === 1000, again.welcome);
  w.send({ type: 'open', handle: 1, name: `log/${dep.id}`, from: 1000 });
  w.data(1, 1000, bytes.subarray(1000, 61000));
  check('and it is all there', (await w.until('ack'))?.offset === 61000 && (await call('GET', `/api/v1/deployments/${dep.id}/log.gz`)).raw.equals(bytes.subarray(0, 61000)));
  plane.kill('SIGTERM');
  check('it ends in order', (await plane.done).code === 0, log);
}
check('the sanitizers said nothing', !/Sanitizer|runtime error/.test(log), log);
if (failures > 0) { console.log(log); process.exit(1); }
fs.rmSync(dir, { recursive: true });
