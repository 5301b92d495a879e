// Every vector of proto/vectors against its schema of proto/schema: what is accepted must be valid, and what is refused for
// a reason that JSON Schema can see must not be.      node tests/check/schemas.mjs
// ajv 8 comes from NODE_PATH if it is there, else by npm into a temporary folder. Exits 77 if neither has it.
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const proto = join(dirname(fileURLToPath(import.meta.url)), '../../proto')
const read = (...path) => JSON.parse(readFileSync(join(proto, ...path), 'utf8'))

function loadAjv() {
  try {
    return createRequire(import.meta.url)('ajv/dist/2020.js').default
  } catch {}
  const folder = mkdtempSync(join(tmpdir(), 'kly-schemas-'))
  try {
    execFileSync('npm', ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--silent', 'ajv@8'], { timeout: 120000 })
    return createRequire(join(folder, 'x.js'))('ajv/dist/2020.js').default
  } catch {
    return null
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const Ajv = loadAjv()
if (!Ajv) {
  console.log('skipped: no ajv 8 in NODE_PATH, and npm cannot get it')
  process.exit(77)
}
const ajv = new Ajv({ allErrors: true, strict: true, strictTypes: false, strictRequired: false })
const names = readdirSync(join(proto, 'schema')).filter((n) => n.endsWith('.schema.json'))
for (const name of names) ajv.addSchema(read('schema', name))

let tried = 0
const wrong = []
const used = new Set()
const valid = (kind, value) => {
  const validate = ajv.getSchema(`urn:klystrr:${kind}`)
  if (!validate) throw new Error(`no schema for ${kind}`)
  used.add(`${kind}.schema.json`)
  tried++
  return validate(value) ? null : ajv.errorsText(validate.errors)
}

for (const file of readdirSync(join(proto, 'vectors')).filter((n) => n.endsWith('-accepted.json')))
  for (const v of read('vectors', file)) {
    const why = valid(v.kind, JSON.parse(v.text))
    if (why) wrong.push(`${file}, ${v.kind}, ${v.name}: ${why}`)
  }
for (const type of ['trust', 'manifest', 'env', 'order']) {
  const why = valid('envelope', read('vectors', 'envelope', `${type}.json`)) ?? valid(type, read('vectors', 'payload', `${type}.json`))
  if (why) wrong.push(`${type}: ${why}`)
}
for (const file of readdirSync(join(proto, 'vectors')).filter((n) => n.endsWith('-refused.json')))
  for (const v of read('vectors', file).filter((v) => v.schema)) {
    let value
    try {
      value = JSON.parse(v.text)
    } catch {
      tried++ // not JSON: no schema is asked
      continue
    }
    if (!valid(v.kind, value)) wrong.push(`${file}, ${v.kind}, ${v.name}: the schema accepts it`)
  }
for (const name of names)
  if (name !== 'defs.schema.json' && !used.has(name)) wrong.push(`${name}: no vector uses it`)

for (const line of wrong) console.error(line)
console.log(`${tried} values, ${wrong.length} wrong`)
process.exit(wrong.length > 0 || tried === 0 ? 1 : 0)
