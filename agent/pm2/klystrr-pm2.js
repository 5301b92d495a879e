'use strict';
/* The agent's hand on a project's pm2: one process, one verb, one record on descriptor 3 (or standard output).
 *
 * It talks to the daemon that is already there and never starts one: without a daemon pm2's own commands fork one
 * inside the box, exit 0, and the app dies with the box. So the daemon is asked before and after, and the one
 * function that forks is replaced. Nothing is saved, nothing is written: a saved list and log files hold values in clear.
 *
 *   node klystrr-pm2.js start NAME CWD INSTANCES STOP_SECONDS ENVCOUNT ENVNAME… -- COMMAND ARGUMENT…
 *        Starts NAME afresh and relays its output until standard input ends or it is told to end (SIGTERM).
 *   node klystrr-pm2.js stop NAME      stops and forgets it; one that is not there is fine
 *   node klystrr-pm2.js list NAME
 *   node klystrr-pm2.js ping
 *   node klystrr-pm2.js daemon         becomes the project's daemon, in the foreground: the app unit's main process
 *
 * The app's environment is the ENVNAMEs, out of this process's own. PM2_HOME says which daemon.
 * Record:  ok pid=<pid or 0> status=<online|stopped|errored|absent|…> restarts=<n> daemon=<pid>
 *          error E_PM2_… <sentence>
 * Exit 0 after "ok", 1 after "error", 2 for wrong usage. */
const fs = require('fs');
const net = require('net');
const path = require('path');

const PING_MS = 5000;
const START_MS = 20000;
const LINE_MAX = 65536;

function record(text) {
  const line = text.replace(/[\x00-\x1f\x7f]/g, ' ').slice(0, 500) + '\n';
  let fd = 1;
  try {
    if (fs.fstatSync(3).isFIFO()) fd = 3;
  } catch (e) { /* there is none: standard output */ }
  fs.writeSync(fd, line);
}

class Refusal extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

/* Somebody listens at the daemon's socket, and it is a socket. */
function socketAnswers() {
  const file = path.join(process.env.PM2_HOME, 'rpc.sock');
  return new Promise((resolve, reject) => {
    const no = () => reject(new Refusal('E_PM2_DAEMON', "the project's pm2 daemon does not answer; its unit restarts it"));
    const socket = net.connect(file);
    socket.setTimeout(PING_MS, () => { socket.destroy(); no(); });
    socket.on('error', no);
    socket.on('connect', () => { socket.destroy(); resolve(); });
  });
}

function within(ms, what, work) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Refusal('E_PM2_TIMEOUT', 'pm2 did not ' + what + ' in ' + ms / 1000 + ' s')), ms);
    work((err, value) => {
      clearTimeout(timer);
      if (err) reject(err instanceof Error ? err : new Error(String(err.msg || err)));
      else resolve(value);
    });
  });
}

async function attach() {
  if (!process.env.PM2_HOME) throw new Refusal('E_PM2_USAGE', 'PM2_HOME is not set');
  await socketAnswers();
  let PM2;
  try {
    PM2 = require('pm2');
  } catch (e) {
    throw new Refusal('E_PM2_MISSING', 'pm2 is not installed beside Klystrr: run the installer again');
  }
  const pm2 = new PM2.custom({ pm2_home: process.env.PM2_HOME, independent: false });
  pm2.Client.launchDaemon = (options, done) => {
    const callback = typeof options === 'function' ? options : done;
    callback(new Refusal('E_PM2_DAEMON', "the project's pm2 daemon went away; none is started inside a box"));
  };
  await within(PING_MS, 'connect', (done) => pm2.connect(done));
  return pm2;
}

function describe(pm2, name) {
  return within(PING_MS, 'list', (done) => pm2.list(done)).then((list) => list.filter((p) => p.name === name));
}

/* The worst of its instances speaks for an app. */
function summary(list) {
  if (list.length === 0) return { pid: 0, status: 'absent', restarts: 0 };
  const bad = list.find((p) => p.pm2_env.status !== 'online') || list[0];
  return {
    pid: bad.pid || 0,
    status: String(bad.pm2_env.status).replace(/\s+/g, '-'),
    restarts: Math.max(...list.map((p) => p.pm2_env.restart_time || 0)),
  };
}

function daemonPid() {
  try {
    return parseInt(fs.readFileSync(path.join(process.env.PM2_HOME, 'pm2.pid'), 'utf8'), 10) || 0;
  } catch (e) {
    return 0;
  }
}

async function tell(pm2, name) {
  const s = summary(await describe(pm2, name));
  await socketAnswers();
  record(`ok pid=${s.pid} status=${s.status} restarts=${s.restarts} daemon=${daemonPid()}`);
}

async function drop(pm2, name) {
  if ((await describe(pm2, name)).length === 0) return;
  await within(330000, 'stop ' + name, (done) => pm2.delete(name, done));
}

/* pm2 runs node programs by its own interpreter rule, anything else as it is. */
function program(command) {
  const [first, ...rest] = command;
  if (first === 'node' && rest.length > 0 && !rest[0].startsWith('-')) {
    return { script: rest[0], args: rest.slice(1), interpreter: process.execPath };
  }
  if (first.includes('/')) return { script: first, args: rest, interpreter: 'none' };
  for (const folder of (process.env.PATH || '').split(':')) {
    const file = path.join(folder, first);
    try {
      fs.accessSync(file, fs.constants.X_OK);
      return { script: file, args: rest, interpreter: 'none' };
    } catch (e) { /* not here */ }
  }
  throw new Refusal('E_PM2_COMMAND', `the app's command '${first}' is not there`);
}

function parseStart(words) {
  const [name, cwd, instances, stop, count] = words;
  const n = Number(count);
  const names = words.slice(5, 5 + n);
  const command = words.slice(6 + n);
  if (!Number.isInteger(n) || n < 0 || words[5 + n] !== '--' || command.length === 0) {
    throw new Refusal('E_PM2_USAGE', 'wrong arguments');
  }
  const env = {};
  for (const key of names) if (process.env[key] !== undefined) env[key] = process.env[key];
  return { name, cwd, instances: Number(instances), stop: Number(stop), env, command };
}

function configuration(start) {
  const run = program(start.command);
  const cluster = start.instances > 1 && run.interpreter !== 'none';
  if (start.instances > 1 && !cluster) {
    throw new Refusal('E_PM2_COMMAND', 'several instances need a command of the form ["node","file.js"]');
  }
  const script = path.resolve(start.cwd, run.script);
  if (!fs.existsSync(script)) throw new Refusal('E_PM2_COMMAND', `${run.script} is not in the release`);
  return {
    name: start.name, cwd: start.cwd, script, args: run.args, interpreter: run.interpreter,
    exec_mode: cluster ? 'cluster' : 'fork', instances: start.instances, env: start.env,
    filter_env: [''], // an empty text is in every name: nothing of this process's environment goes along
    kill_timeout: start.stop * 1000, autorestart: true, max_restarts: 15, min_uptime: 2000, exp_backoff_restart_delay: 100,
    out_file: '/dev/null', error_file: '/dev/null', merge_logs: true, pmx: false, vizion: false, automation: false,
    watch: false, time: false,
  };
}

function relay(bus, name) {
  const put = (stream) => (packet) => {
    if (packet.process && packet.process.name === name) stream.write(String(packet.data).slice(0, LINE_MAX));
  };
  bus.on('log:out', put(process.stdout));
  bus.on('log:err', put(process.stderr));
}

async function start(pm2, words) {
  const app = parseStart(words);
  const config = configuration(app);
  await drop(pm2, app.name);
  const bus = await within(PING_MS, 'open its log', (done) => pm2.launchBus(done));
  relay(bus, app.name);
  await within(START_MS, 'start the app', (done) => pm2.start(config, done));
  await tell(pm2, app.name);
  await new Promise((resolve) => {
    process.on('SIGTERM', resolve);
    process.stdin.on('end', resolve).on('error', resolve).resume();
  });
}

/* pm2's own chatter is nobody's output. */
function quiet() {
  for (const word of ['log', 'info', 'warn', 'error']) console[word] = () => {};
}

function daemon() {
  fs.mkdirSync(process.env.PM2_HOME, { recursive: true, mode: 0o700 });
  process.title = 'pm2 daemon';
  const Daemon = require('pm2/lib/Daemon.js');
  new Daemon().start();
}

async function main() {
  const [verb, ...words] = process.argv.slice(2);
  if (verb === 'daemon') {
    daemon();
    return new Promise(() => {}); // it ends by its own signals
  }
  quiet();
  const pm2 = await attach();
  if (verb === 'start' && words.length >= 7) return start(pm2, words);
  if (verb === 'stop' && words.length === 1) {
    await drop(pm2, words[0]);
    return tell(pm2, words[0]);
  }
  if (verb === 'list' && words.length === 1) return tell(pm2, words[0]);
  if (verb === 'ping' && words.length === 0) return tell(pm2, '');
  throw new Refusal('E_PM2_USAGE', 'start, stop, list or ping');
}

main().then(() => process.exit(0), (err) => {
  const code = err instanceof Refusal ? err.code : 'E_PM2';
  record(`error ${code} ${err.message || 'pm2 failed'}`);
  process.exit(code === 'E_PM2_USAGE' ? 2 : 1);
});
