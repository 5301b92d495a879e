// The other side of test_interop.c: envelopes and sealed values by Node's crypto, written from proto/documents.md alone.
//   node interop.mjs make DIR    signs and seals, for ours to verify and open
//   node interop.mjs check DIR   verifies and opens what ours made; exits 1 if it cannot
import crypto from "node:crypto";
import fs from "node:fs";

const [, , mode, dir] = process.argv;
const read = (name) => fs.readFileSync(`${dir}/${name}`);
const write = (name, data) => fs.writeFileSync(`${dir}/${name}`, data);
const TYPE = "application/vnd.klystrr.manifest.v1+json";

function preAuthentication(type, payload) {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `), payload]);
}

// ---- RFC 9180, base mode ----
const hmac = (key, data) => crypto.createHmac("sha256", key).update(data).digest();
const kem = Buffer.from("4b454d0010", "hex");
const suite = Buffer.from("48504b45001000010001", "hex");
const empty = Buffer.alloc(0);
const extract = (salt, id, label, ikm) =>
  hmac(salt.length ? salt : Buffer.alloc(32), Buffer.concat([Buffer.from("HPKE-v1"), id, Buffer.from(label), ikm]));
const expand = (prk, id, label, info, size) =>
  // at most 32 bytes: the first block is enough
  hmac(prk, Buffer.concat([Buffer.from([0, size]), Buffer.from("HPKE-v1"), id, Buffer.from(label), info, Buffer.from([1])])).subarray(0, size);

function schedule(dh, enc, recipient, info) {
  const shared = expand(extract(empty, kem, "eae_prk", dh), kem, "shared_secret", Buffer.concat([enc, recipient]), 32);
  const about = Buffer.concat([Buffer.from([0]), extract(empty, suite, "psk_id_hash", empty), extract(empty, suite, "info_hash", info)]);
  const secret = extract(shared, suite, "secret", empty);
  return [expand(secret, suite, "key", about, 16), expand(secret, suite, "base_nonce", about, 12)];
}

function seal(recipient, info, plain) {
  const ephemeral = crypto.createECDH("prime256v1");
  const enc = ephemeral.generateKeys();
  const [key, nonce] = schedule(ephemeral.computeSecret(recipient), enc, recipient, info);
  const gcm = crypto.createCipheriv("aes-128-gcm", key, nonce);
  return [enc, Buffer.concat([gcm.update(plain), gcm.final(), gcm.getAuthTag()])];
}

function open(scalar, enc, info, ct) {
  const own = crypto.createECDH("prime256v1");
  own.setPrivateKey(scalar);
  const [key, nonce] = schedule(own.computeSecret(enc), enc, own.getPublicKey(), info);
  const gcm = crypto.createDecipheriv("aes-128-gcm", key, nonce);
  gcm.setAuthTag(ct.subarray(-16));
  return Buffer.concat([gcm.update(ct.subarray(0, -16)), gcm.final()]);
}

const info = (version) => Buffer.from(`klystrr env v1\0srv_0123456789abcdef\0shop\0${version}`);

function make() {
  const { privateKey, publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const payload = Buffer.from('{"type":"manifest","name":"grüße"}');
  const sig = crypto.sign("sha256", preAuthentication(TYPE, payload), { key: privateKey, dsaEncoding: "ieee-p1363" });
  write("node.point", spki.subarray(26));
  write("node.payload", payload);
  write("node.json", JSON.stringify({
    payload: payload.toString("base64"),
    payloadType: TYPE,
    signatures: [{ keyid: crypto.createHash("sha256").update(spki).digest("hex"), sig: sig.toString("base64") }],
  }));
  const [enc, ct] = seal(read("host.point"), info(41), Buffer.from('{"values":{"A":"1"}}'));
  write("node.enc", enc);
  write("node.ct", ct);
}

function check() {
  const envelope = JSON.parse(read("ours.json"));
  const payload = Buffer.from(envelope.payload, "base64");
  const key = crypto.createPublicKey(read("ours.pem"));
  const spki = key.export({ type: "spki", format: "der" });
  const [{ keyid, sig }] = envelope.signatures;
  const good = envelope.payloadType === TYPE && payload.equals(read("ours.payload")) &&
    keyid === crypto.createHash("sha256").update(spki).digest("hex") &&
    crypto.verify("sha256", preAuthentication(TYPE, payload), { key, dsaEncoding: "ieee-p1363" }, Buffer.from(sig, "base64"));
  const opened = open(read("host.scalar"), read("ours.enc"), info(42), read("ours.ct"));
  process.exit(good && opened.equals(read("ours.plain")) ? 0 : 1);
}

({ make, check })[mode]();
