// push-hook.js CONFIG: a post-receive hook that tells a Klystrr plane of a push, in GitHub's form.
// CONFIG is JSON: {"url", "ca": file, "secret_file": file}. The plane asks the repository itself what the branch's head is.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const https = require('node:https');

const config = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const [before, after, ref] = fs.readFileSync(0, 'utf8').trim().split('\n').pop().split(' ');
const body = JSON.stringify({ ref, before, after });
const secret = fs.readFileSync(config.secret_file, 'utf8').trim();
const signature = crypto.createHmac('sha256', secret).update(body).digest('hex');

const request = https.request(config.url, {
  method: 'POST',
  ca: fs.readFileSync(config.ca),
  timeout: 10000,
  autoSelectFamily: true,
  headers: {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    'X-GitHub-Event': 'push',
    'X-GitHub-Delivery': crypto.randomUUID(),
    'X-Hub-Signature-256': `sha256=${signature}`,
  },
}, (response) => {
  response.resume();
  console.log(response.statusCode === 202 ? 'klystrr: told; the deployment begins' : `klystrr: the plane answered ${response.statusCode}`);
});
request.on('timeout', () => request.destroy(new Error('no answer in 10 s')));
request.on('error', (error) => console.log(`klystrr: the plane was not reached (${error.message}); it looks at the branch itself every minute`));
request.end(body);
