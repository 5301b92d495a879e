// The build step: bundles the page's script and the server, and writes down what was built.
const { buildSync } = require('esbuild');
const { mkdirSync, copyFileSync, readFileSync, writeFileSync } = require('node:fs');

mkdirSync('dist', { recursive: true });
buildSync({ entryPoints: ['src/client.js'], outfile: 'dist/client.js', bundle: true, minify: true, target: 'es2020' });
buildSync({ entryPoints: ['src/server.js'], outfile: 'dist/server.js', bundle: true, platform: 'node', packages: 'external' });
copyFileSync('src/style.css', 'dist/style.css');
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
writeFileSync('dist/build.json', JSON.stringify({ version, node: process.version }));
console.log(`built version ${version} with Node ${process.version}`);
