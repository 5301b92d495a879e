// kills.mjs APP-URL PLANE-URL ROUNDS SEED: on a host where the quickstart ran. Each round deploys a new version and kills (-9)
// one program at one moment, both chosen from SEED. Afterwards, within 30 s, this must hold:
//   - the deployment ended, with one result; the page shows the version which that result says is served
//   - no request failed meanwhile; only where what runs the app was killed, it may be away until it has been started again
//   - `current` is a complete release: the one that status calls live
//   - nothing of the build user runs, and of the app user no other release than the live one
//   - another deployment goes live, and leaves nothing in staging
// Prints lines that tests/run.sh counts. Exit 1 if one of them is "not ok".
import http from 'node:http';
import https from 'node:https';
import fs from 'node:fs';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const [appUrl, planeUrl, rounds, seed] = process.argv.slice(2);
const VICTIMS = ['klystrr-agent', 'klystrr-uplink', 'klystrr-scribe', 'klystrr-confine', 'klystrr-fetch', 'pm2 daemon'];
const SETTLE_MS = 30000;
const RESTART_MS = 15000; // the agent looks after what serves every 5 s; then Node, pm2 and the app start
const home = '/srv/klystrr/sample';
const checkout = '/root/klystrr-sample';
process.env.KLYSTRR_CONFIG = '/root/.config/klystrr';

// ---- choices: mulberry32, so that a seed always gives the same ones
let state = Number(seed) >>> 0;
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const pick = (list) => list[Math.floor(random() * list.length)];

// ---- results
let failed = 0;
function check(name, problems) {
  if (problems.length === 0) { console.log(`ok - ${name}`); return; }
  failed += 1;
  console.log(`not ok - ${name}`);
  for (const line of problems.join('\n').split('\n')) console.log(`#   ${line}`);
}

// ---- the plane and the page
const ca = fs.readFileSync('/var/lib/klystrr-plane/ca.pem');
const authorization = `Bearer ${fs.readFileSync('/var/lib/klystrr-plane/admin.key', 'utf8').trim()}`;
function ask(url, options = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const client = url.startsWith('https:') ? https : http;
    const request = client.request(url, { agent: false, timeout: 10000, ...options }, (response) => {
      let text = '';
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => resolve({ status: response.statusCode, text }));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in 10 s')));
    request.on('error', reject);
    request.end(body);
  });
}
async function plane(method, path, body) {
  const headers = { authorization };
  if (body !== undefined) headers['content-type'] = 'application/json';
  const { status, text } = await ask(planeUrl + path, { method, ca, headers }, body === undefined ? undefined : JSON.stringify(body));
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
  return path.endsWith('/events') ? text : JSON.parse(text);
}
async function page() {
  const { status, text } = await ask(`${appUrl}/healthz`);
  if (status !== 200) throw new Error(`status ${status}`);
  return JSON.parse(text).version;
}

// Asks the page without a pause; knows how long it was away at the longest.
class Watch {
  longest = 0;
  failures = 0;
  first = '';
  #over = false;
  #since = 0;
  constructor() { this.done = this.#run(); }
  async #run() {
    while (!this.#over) {
      try {
        await page();
        this.#end();
      } catch (error) {
        this.failures += 1;
        this.first ||= error.message;
        this.#since ||= Date.now();
      }
      await sleep(10);
    }
    this.#end();
  }
  #end() {
    if (this.#since !== 0) this.longest = Math.max(this.longest, Date.now() - this.#since);
    this.#since = 0;
  }
  async stop() { this.#over = true; await this.done; }
}

// ---- processes
const read = (file) => { try { return fs.readFileSync(file, 'latin1'); } catch { return ''; } };
const processes = () => fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
const named = (name) => processes().filter((pid) => read(`/proc/${pid}/comm`).trim() === name);
const words = (pid) => read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim();
const strangers = (uid, version) => ofUser(uid).map((pid) => [pid, words(pid)])
  .filter(([, command]) => command.includes('/releases/') && !command.includes(`/releases/${version}/`));
const userId = (name) => execFileSync('id', ['-u', name], { encoding: 'utf8' }).trim();
const ofUser = (uid) => processes().filter((pid) => new RegExp(`^Uid:\\s+${uid}\\s`, 'm').test(read(`/proc/${pid}/status`))
  && !/^State:\s+Z/m.test(read(`/proc/${pid}/status`)));

// ---- deployments
const run = (command, args) => execFileSync(command, args, { cwd: checkout, stdio: 'pipe', encoding: 'utf8' });
let number = 0;
function commit() { // a new version, pushed; → it and its commit
  const version = `2.0.${number++}`;
  const about = JSON.parse(fs.readFileSync(`${checkout}/package.json`, 'utf8'));
  fs.writeFileSync(`${checkout}/package.json`, JSON.stringify({ ...about, version, dependencies: {}, devDependencies: {} }));
  run('git', ['add', '-A']);
  run('git', ['commit', '-q', '--allow-empty', '-m', version]);
  run('git', ['push', '-q']);
  return { version, commit: run('git', ['rev-parse', 'HEAD']).trim() };
}
async function order(code) {
  const { deployments: [made] } = await plane('POST', '/api/v1/projects/sample/deployments', { commit: code.commit });
  return made.id;
}
async function ended(id, ms) { // → the deployment once it is over; null if it is not by then
  for (const until = Date.now() + ms; Date.now() < until; await sleep(50)) {
    const it = await plane('GET', `/api/v1/deployments/${id}`).catch(() => null);
    if (it?.state === 'done') return it;
  }
  return null;
}
async function deploy(ms) {
  const code = commit();
  const it = await ended(await order(code), ms);
  return { ...code, it };
}

function prepare() {
  fs.rmSync('/srv/klystrr-git/sample.git/hooks/post-receive', { force: true }); // a push alone starts nothing here
  fs.writeFileSync(`${checkout}/server.js`, `
const { version } = require('./dist/built.json');
const server = require('node:http').createServer((request, response) => response.end(JSON.stringify({ version })));
server.listen(Number(process.env.PORT), '127.0.0.1');
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.close(() => process.exit(0)));
`);
  const manifest = JSON.parse(fs.readFileSync(`${checkout}/klystrr.json`, 'utf8'));
  const build = "fs.mkdirSync('dist',{recursive:true});setTimeout(()=>fs.copyFileSync('package.json','dist/built.json'),300)";
  manifest.phases = { build: { run: ['node', '-e', build], timeout: 60, env: [] } };
  Object.assign(manifest.apps[0], { run: ['node', 'server.js'], drain: 0, stop_timeout: 5 });
  fs.writeFileSync(`${checkout}/klystrr.json`, JSON.stringify(manifest, null, 2));
  run('klystrr', ['manifest', 'publish']);
}

// ---- one round
async function strike(name, moment, choice, over) { // → what was killed, or null: it never ran after that moment
  await sleep(moment);
  while (!over()) {
    const pids = named(name);
    if (pids.length > 0) {
      const pid = pids[Math.floor(choice * pids.length)];
      const command = words(pid);
      try { process.kill(pid, 'SIGKILL'); } catch { continue; }
      return { pid, command };
    }
    await sleep(2);
  }
  return null;
}

async function results(id) { // "event: result" of the deployment's own stream, which ends once all is said
  const text = await plane('GET', `/api/v1/deployments/${id}/events`);
  return text.match(/^event: result$/gm)?.length ?? 0;
}

async function settled(problems, ms, look) { // looks until it finds nothing; what it still finds then is a problem
  let found = [];
  for (const until = Date.now() + ms; ; await sleep(200)) {
    try { found = await look(); } catch (error) { found = [error.message]; }
    if (found.length === 0) return;
    if (Date.now() > until) { problems.push(...found); return; }
  }
}

function whatServes(version) { // → problems with `current`, status and what they say of the version
  const problems = [];
  const live = JSON.parse(run('klystrr', ['status', '--json'])).projects.find((p) => p.project === 'sample')?.live;
  const current = fs.readlinkSync(`${home}/current`).split('/').pop();
  if (current !== live) problems.push(`current is ${current}, status calls ${live} live`);
  const built = JSON.parse(fs.readFileSync(`${home}/current/package.json`, 'utf8')).version;
  if (built !== version) problems.push(`current holds version ${built}, the page shows ${version}`);
  for (const [pid, command] of strangers(userId('ka-sample'), live)) problems.push(`another release still runs: ${pid} ${command}`);
  return problems;
}

async function round(index, span, builder, before) {
  const name = pick(VICTIMS);
  const moment = Math.floor(random() * span);
  const choice = random();
  const what = `round ${index}: kill -9 of ${name} from ${moment} ms on`;
  const problems = [];
  const watch = new Watch();
  const code = commit();
  const id = await order(code);
  let over = false;
  const striking = strike(name, moment, choice, () => over);
  const it = await ended(id, SETTLE_MS + span);
  over = true;
  const killed = await striking;
  // what runs the app may be away until it has been started again
  const appHit = name === 'pm2 daemon' || killed?.command.includes('--app') === true;
  if (it === null) problems.push(`the deployment ${id} did not end in ${SETTLE_MS / 1000} s`);
  let served;
  await settled(problems, SETTLE_MS, async () => {
    served = await page();
    const wanted = it?.outcome === 'live' ? [code.version] : it === null ? [before, code.version] : [before];
    if (!wanted.includes(served)) return [`the page shows ${served}, not ${wanted.join(' or ')} (outcome ${it?.outcome})`];
    const left = ofUser(builder);
    return [...whatServes(served), ...left.map((pid) => `the build user still runs ${pid} ${words(pid)}`)];
  });
  if (it !== null) {
    const count = await results(id).catch((error) => error.message);
    if (count !== 1) problems.push(`results: ${count}`);
  }
  await watch.stop();
  if (watch.longest > (appHit ? RESTART_MS : 0)) {
    problems.push(`the page was away for ${watch.longest} ms (${watch.failures} requests, first: ${watch.first})`);
  }
  console.log(`# ${what}: ${killed ? `${killed.pid} ${killed.command}` : 'it did not run any more'}: ${it?.outcome} ${it?.code ?? ''} ${it?.text ?? ''}; away ${watch.longest} ms`);
  check(what, problems);

  const next = await deploy(SETTLE_MS);
  const shown = await page().catch((error) => error.message);
  const after = next.it?.outcome === 'live' && shown === next.version ? []
    : [`outcome ${next.it?.outcome} ${next.it?.code ?? ''} ${next.it?.text ?? ''}, the page shows ${shown}, wanted ${next.version}`];
  await settled(after, 5000, async () => fs.readdirSync(`${home}/staging`).map((left) => `staging/${left} is left`));
  check(`round ${index}: the next deployment goes live`, after);
  return shown;
}

console.log(`# KLY_SEED=${seed}`);
prepare();
const first = await deploy(60000);
check('the quick app goes live', first.it?.outcome === 'live' ? [] : [`outcome ${first.it?.outcome}: ${first.it?.text}`]);
if (failed === 0) {
  const began = Date.now();
  let { version } = await deploy(60000);
  const span = Date.now() - began;
  console.log(`# a deployment takes ${span} ms`);
  const builder = userId('kb-sample');
  for (let i = 1; i <= Number(rounds); i++) version = await round(i, span, builder, version);
}
process.exit(failed === 0 ? 0 : 1);
