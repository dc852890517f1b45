import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ConfigError } from '../../lib/config/faults.ts'
import { loadConfig, parseConfig, type Sources } from '../../lib/config/load.ts'
import { reloaded } from '../../lib/config/reload.ts'
import { type Config, SETTINGS } from '../../lib/config/schema.ts'
import { certificates } from '../kit/certificates.ts'

const HTTP = { listen: { http: { port: 0 } } }

/** Writes a file and loads it; the folder holds a master key. */
function load(t: Test, yaml: string, more: Partial<Sources> = {}): Config {
  const folder = t.testdir({ 'sluice.yaml': yaml, 'master.key': 'x' })
  return loadConfig({ file: join(folder, 'sluice.yaml'), env: {}, flags: {}, ...more })
}

/** The faults of a load, as `path: why`. */
function faultsOf(attempt: () => unknown): string[] {
  try {
    attempt()
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
  return []
}

t.test('defaults are those of the design', async (t) => {
  const config = parseConfig(HTTP, '/etc/sluice')
  t.strictSame(config, {
    listen: {
      http: { host: '127.0.0.1', port: 0 },
      https: null,
      allowPlainHttp: false,
      engine: 'raw',
      headerBytes: 65536,
      headersTimeoutMs: 10000,
      bodyIdleTimeoutMs: 30000,
      idleTimeoutMs: 65000,
      maxConnections: 16384,
      drainMs: 20000
    },
    admin: { host: '127.0.0.1', port: 9090 },
    vault: {
      path: '/etc/sluice/data',
      masterKeyFile: '/etc/sluice/master.key',
      store: 'lmdb',
      url: null,
      connections: 4,
      seal: 'aes-256-gcm',
      cvcRetentionMs: 3600000
    },
    egress: {
      hosts: ['*'],
      ports: [443],
      allowPrivateNetworks: false,
      ca: [],
      localAddress: null,
      connectTimeoutMs: 10000,
      timeoutMs: 25000,
      bodyIdleTimeoutMs: 30000,
      idleTimeoutMs: 30000,
      maxConnectionsPerPeer: 256
    },
    limits: {
      tokensPerRequest: 100,
      expressionBytes: 16384,
      wholeBodyBytes: 1048576,
      apiBodyBytes: 10485760,
      inFlight: 4096,
      bufferedBytes: 268435456,
      decodedBytes: 104857600
    },
    template: { delimiters: ['{{ }}', '<< >>'] },
    audit: { path: '/etc/sluice/audit', syncMs: 1000 },
    log: { level: 'info' },
    workers: 1
  })
})

t.test('a configuration cannot be changed', async (t) => {
  const config = parseConfig(HTTP, '/')
  t.throws(() => (config.egress.ports as number[]).push(80), TypeError)
  t.throws(() => Object.assign(config.listen, { drainMs: 1 }), TypeError)
})

t.test('a file is read, and its paths are relative to it', async (t) => {
  const config = load(t, 'listen: { http: { port: 8080 } }\nvault: { path: ../d }\negress: { ports: [443, 8443] }\n')
  t.equal(config.vault.path, join(t.testdirName, '../d'))
  t.equal(config.vault.masterKeyFile, join(t.testdirName, 'master.key'))
  t.strictSame(config.egress.ports, [443, 8443])
})

t.test('a flag goes over a variable, a variable over the file', async (t) => {
  const yaml = 'listen: { http: { host: localhost, port: 1 }, drainMs: 1 }\nlog: { level: warn }\n'
  const env = { SLUICE_LISTEN_DRAIN_MS: '2', SLUICE_LISTEN_HTTP_PORT: '2', SLUICE_WORKERS: '3' }
  const config = load(t, yaml, { env, flags: { 'listen.drainMs': '3' } })
  t.strictSame(config.listen.http, { host: 'localhost', port: 2 })
  t.equal(config.listen.drainMs, 3)
  t.equal(config.log.level, 'warn')
  t.equal(config.workers, 3)
})

t.test('variables hold lists, groups and null as JSON, and paths relative to the working directory', async (t) => {
  const env = {
    SLUICE_LISTEN_HTTP: '{"port": 7}',
    SLUICE_LISTEN_HTTPS: 'null',
    SLUICE_EGRESS_ALLOW_PRIVATE_NETWORKS: '["10.0.0.0/8", "fd00::/8"]',
    SLUICE_EGRESS_HOSTS: '["*.example.com"]',
    SLUICE_EGRESS_LOCAL_ADDRESS: '127.0.0.1',
    SLUICE_VAULT_PATH: 'here'
  }
  const config = load(t, 'listen: { https: { port: 1 } }\n', { env })
  t.strictSame(config.listen.http, { host: '127.0.0.1', port: 7 })
  t.equal(config.listen.https, null)
  t.strictSame(config.egress.allowPrivateNetworks, ['10.0.0.0/8', 'fd00::/8'])
  t.strictSame(config.egress.hosts, ['*.example.com'])
  t.equal(config.egress.localAddress, '127.0.0.1')
  t.equal(config.vault.path, join(process.cwd(), 'here'))
})

t.test('every setting has a variable and a flag of its own', async (t) => {
  t.equal(new Set(SETTINGS.map(({ variable }) => variable)).size, SETTINGS.length)
  t.match(
    SETTINGS.find(({ path }) => path === 'egress.allowPrivateNetworks'),
    { variable: 'SLUICE_EGRESS_ALLOW_PRIVATE_NETWORKS', type: 'boolean or list of strings' }
  )
  for (const setting of SETTINGS) t.not(setting.description, '', setting.path)
})

t.test('all faults are told at once, each with its path', async (t) => {
  const yaml = `
listen: { http: { host: 0.0.0.0, port: 70000, backlog: 5 }, https: { port: "x" }, drainMs: -1, engine: nginx }
admin: 9090
vault: { seal: rot13 }
egress: { hosts: ["Exa mple.com", "*"], ports: [], allowPrivateNetworks: [10.0.0.0/99], timeoutMs: 0.5, localAddress: here }
template: { delimiters: ["{% %}"] }
wrokers: 2
`
  t.strictSame(
    faultsOf(() => load(t, yaml, { env: { SLUICE_EGRESS_PORT: '443', SLUICE_PORT: 'tcp://10.0.0.1' } })).sort(),
    [
      'SLUICE_EGRESS_PORT: no such setting',
      'admin: must be a group of settings',
      'egress.allowPrivateNetworks.0: must be a CIDR block',
      'egress.hosts.0: must be *, a lower-case DNS name or *.name',
      'egress.localAddress: must be an IP address',
      'egress.ports: must not be empty',
      'egress.timeoutMs: must be a whole number',
      'listen.drainMs: must be at least 0',
      'listen.engine: must be one of raw, node',
      'listen.http.backlog: no such setting',
      'listen.http.port: must be at most 65535',
      'listen.https.port: must be a whole number',
      'listen.https.tls: is missing',
      'template.delimiters.0: must be one of {{ }}, << >>',
      'vault.seal: must be one of aes-256-gcm, xchacha20-poly1305',
      'wrokers: no such setting'
    ]
  )
})

t.test('nothing to serve on, or plain HTTP for all the world, is a fault', async (t) => {
  t.match(
    faultsOf(() => load(t, 'workers: two\n')),
    ['workers: must be a whole number', /^listen: neither/]
  )
  t.match(
    faultsOf(() => load(t, 'listen: { http: { host: 0.0.0.0, port: 1 } }\n')),
    [/^listen\.http\.host: plain HTTP/]
  )
  t.match(
    faultsOf(() => load(t, 'listen: { http: { host: sluice.internal, port: 1 } }\n')),
    [/^listen\.http\.host/]
  )
  t.strictSame(
    faultsOf(() => load(t, 'listen: { http: { host: "::", port: 1 }, allowPlainHttp: true }\n')),
    []
  )
  t.strictSame(
    faultsOf(() => load(t, 'listen: { http: { host: "::1", port: 1 } }\n')),
    []
  )
})

t.test('the PostgreSQL store needs a URL, which no fault quotes', async (t) => {
  const faults = (vault: string, env = {}) =>
    faultsOf(() => load(t, `listen: { http: { port: 1 } }\nvault: ${vault}\n`, { env }))
  t.match(faults('{ store: postgres }'), [/^vault\.url: is missing/])
  t.strictSame(faults('{ store: postgres, url: "mysql://u:marked@h/d" }'), [
    'vault.url: must be a URL that begins with postgres://'
  ])
  t.strictSame(faults('{ store: postgres, url: "postgres://u@h/d", connections: 2 }'), [
    'vault.connections: must be at least 3'
  ])
  t.strictSame(faults('{ store: postgres }', { SLUICE_VAULT_URL: 'postgres://u:p@h/d?sslmode=verify-full' }), [])
})

t.test('a file that is none, or is no YAML, is a fault that quotes nothing of it', async (t) => {
  t.match(
    faultsOf(() => loadConfig({ file: '/nowhere/s.yaml', env: {}, flags: {} })),
    [/^\/nowhere\/s\.yaml cannot be read/]
  )
  for (const bad of [
    'secret: [',
    'secret: {a: 1',
    'secret: 1\nsecret: 2',
    '*secret',
    '- secret',
    'secret',
    'a: !!secret 1'
  ]) {
    const faults = faultsOf(() => load(t, bad))
    t.ok(faults.length > 0, bad)
    t.notMatch(faults.join().replace(t.testdirName, ''), /\bsecret\b(?!: no such)/, bad)
  }
})

t.test('a hostile key is a fault like any other', async (t) => {
  t.strictSame(
    faultsOf(() => load(t, 'listen: { http: { port: 1 } }\n__proto__: { workers: 9 }\n')),
    ['__proto__: no such setting']
  )
  t.equal(({} as { workers?: number }).workers, undefined)
})

t.test('the files that a configuration names are looked at', async (t) => {
  const { server, client, ca } = await certificates()
  const folder = t.testdir({
    'cert.pem': server.cert,
    'key.pem': server.key,
    'other.pem': client.key,
    'ca.pem': ca,
    empty: ''
  })
  const file = join(folder, 's.yaml')
  const faults = (yaml: string, env = {}) => {
    writeFileSync(file, yaml)
    return faultsOf(() => loadConfig({ file, env, flags: {} }))
  }
  const https = (key: string) => `listen: { https: { port: 1, tls: { cert: cert.pem, key: ${key} } } }\n`
  const masterKey = `vault.masterKeyFile: ${join(folder, 'master.key')} cannot be read (ENOENT)`
  t.strictSame(faults(https('key.pem')), [masterKey])
  t.strictSame(faults(https('key.pem'), { SLUICE_MASTER_KEY: 'AAAA' }), [])
  t.match(faults(https('other.pem')), [/^listen\.https\.tls: cert and key/, masterKey])
  t.match(faults(`${https('nowhere.pem')}egress: { ca: [ca.pem, empty] }\n`), [
    /^listen\.https\.tls\.key: .* \(ENOENT\)$/,
    /^egress\.ca\.1: .* is no PEM certificate/,
    masterKey
  ])
  mkdirSync(join(folder, 'master.key'))
  t.strictSame(faults(https('key.pem')), [`vault.masterKeyFile: ${join(folder, 'master.key')} cannot be read (EISDIR)`])
  t.notMatch(readFileSync(file, 'utf8'), 'BEGIN')
})

t.test('a reload takes what needs no restart and names the rest', async (t) => {
  const tls = { cert: 'a', key: 'b' }
  const old = parseConfig({ listen: { https: { port: 1, tls } } }, '/')
  const next = parseConfig(
    {
      listen: { https: { port: 1, tls: { cert: 'c', key: 'd' } }, drainMs: 5 },
      admin: { port: 1 },
      vault: { path: 'x' },
      egress: { hosts: ['a.b'] },
      workers: 4
    },
    '/'
  )
  const { config, waiting } = reloaded(old, next)
  t.strictSame(waiting, ['admin', 'vault', 'workers'])
  t.strictSame(config, { ...next, admin: old.admin, vault: old.vault, workers: 1 })
  t.strictSame(reloaded(old, parseConfig({ listen: { https: { port: 2, tls } } }, '/')).waiting, ['listen.https'])
  t.equal(reloaded(old, parseConfig({ ...HTTP, vault: { path: 'data' } }, '/')).config.listen.https, old.listen.https)
})
