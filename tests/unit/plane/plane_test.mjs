// The plane as a whole, driven from outside: node plane_test.mjs PATH/klystrr-plane
import { spawn, spawnSync, execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { Ws, request, newKey, keyOfPoint, envelope, openEnvelope, hpkeOpen, sha256, b64 } from './wsclient.mjs';

const program = process.argv[2];
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'klystrr-plane-test-'));
const data = path.join(dir, 'data');
const CANARY = 'canary-7f3a-never-in-clear-91c2', CANARY2 = 'postgres://user:Zx81qqLmRT@db/shop';
let failures = 0, plane, log = '';
process.on('exit', () => plane?.kill('SIGKILL'));

function check(name, ok, more) {
  console.log(`${ok ? 'ok' : 'not ok'} - ${name}`);
  if (!ok) { failures++; console.log('#  ' + (typeof more === 'string' ? more : JSON.stringify(more))); }
}
const freePort = () => new Promise((resolve) => {
  const s = net.createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => resolve(port)); });
});
const until = async (ask, ms = 20000) => {
  for (const end = Date.now() + ms; Date.now() < end;) { const v = await ask(); if (v) return v; await new Promise((r) => setTimeout(r, 25)); }
  return undefined;
};

const apiPort = await freePort(), agentPort = await freePort();
const api = `https://127.0.0.1:${apiPort}`, agents = `https://127.0.0.1:${agentPort}`;
const tipFile = path.join(dir, 'tip'), fetchProgram = path.join(dir, 'fetch'), fetchLog = path.join(dir, 'fetch.log');
const commit = (n) => n.toString(16).padStart(40, '0');
fs.writeFileSync(tipFile, commit(0xa1));
// Stands in for klystrr-fetch: it answers like it, and says what it was given.
fs.writeFileSync(fetchProgram, `#!/bin/sh\nfor a in "$@"; do printf '%s ' "$a"; done >>${fetchLog}\nenv | sort >>${fetchLog}\n` +
  `t=$(cat ${tipFile})\nif [ "$t" = none ]; then echo "klystrr-fetch: E_GIT_REF the ref does not exist there" >&2; exit 1; fi\necho "tip $t"\n`, { mode: 0o755 });

function start(extra = []) {
  plane = spawn(program, ['run', '--data', data, '--fetch-program', fetchProgram, ...extra], { stdio: ['ignore', 'ignore', 'pipe'] });
  plane.stderr.on('data', (d) => { log += d; });
  plane.done = new Promise((resolve) => plane.on('exit', (code, signal) => resolve({ code, signal })));
  return until(async () => { try { return (await request(api, 'GET', '/healthz', { ca })).status === 200; } catch { return false; } });
}

// ---- init ----

const initArgs = ['init', '--data', data, '--api', api, '--agents', agents];
let r = spawnSync(program, initArgs, { encoding: 'utf8' });
check('init makes a plane and says where the key lies', r.status === 0 && r.stdout.includes(path.join(data, 'admin.key')), r);
const snapshot = () => fs.readdirSync(data).filter((f) => !/^plane\.db-/.test(f)).map((f) => f + sha256(fs.readFileSync(path.join(data, f))).toString('hex')).join();
const before = snapshot();
r = spawnSync(program, initArgs, { encoding: 'utf8' });
check('a second init changes nothing', r.status === 0 && snapshot() === before && /already/.test(r.stdout), r);
check('the folder and the keys are private', (fs.statSync(data).mode & 0o777) === 0o700 &&
  ['admin.key', 'ca.key', 'order.key', 'server.key', 'vault.key', 'plane.db'].every((f) => (fs.statSync(path.join(data, f)).mode & 0o077) === 0));
r = spawnSync(program, ['init', '--data', path.join(dir, 'x'), '--api', 'http://h:1', '--agents', agents], { encoding: 'utf8' });
check('init refuses a URL that is not https', r.status === 2 && /E_URL/.test(r.stderr), r);
const ca = fs.readFileSync(path.join(data, 'ca.pem'), 'utf8'), key = fs.readFileSync(path.join(data, 'admin.key'), 'utf8').trim();
check('the API key has its form', /^kly_[A-Za-z0-9_-]{43}$/.test(key));
const call = (method, p, body, o = {}) => request(api, method, p, { ca, key, body, ...o });

check('it comes up', await start());

// ---- doors ----

check('no key: 401', (await request(api, 'GET', '/api/v1/plane', { ca })).status === 401);
check('an unknown path: 404', (await call('GET', '/api/v1/nothing')).status === 404);
check('a wrong method: 405', (await call('DELETE', '/api/v1/plane')).status === 405);
check('another type: 415', (await call('POST', '/api/v1/projects', '{}', { headers: { 'Content-Type': 'text/plain' } })).status === 415);
check('a body too large: 413', (await call('POST', '/api/v1/projects', Buffer.alloc(8192, 32))).status === 413);
for (const bad of ['{', '{"name":"a"}x', '{"name":"a","name":"b"}', '[]', '{"name":"\\u0000"}', '{"name":7}', '{"name":"A b"}', '{"nme":"shop"}'])
  check(`bad body is 400: ${bad}`, (await call('POST', '/api/v1/projects', bad)).status === 400);
const about = (await call('GET', '/api/v1/plane')).json;
check('the plane tells its id, CA and order key', about?.id?.length === 32 && about.ca === ca && about.trust === null, about);
const orderKey = keyOfPoint(Buffer.from(about.order_key, 'base64'));

// ---- trust ----

const root = newKey(), manifestKey = newKey(), stranger = newKey(), nextRoot = newKey();
const orderPoint = Buffer.from(about.order_key, 'base64');
const orderId = sha256(orderKey.export({ type: 'spki', format: 'der' })).toString('hex');
const year = 365 * 86400e3, time = (ms) => new Date(ms).toISOString();
const trustDoc = (version, more = {}, rootKey = root) => ({ type: 'trust', version, issued: time(Date.now()), expires: time(Date.now() + year),
  plane: { id: about.id, urls: [agents], mode: 'direct', ca: about.ca_sha256 },
  keys: { [rootKey.keyid]: b64(rootKey.point), [manifestKey.keyid]: b64(manifestKey.point), [orderId]: b64(orderPoint) },
  roles: { root: { keyids: [rootKey.keyid], threshold: 1 }, manifest: { keyids: [manifestKey.keyid], threshold: 1 }, order: { keyids: [orderId], threshold: 1 } },
  hosts: [], ...more });
let server = (await call('POST', '/api/v1/servers', { name: 'web1' })).json;
check('a server is made with a secret', /^srv_[0-9a-f]{16}$/.test(server?.id) && /^[0-9a-f]{64}$/.test(server.secret), server);
check('the same name again: 409', (await call('POST', '/api/v1/servers', { name: 'web1' })).status === 409);

function openssl(...args) { execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] }); }
const seal = newKey();
openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'host.key');
openssl('req', '-new', '-key', 'host.key', '-subj', '/CN=anything', '-out', 'host.csr');
const csr = fs.readFileSync(path.join(dir, 'host.csr'), 'utf8'), hostKey = fs.readFileSync(path.join(dir, 'host.key'), 'utf8');
const enrol = (s, more = {}) => request(agents, 'POST', '/agent/v1/enrol', { ca, body: { token: s.secret, server: s.id, csr, seal: b64(seal.point), hostname: 'web1.example.org', version: '0.1.0', ...more } });
check('no trust yet: enrolment is 409 and the token stays good', (await enrol(server)).status === 409);

check('trust by a stranger is refused', (await call('PUT', '/api/v1/trust', envelope('trust', trustDoc(1), stranger).text)).status === 422);
check('trust for another plane is refused', (await call('PUT', '/api/v1/trust', envelope('trust', trustDoc(1, { plane: { id: '0'.repeat(32), urls: [agents], mode: 'direct', ca: about.ca_sha256 } }), root).text)).status === 422);
const trust1 = envelope('trust', trustDoc(1), root);
r = await call('PUT', '/api/v1/trust', trust1.text);
check('trust version 1 is taken', r.status === 200 && r.json.digest === trust1.digest, r.text);
check('the same again is fine', (await call('PUT', '/api/v1/trust', trust1.text)).status === 200);
check('backwards and leaps are refused', (await call('PUT', '/api/v1/trust', envelope('trust', trustDoc(1), root).text)).status === 409 &&
  (await call('PUT', '/api/v1/trust', envelope('trust', trustDoc(3), root).text)).status === 409);
check('a new root needs the old one', (await call('PUT', '/api/v1/trust', envelope('trust', trustDoc(2, {}, nextRoot), nextRoot).text)).status === 422);
check('it comes back as it was sent', (await call('GET', '/api/v1/trust')).text === trust1.text);

// ---- enrolment ----

check('a wrong token: 403', (await enrol({ ...server, secret: '0'.repeat(64) })).json?.error?.code === 'E_TOKEN');
check('a CSR that is none is refused and the token stays good', (await enrol(server, { csr: 'no' })).status === 422);
r = await enrol(server);
check('enrolment gives a certificate', r.status === 200 && r.json.plane === about.id && r.json.trust.payload === JSON.parse(trust1.text).payload, r.text);
const cert = r.json.certificate, x = new crypto.X509Certificate(cert);
check('for 90 days, to this server, by the CA', /CN=srv_/.test(x.subject) && x.subject.includes(server.id) && x.verify(new crypto.X509Certificate(ca).publicKey) &&
  Math.abs(new Date(x.validTo) - Date.now() - 90 * 86400e3) < 3600e3, x.validTo);
check('the token works once', (await enrol(server)).status === 403);

// ---- project, manifest, env ----

check('a project', (await call('POST', '/api/v1/projects', { name: 'shop' })).status === 201);
check('the same again: 409', (await call('POST', '/api/v1/projects', { name: 'shop' })).status === 409);
const manifestDoc = (version, more = {}) => ({ type: 'manifest', project: 'shop', version, issued: time(Date.now()), expires: time(Date.now() + year),
  servers: [server.id], source: { url: 'https://git.example.org/shop.git', ref: 'refs/heads/main', credential: 'REPO_TOKEN' }, runtime: { node: 'system' },
  phases: { build: { run: ['npm', 'run', 'build'], env: ['API_TOKEN'] } }, env: { names: ['API_TOKEN', 'DATABASE_URL', 'REPO_TOKEN'] },
  apps: [{ name: 'web', process: 'pm2', run: ['node', 'server.js'], env: ['DATABASE_URL'], vhost: { names: ['shop.example.org'], listen: 8080 } }], ...more });
check('a manifest by the root key is refused', (await call('PUT', '/api/v1/projects/shop/manifest', envelope('manifest', manifestDoc(1), root).text)).status === 422);
const manifest1 = envelope('manifest', manifestDoc(1), manifestKey);
r = await call('PUT', '/api/v1/projects/shop/manifest', manifest1.text);
check('a manifest by the manifest key is taken', r.status === 200 && r.json.digest === manifest1.digest, r.text);
check('the same version with other words: 409', (await call('PUT', '/api/v1/projects/shop/manifest', envelope('manifest', manifestDoc(1, { retain: 9 }), manifestKey).text)).status === 409);
r = await call('PATCH', '/api/v1/projects/shop/env', { set: { API_TOKEN: CANARY, DATABASE_URL: CANARY2, REPO_TOKEN: 'ghp_abcdefghijklmnop', TINY: 'x' }, unset: ['TINY'] });
check('env values are taken', r.status === 200 && r.json.version === 1 && r.json.too_short[0] === 'TINY', r.text);
check('a bad env name is refused whole', (await call('PATCH', '/api/v1/projects/shop/env', { set: { OK_NAME: 'v', 'bad name': 'v' } })).status === 400 &&
  !(await call('GET', '/api/v1/projects/shop/env')).text.includes('OK_NAME'));
r = await call('GET', '/api/v1/projects/shop/env');
check('names come back, values never', r.json.names.length === 3 && !r.text.includes(CANARY), r.text);

// ---- the connection ----

const refused = async (o) => { try { (await Ws.connect({ port: agentPort, ca, ...o })).cut(); return 'connected'; } catch (e) { return e.message; } };
check('no certificate: 403', /403/.test(await refused({})));
check('another subprotocol is refused', /400/.test(await refused({ cert, key: hostKey, protocol: 'klystrr.agent.v9' })));
const connect = () => Ws.connect({ port: agentPort, ca, cert, key: hostKey });
const challenges = [];
const hello = (more = {}) => {
  challenges.push(crypto.randomBytes(32).toString('base64'));
  return { type: 'hello', server: server.id, version: '0.1.0', features: [], box_level: 2, challenge: challenges.at(-1), wall: time(Date.now() - 5000),
    trust: 1, seal: b64(seal.point), projects: [], streams: [], ...more };
};
let w = await connect();
w.send({ type: 'open', handle: 1, name: 'events', from: 0 });
check('hello comes first', (await w.next())?.code === 'E_HELLO');
w.send(hello({ trust: 0 }));
let m = await w.until('welcome');
check('welcome names plane, epoch and heartbeat', m?.plane === about.id && m.epoch?.length === 32 && m.heartbeat === 20, m);
m = await w.next();
check('the trust document follows', m?.type === 'document' && openEnvelope(m.envelope, root.publicKey).digest === trust1.digest, m);
w.send({ type: 'frobnicate' });
check('an unknown type is answered', (await w.next())?.type === 'error');
w.frame(1, Buffer.from('{"type":"hello","type":"hello"}'));
check('bad JSON is answered and survived', (await w.next())?.code === 'E_JSON');
r = (await call('GET', '/api/v1/servers')).json.servers[0];
check('the server shows as connected', r.state === 'connected' && r.box_level === 2 && r.clock_skew_ms < -3000, r);

// ---- an order ----

r = await call('POST', '/api/v1/projects/shop/deployments', { commit: commit(1) });
check('a deployment is asked for', r.status === 202 && r.json.deployments.length === 1, r.text);
let dep = r.json.deployments[0];
const documents = async (n) => { const list = []; while (list.length < n) { const d = await w.until('document'); if (!d) return list; list.push(openEnvelope(d.envelope, orderKey)); } return list; };
let [dm, de, dorder] = await documents(3);
check('manifest, env, order: in this order', /manifest/.test(dm?.type) && /env/.test(de?.type) && /order/.test(dorder?.type));
check('env and order are signed by the order key', de?.good && dorder?.good && !dm?.good);
let o = dorder.document;
check('the order says what was asked', o.server === server.id && o.project === 'shop' && o.sequence === 1 && o.challenge === challenges.at(-1) && o.action === 'deploy' &&
  o.commit === commit(1) && o.deployment === dep.id && o.manifest === manifest1.digest && o.env === de.digest, o);
const sealed = de.document, info = Buffer.from(`klystrr env v1\0${server.id}\0shop\0${sealed.version}`);
const values = JSON.parse(hpkeOpen(seal, Buffer.from(sealed.sealed.enc, 'base64'), info, Buffer.from(sealed.sealed.ct, 'base64'))).values;
check('the host, and only it, can open the values', values.API_TOKEN === CANARY && values.DATABASE_URL === CANARY2 && Object.keys(values).length === 3);

// An order that was lost on the way is made anew; one the host has used is not.
w.cut();
w = await connect();
w.send(hello());
[dm, de, dorder] = await documents(3);
check('after a cut the order is made anew, with a new sequence and challenge', dorder?.document.sequence === 2 && dorder.document.challenge === challenges.at(-1) && dorder.document.deployment === dep.id, dorder);
check('the same env version is the same bytes', de?.digest === o.env);
const projects = [{ project: 'shop', manifest: { version: 1, digest: manifest1.digest }, env: { version: 1, digest: de.digest }, sequence: 2 }];
w.cut();
w = await connect();
w.send(hello({ projects }));
await w.until('welcome');
check('a used order is not sent again', (await w.next(300)) === undefined);

// ---- streams ----

const at = () => time(Date.now());
const eventsAcked = () => w.until('ack', (a) => a.name === 'events' && a.offset === events.length);
const event = (e) => Buffer.from(JSON.stringify({ at: at(), project: 'shop', ...e }) + '\n');
const state = (d, s) => event({ event: 'state', deployment: d, state: s });
const result = (d, more) => event({ event: 'result', deployment: d, outcome: 'live', text: 'done', elapsed_ms: 1234, serving: null, ...more });
let events = Buffer.concat([state(dep.id, 'accepted'), state(dep.id, 'building')]);
w.send({ type: 'open', handle: 1, name: 'events', from: 0 });
w.data(1, 0, events);
m = await w.until('ack');
check('events are acknowledged to their end', m?.name === 'events' && m.offset === events.length, m);
check('and change the deployment', (await call('GET', `/api/v1/deployments/${dep.id}`)).json.state === 'building');

const sse = (id, after) => request(api, 'GET', `/api/v1/deployments/${id}/events`, { ca, key, headers: after ? { 'Last-Event-ID': after } : {} });
const following = sse(dep.id).catch(() => null);
const lines = (n, tag) => Buffer.from(Array.from({ length: n }, (_, i) => `2026-11-22T00:00:00.${String(i % 1000).padStart(3, '0')}Z build out │ ${tag} line ${i} ${crypto.randomBytes(20).toString('hex')}\n`).join(''));
const text1 = lines(3000, 'first'), text2 = lines(50, 'second'), gz = Buffer.concat([zlib.gzipSync(text1), zlib.gzipSync(text2)]);
w.send({ type: 'open', handle: 2, name: `log/${dep.id}`, from: 0 });
let sent = 0;
for (; sent < gz.length - 100; sent += 30000) w.data(2, sent, gz.subarray(sent, Math.min(sent + 30000, gz.length - 100)));
m = await w.until('ack', (a) => a.offset === gz.length - 100);
check('log bytes are acknowledged', m?.offset === gz.length - 100, m);
w.data(2, 0, gz.subarray(0, 5000));
w.data(2, gz.length + 5, Buffer.from('beyond'));
m = await w.until('ack');
check('bytes beyond the end are answered with the end', m?.offset === gz.length - 100, m);

// The plane dies; the host comes back and goes on.
plane.kill('SIGKILL');
await plane.done;
fs.appendFileSync(path.join(data, 'logs', `${dep.id}.gz`), 'bytes that were never acknowledged');
await following;
check('it comes up again after kill -9', await start());
w = await connect();
w.send(hello({ projects, streams: [{ name: 'events', base: 0, end: events.length, closed: false }, { name: `log/${dep.id}`, base: 0, end: gz.length, closed: true }] }));
m = await w.until('welcome');
check('welcome knows what is durable', m?.streams.find((s) => s.name === 'events')?.from === events.length &&
  m.streams.find((s) => s.name === `log/${dep.id}`)?.from === gz.length - 100, m);
w.send({ type: 'open', handle: 1, name: 'events', from: 0 });
w.send({ type: 'open', handle: 2, name: `log/${dep.id}`, from: gz.length - 200 });
w.data(1, 0, events);
const following2 = sse(dep.id);
w.data(2, gz.length - 200, gz.subarray(gz.length - 200), true);
m = await w.until('ack', (a) => a.name !== 'events' && a.offset === gz.length);
check('the rest is taken, what was there is skipped', m?.offset === gz.length, m);
const release1 = `2-${commit(1).slice(0, 12)}`;
const done1 = result(dep.id, { release: release1, commit: commit(1), serving: release1 });
w.data(1, events.length, done1.subarray(0, 40));
w.data(1, events.length + 40, Buffer.concat([done1.subarray(40), Buffer.from('this is no event\n')]));
events = Buffer.concat([events, done1, Buffer.from('this is no event\n')]);
m = await w.until('ack', (a) => a.name === 'events' && a.offset === events.length);
check('a line in two messages, and one that is none', m?.offset === events.length, m);
r = (await call('GET', `/api/v1/deployments/${dep.id}`)).json;
check('the result stands', r.state === 'done' && r.outcome === 'live' && r.elapsed_ms === 1234 && r.serving === release1, r);
w.send({ type: 'open', handle: 3, name: `log/${dep.id}`, from: gz.length });
w.data(3, gz.length, Buffer.alloc(0), true);
m = await w.until('ack', (a) => a.name !== 'events');
check('an end whose ack was lost is acknowledged again', m?.offset === gz.length, m);
w.data(3, gz.length, Buffer.alloc(0), true);
check('and its handle is free then', (await w.until('error'))?.code === 'E_STREAM_HANDLE');
const whole = Buffer.concat([text1, text2]);
check('the log as text is whole and once', (await call('GET', `/api/v1/deployments/${dep.id}/log`)).raw.equals(whole));
check('the log as stored is the same bytes', (await call('GET', `/api/v1/deployments/${dep.id}/log.gz`)).raw.equals(gz));
const parseSse = (text) => text.split('\n\n').filter((b) => b.startsWith('event')).map((b) => ({ event: /^event: (.*)$/m.exec(b)[1], id: /^id: (.*)$/m.exec(b)[1], data: JSON.parse(/^data: (.*)$/m.exec(b)[1]) }));
const followed = parseSse((await following2).text);
check('following tells states, log and result, and ends', followed.map((e) => e.event).filter((e, i, a) => e !== a[i - 1]).join().includes('log') &&
  followed.some((e) => e.data.state === 'building') && followed.some((e) => e.event === 'result') &&
  Buffer.from(followed.filter((e) => e.event === 'log').map((e) => e.data.text).join('')).equals(whole), followed.map((e) => e.event).join());
const middle = followed[Math.floor(followed.length / 2)];
const resumed = parseSse((await sse(dep.id, middle.id)).text);
check('Last-Event-ID goes on from there', resumed.length === followed.length - followed.indexOf(middle) - 1, [resumed.length, followed.length, middle.id]);
r = (await call('GET', '/api/v1/projects/shop')).json;
check('the project knows its live release', r.live[0]?.release === release1, r);

// ---- webhook and polling ----

const hook = (await call('PUT', '/api/v1/projects/shop/webhook')).json;
const body = JSON.stringify({ ref: 'refs/heads/main', after: commit(0xbad) });
const deliver = (headers, b = body) => request(api, 'POST', hook.url, { ca, body: b, headers });
const hmac = (b) => 'sha256=' + crypto.createHmac('sha256', hook.secret).update(b).digest('hex');
check('a delivery with a wrong signature: 403', (await deliver({ 'X-Hub-Signature-256': hmac(body + 'x') })).status === 403);
check('one without: 403', (await deliver({})).status === 403);
const deployments = async () => (await call('GET', '/api/v1/projects/shop/deployments')).json.deployments;
const first = (await deployments()).length;
r = await Promise.all([deliver({ 'X-Hub-Signature-256': hmac(body) }), deliver({ 'X-Hub-Signature-256': hmac(body) }), deliver({ 'X-Gitlab-Token': hook.secret })]);
check('good ones: 202', r.every((v) => v.status === 202), r.map((v) => v.text));
m = (await documents(1))[0];
check('the head is resolved anew, not believed', m?.document.commit === commit(0xa1) && m.document.action === 'deploy' && m.document.sequence === 3, m);
await deliver({ 'X-Gitlab-Token': hook.secret });
await until(async () => fs.readFileSync(fetchLog, 'utf8').split('resolve').length > 4);
check('three deliveries are one deployment', (await deployments()).length === first + 1, await deployments());
r = fs.readFileSync(fetchLog, 'utf8');
check('the child gets no value and no environment of ours', !r.includes('ghp_') && !r.includes('HOME=') && r.includes('--credential-fd'), r.slice(0, 400));
const dep2 = (await deployments())[0];
check('what asked for it is told', dep2.trigger === 'webhook', dep2);
r = await call('PATCH', '/api/v1/projects/shop', { poll_seconds: 5 });
check('polling every 5 s is refused', r.status === 400);

// ---- one after the other; cancel; superseded ----

r = await call('POST', '/api/v1/projects/shop/deployments', { commit: commit(3) });
const dep3 = r.json.deployments[0];
check('a second one waits for the first', dep3.state === 'waiting');
r = await call('POST', '/api/v1/projects/shop/deployments', {});
const dep4 = r.json.deployments?.[0];
check('without a commit the head is asked for', r.status === 202 && dep4?.commit === commit(0xa1), r.text);
check('a newer one takes the place of one that waits', (await call('GET', `/api/v1/deployments/${dep3.id}`)).json.outcome === 'superseded');
r = await call('POST', `/api/v1/deployments/${dep4.id}/cancel`, '');
check('one that waits is cancelled at once', r.status === 202 && r.json.outcome === 'cancelled', r.text);
check('and its events end', parseSse((await sse(dep4.id)).text).at(-1).data.outcome === 'cancelled');
r = await call('POST', `/api/v1/deployments/${dep2.id}/cancel`, '');
m = (await documents(1))[0];
check('one that runs gets an order', r.status === 202 && m?.document.action === 'cancel' && m.document.target === dep2.id, m);
events = Buffer.concat([events, Buffer.alloc(77)]); // deleted by the host: it goes on behind them
w.send({ type: 'open', handle: 1, name: 'events', from: events.length });
const cancelled = result(dep2.id, { outcome: 'cancelled', text: 'as asked', serving: release1 });
w.data(1, events.length, cancelled);
events = Buffer.concat([events, cancelled]);
await eventsAcked();
check('and is over when its host says so', (await call('GET', `/api/v1/deployments/${dep2.id}`)).json.outcome === 'cancelled');
check('twice: 409', (await call('POST', `/api/v1/deployments/${dep2.id}/cancel`, '')).status === 409);

w.send({ type: 'open', handle: 9, name: `log/${dep2.id}`, from: 500 });
w.data(9, 500, zlib.gzipSync('what is left\n'));
m = await w.until('ack', (a) => a.name === `log/${dep2.id}` && a.offset > 500);
// As after a restore from a backup: the stream is known, but the host begins beyond what is known of it.
const later = m.offset + 70;
w.send({ type: 'open', handle: 9, name: `log/${dep2.id}`, from: later });
w.data(9, later, zlib.gzipSync('and later\n'), true);
await w.until('ack', (a) => a.name === `log/${dep2.id}` && a.offset > later);
r = (await call('GET', `/api/v1/deployments/${dep2.id}/log`)).text;
check('bytes a host has deleted show as a gap', /kly │ 500 bytes of this log are missing.*\nwhat is left\n/.test(r), r);
check('also in a log that is known', /\nwhat is left\n.*kly │ 70 bytes of this log are missing.*\nand later\n$/.test(r), r);
w.send({ type: 'open', handle: 9, name: 'log/dep_ffffffffffffffff', from: 0 });
w.data(9, 0, Buffer.from('of a deployment that was deleted'), true);
m = await w.until('ack', (a) => a.name === 'log/dep_ffffffffffffffff' && a.offset > 0);
check('a log of a deleted deployment is taken and dropped', m?.offset === 32 && !fs.existsSync(path.join(data, 'logs', 'dep_ffffffffffffffff.gz')), m);

// ---- rollback, restart ----

check('nothing to go back to: 409', (await call('POST', '/api/v1/projects/shop/rollback', {})).json.error?.code === 'E_NO_RELEASE');
dep = (await call('POST', '/api/v1/projects/shop/deployments', { commit: commit(5) })).json.deployments[0];
m = (await documents(1))[0];
const release2 = `${m.document.sequence}-${commit(5).slice(0, 12)}`;
const done2 = result(dep.id, { release: release2, commit: commit(5), serving: release2 });
w.data(1, events.length, done2);
events = Buffer.concat([events, done2]);
await eventsAcked();
r = await call('POST', '/api/v1/projects/shop/rollback', {});
m = (await documents(1))[0];
check('rollback is an order for the release before', m?.document.action === 'activate' && m.document.release === release1 && m.document.sequence > 5, m);
const back = result(r.json.deployments[0].id, { release: release1, commit: commit(1), serving: release1 });
w.data(1, events.length, back);
events = Buffer.concat([events, back]);
await eventsAcked();
r = (await call('GET', '/api/v1/projects/shop/releases')).json.releases;
check('the older release is live, the newer kept', r.find((v) => v.release === release1)?.state === 'live' && r.find((v) => v.release === release2)?.state === 'kept', r);
r = await call('POST', '/api/v1/projects/shop/restart', {});
m = (await documents(1))[0];
check('restart activates the live one', m?.document.release === release1, m);
w.send({ type: 'error', code: 'E_CHALLENGE', text: 'too old', about: m.digest });
m = await w.until('want');
check('an order refused for its challenge asks for a new one', m?.what === 'challenge', m);
w.send(hello({ projects: [{ ...projects[0], sequence: m ? 9 : 0 }] }));
m = (await documents(1))[0];
check('and is made anew above the sequence the host told', m?.document.sequence === 10 && m.document.release === release1, m);
w.send({ type: 'error', code: 'E_AGENT_AWAY', text: 'the agent on this host is restarting', about: '' });
w.send(hello({ projects: [{ ...projects[0], sequence: 9 }] }));
m = (await documents(1))[0];
check('an order that died with the agent is made anew on the same connection', m?.document.sequence === 11 && m.document.challenge === challenges.at(-1), m);
w.send({ type: 'error', code: 'E_BUSY', text: 'dropped', about: 'order' });
check('an order the host had no room for asks what it has', (await w.until('want'))?.what === 'challenge');
w.send(hello({ projects: [{ ...projects[0], sequence: 10 }] }));
m = (await documents(1))[0];
check('and is made anew then', m?.document.sequence === 12 && m.document.release === release1, m);
w.send({ type: 'error', code: 'E_POLICY', text: 'the policy of this host says no', about: m.digest });
check('any other refusal is its result', (await until(async () => { const d = (await call('GET', `/api/v1/deployments/${r.json.deployments[0].id}`)).json; return d.state === 'done' && d; }))?.code === 'E_POLICY');
w.send({ type: 'want', what: 'manifest', digest: manifest1.digest });
check('a wanted manifest is sent', openEnvelope((await w.until('document'))?.envelope, manifestKey.publicKey).good);
w.send({ type: 'want', what: 'env', digest: '0'.repeat(64) });
check('what is not there is said', (await w.until('error'))?.code === 'E_NOT_FOUND');

// ---- renewal, fencing, trust version 2 ----

openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'next.key');
openssl('req', '-new', '-key', 'next.key', '-subj', '/CN=x', '-out', 'next.csr');
w.send({ type: 'cert', csr: fs.readFileSync(path.join(dir, 'next.csr'), 'utf8') });
const cert2 = (await w.until('cert'))?.certificate, key2 = fs.readFileSync(path.join(dir, 'next.key'), 'utf8');
check('a renewed certificate comes over the connection', new crypto.X509Certificate(cert2).subject.includes(server.id));
const old = w;
w = await Ws.connect({ port: agentPort, ca, cert: cert2, key: key2 });
check('the newer connection fences the older', (await old.until('never')) === null && old.code === 4001, old.code);
check('the old certificate is not good any more', /403/.test(await refused({ cert, key: hostKey })));
w.send(hello({ projects: [{ ...projects[0], sequence: 10 }] }));
await w.until('welcome');
const trust2 = envelope('trust', trustDoc(2, { hosts: [{ server: server.id, seal: b64(seal.point) }] }, nextRoot), root, nextRoot);
r = await call('PUT', '/api/v1/trust', trust2.text);
m = await w.until('document');
check('trust version 2, by the old root and the new, reaches the host', r.status === 200 && m && openEnvelope(m.envelope, nextRoot.publicKey).document.version === 2, r.text);

// ---- failures of others ----

fs.writeFileSync(tipFile, 'none');
r = await call('POST', '/api/v1/projects/shop/deployments', { ref: 'feature' });
check('what the Git host says is passed on', r.json.error?.code === 'E_GIT_REF', r.text);
check('a ref with an option in it is refused', (await call('POST', '/api/v1/projects/shop/deployments', { ref: '--upload-pack=x y' })).status === 400);
const junk = await Ws.connect({ port: agentPort, ca, cert: cert2, key: key2 });
junk.frame(2, crypto.randomBytes(100));
check('malformed data closes the connection', (await junk.until('never')) === null && junk.code === 1008, junk.code);
const sockets = Array.from({ length: 50 }, () => { const s = net.connect(apiPort, '127.0.0.1'); s.on('error', () => {}); s.write(crypto.randomBytes(300)); return s; });
check('noise on the port hurts nobody', (await call('GET', '/api/v1/plane')).status === 200);
sockets.forEach((s) => s.destroy());

// ---- polling ----

await call('POST', '/api/v1/projects', { name: 'blog' });
await call('PUT', '/api/v1/projects/blog/manifest', envelope('manifest', manifestDoc(1, { project: 'blog' }), manifestKey).text);
await call('PATCH', '/api/v1/projects/blog/env', { set: { REPO_TOKEN: 'another-token-4711' } });
const blog = async () => (await call('GET', '/api/v1/projects/blog/deployments')).json.deployments;
dep = (await call('POST', '/api/v1/projects/blog/deployments', { commit: commit(0xb1) })).json.deployments[0];
fs.writeFileSync(tipFile, commit(0xb2));
await call('PATCH', '/api/v1/projects/blog', { poll_seconds: 10 });
r = await until(async () => { const d = await blog(); return d.length === 2 && d; }, 20000);
check('a poll finds a new commit and deploys it', r?.[0].commit === commit(0xb2) && r[0].trigger === 'poll', r);
await call('PATCH', '/api/v1/projects/blog', { poll_seconds: 0 });
await call('DELETE', '/api/v1/projects/blog');

// ---- goodbye ----

w = await Ws.connect({ port: agentPort, ca, cert: cert2, key: key2 });
w.send(hello({ trust: 2, projects: [{ ...projects[0], sequence: 10 }] }));
await w.until('welcome');
plane.kill('SIGTERM');
m = await w.until('goaway');
check('SIGTERM says goaway', m?.retry_after >= 0, m);
r = await plane.done;
check('and ends in order', r.code === 0, r);
check('it comes up again', await start());
w = await Ws.connect({ port: agentPort, ca, cert: cert2, key: key2 });
w.send(hello({ trust: 2 }));
await w.until('welcome');
check('removing a server: 204', (await call('DELETE', `/api/v1/servers/${server.id}`)).status === 204);
check('ends its access at once', (await w.until('never')) === null && /403/.test(await refused({ cert: cert2, key: key2 })));
for (let i = 0; i < 12; i++) r = await enrol({ ...server, secret: i.toString(16).padStart(64, '0') });
check('wrong tokens are slowed down: 429', r.status === 429, r.text);
for (let i = 0; i < 12; i++) r = await request(api, 'GET', '/api/v1/plane', { ca, key: 'kly_wrong' });
check('wrong keys are slowed down: 429', r.status === 429, r.text);
check('a good key from the same address is not; removing a project: 204', (await call('DELETE', '/api/v1/projects/shop')).status === 204);
check('and all of it is gone', (await call('GET', `/api/v1/deployments/${dep.id}`)).status === 404 && fs.readdirSync(path.join(data, 'logs')).length === 0);
plane.kill('SIGTERM');
check('it ends in order again', (await plane.done).code === 0);

// ---- no value in clear, anywhere ----

const found = [];
const walk = (d) => { for (const f of fs.readdirSync(d, { withFileTypes: true })) {
  const p = path.join(d, f.name);
  if (f.isDirectory()) walk(p);
  else { const bytes = fs.readFileSync(p); for (const c of [CANARY, CANARY2, 'Zx81qqLmRT', b64(CANARY).slice(0, 30), 'ghp_abcdefghijklmnop', hook.secret]) if (bytes.includes(c)) found.push(`${c} in ${p}`); }
} };
walk(data);
check('no env value and no secret in any file of the plane', found.length === 0, found);
check('nor in what it logged', ![CANARY, CANARY2, hook.secret, server.secret, key].some((c) => log.includes(c)));
check('the sanitizers said nothing', !/Sanitizer|runtime error/.test(log), log);

if (failures > 0) { console.log(log); console.log(`${failures} failed; kept ${dir}`); process.exit(1); }
fs.rmSync(dir, { recursive: true });
