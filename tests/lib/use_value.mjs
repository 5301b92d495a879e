// In a checkout of the sample app: lets the build and the app have the value CANARY, and makes the build print it.
import fs from 'node:fs';

const manifest = JSON.parse(fs.readFileSync('klystrr.json', 'utf8'));
manifest.env.names.push('CANARY');
manifest.apps[0].env.push('CANARY');
manifest.phases.build.env = ['CANARY'];
fs.writeFileSync('klystrr.json', `${JSON.stringify(manifest, null, 1)}\n`);
fs.appendFileSync('build.js', "console.log('value:', process.env.CANARY);\nconsole.log('again:', Buffer.from(process.env.CANARY).toString('base64'));\n");
