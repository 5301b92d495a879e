// A WebSocket client over TLS with a client certificate, and the other half of each crypto step: written against RFC 6455,
// RFC 9180 and proto/*.md alone, so that it shares no line with what it tests.
import tls from 'node:tls';
import https from 'node:https';
import crypto from 'node:crypto';

export const sha256 = (data) => crypto.createHash('sha256').update(data).digest();
export const b64 = (data) => Buffer.from(data).toString('base64');

// ---- HTTPS ----

export function request(base, method, path, { ca, key, body, headers = {}, cert, tlsKey } = {}) {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body);
    const all = { ...headers };
    if (key) all.Authorization = `Bearer ${key}`;
    if (data !== undefined && !all['Content-Type']) all['Content-Type'] = 'application/json';
    if (data !== undefined) all['Content-Length'] = Buffer.byteLength(data);
    const r = https.request(new URL(path, base), { method, ca, cert, key: tlsKey, headers: all, agent: false }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('error', reject);
      res.on('end', () => {
        const raw = Buffer.concat(parts);
        let json;
        try { json = JSON.parse(raw); } catch { json = undefined; }
        resolve({ status: res.statusCode, raw, text: raw.toString(), json, headers: res.headers });
      });
    });
    r.on('error', reject);
    if (data !== undefined) r.write(data);
    r.end();
  });
}

// ---- DSSE, P-256 ----

export function pae(type, payload) {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `), payload]);
}
export function newKey() {
  const { publicKey, privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return { publicKey, privateKey, point: spki.subarray(-65), keyid: sha256(spki).toString('hex') };
}
export function keyOfPoint(point) {
  const jwk = { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') };
  return crypto.createPublicKey({ key: jwk, format: 'jwk' });
}
export function envelope(name, document, ...keys) {
  const type = `application/vnd.klystrr.${name}.v1+json`;
  const payload = Buffer.from(JSON.stringify(document));
  const signatures = keys.map((k) => ({
    keyid: k.keyid,
    sig: b64(crypto.sign('sha256', pae(type, payload), { key: k.privateKey, dsaEncoding: 'ieee-p1363' })),
  }));
  return { text: JSON.stringify({ payloadType: type, payload: b64(payload), signatures }), digest: sha256(payload).toString('hex') };
}
export function openEnvelope(e, publicKey) {
  const payload = Buffer.from(e.payload, 'base64');
  const good = e.signatures.some((s) => crypto.verify('sha256', pae(e.payloadType, payload),
    { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(s.sig, 'base64')));
  return { good, type: e.payloadType, document: JSON.parse(payload), digest: sha256(payload).toString('hex') };
}

// ---- HPKE, base mode, DHKEM(P-256), HKDF-SHA256, AES-128-GCM: opening one message ----

const hmac = (key, data) => crypto.createHmac('sha256', key).update(data).digest();
const extract = (salt, ikm) => hmac(salt.length ? salt : Buffer.alloc(32), ikm);
function expand(prk, info, size) {
  let out = Buffer.alloc(0), last = Buffer.alloc(0);
  for (let i = 1; out.length < size; i++) out = Buffer.concat([out, (last = hmac(prk, Buffer.concat([last, info, Buffer.from([i])])))]);
  return out.subarray(0, size);
}
const u16 = (n) => Buffer.from([n >> 8, n & 255]);
const labeledExtract = (suite, salt, label, ikm) => extract(salt, Buffer.concat([Buffer.from('HPKE-v1'), suite, Buffer.from(label), ikm]));
const labeledExpand = (suite, prk, label, info, size) =>
  expand(prk, Buffer.concat([u16(size), Buffer.from('HPKE-v1'), suite, Buffer.from(label), info]), size);
export function hpkeOpen(key, enc, info, ct) {
  const none = Buffer.alloc(0), kem = Buffer.concat([Buffer.from('KEM'), u16(16)]);
  const suite = Buffer.concat([Buffer.from('HPKE'), u16(16), u16(1), u16(1)]);
  const dh = crypto.diffieHellman({ privateKey: key.privateKey, publicKey: keyOfPoint(enc) });
  const shared = labeledExpand(kem, labeledExtract(kem, none, 'eae_prk', dh), 'shared_secret', Buffer.concat([enc, key.point]), 32);
  const context = Buffer.concat([Buffer.from([0]), labeledExtract(suite, none, 'psk_id_hash', none), labeledExtract(suite, none, 'info_hash', info)]);
  const secret = labeledExtract(suite, shared, 'secret', none);
  const d = crypto.createDecipheriv('aes-128-gcm', labeledExpand(suite, secret, 'key', context, 16), labeledExpand(suite, secret, 'base_nonce', context, 12));
  d.setAuthTag(ct.subarray(-16));
  return Buffer.concat([d.update(ct.subarray(0, -16)), d.final()]);
}

// ---- WebSocket ----

export class Ws {
  constructor() { this.inbox = []; this.waiting = []; this.buffer = Buffer.alloc(0); this.closed = false; }
  static connect({ port, ca, cert, key, protocol = 'klystrr.agent.v1', path = '/agent/v1' }) {
    return new Promise((resolve, reject) => {
      const w = new Ws(), nonce = crypto.randomBytes(16).toString('base64');
      w.socket = tls.connect({ port, host: '127.0.0.1', ca, cert, key, maxVersion: 'TLSv1.2' });
      w.socket.on('error', (e) => { w.end(); reject(e); });
      w.socket.on('close', () => w.end());
      w.socket.on('secureConnect', () => w.socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\n` +
        `Connection: Upgrade\r\nSec-WebSocket-Key: ${nonce}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`));
      let head = Buffer.alloc(0);
      const onHead = (data) => {
        head = Buffer.concat([head, data]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        w.socket.off('data', onHead);
        const text = head.subarray(0, end).toString();
        const accept = crypto.createHash('sha1').update(nonce + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
        if (!/^HTTP\/1.1 101/.test(text)) { w.socket.destroy(); return reject(new Error(text.split('\r\n')[0])); }
        if (!text.includes(accept) || !new RegExp(`protocol: ${protocol}`, 'i').test(text)) return reject(new Error('bad 101: ' + text));
        w.socket.on('data', (d) => w.take(d));
        w.take(head.subarray(end + 4));
        resolve(w);
      };
      w.socket.on('data', onHead);
    });
  }
  take(data) {
    this.buffer = Buffer.concat([this.buffer, data]);
    for (;;) {
      const b = this.buffer;
      if (b.length < 2) return;
      let size = b[1] & 127, at = 2;
      if (size === 126) { if (b.length < 4) return; size = b.readUInt16BE(2); at = 4; }
      else if (size === 127) { if (b.length < 10) return; size = Number(b.readBigUInt64BE(2)); at = 10; }
      if (b.length < at + size) return;
      const op = b[0] & 15, body = b.subarray(at, at + size);
      this.buffer = b.subarray(at + size);
      if (op === 9) this.frame(10, body);
      else if (op === 8) { this.code = size >= 2 ? body.readUInt16BE(0) : 1005; this.frame(8, body); this.socket.end(); this.end(); }
      else if (op === 1) this.push(JSON.parse(body));
    }
  }
  push(m) { const w = this.waiting.shift(); if (w) w(m); else this.inbox.push(m); }
  end() { this.closed = true; while (this.waiting.length) this.waiting.shift()(null); }
  next(ms = 20000) {
    if (this.inbox.length) return Promise.resolve(this.inbox.shift());
    if (this.closed) return Promise.resolve(null);
    return new Promise((resolve) => {
      const timer = setTimeout(() => { this.waiting = this.waiting.filter((w) => w !== got); resolve(undefined); }, ms);
      const got = (m) => { clearTimeout(timer); resolve(m); };
      this.waiting.push(got);
    });
  }
  // The next message of this type; what comes before it is dropped. undefined: none in time; null: closed.
  async until(type, ok = () => true) {
    for (;;) { const m = await this.next(); if (!m || (m.type === type && ok(m))) return m; }
  }
  frame(op, body) {
    const mask = crypto.randomBytes(4), head = [0x80 | op];
    if (body.length < 126) head.push(0x80 | body.length);
    else if (body.length < 65536) head.push(0x80 | 126, body.length >> 8, body.length & 255);
    else { const n = Buffer.alloc(8); n.writeBigUInt64BE(BigInt(body.length)); head.push(0x80 | 127, ...n); }
    const masked = Buffer.from(body.map((v, i) => v ^ mask[i & 3]));
    if (!this.socket.destroyed) this.socket.write(Buffer.concat([Buffer.from(head), mask, masked]));
  }
  send(message) { this.frame(1, Buffer.from(JSON.stringify(message))); }
  data(handle, offset, bytes, final = false) {
    const head = Buffer.alloc(16);
    head[0] = 1; head[1] = final ? 1 : 0;
    head.writeUInt32BE(handle, 4);
    head.writeBigUInt64BE(BigInt(offset), 8);
    this.frame(2, Buffer.concat([head, bytes]));
  }
  cut() { this.socket.destroy(); }
}
