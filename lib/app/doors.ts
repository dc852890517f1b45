import type { Config } from '../config/schema.ts'
import type { ProxyPorts } from '../dialects/basis-theory/proxy.ts'
import type { ProxyChecks } from '../dialects/basis-theory/proxy-documents.ts'
import type { ReactorPorts } from '../dialects/basis-theory/reactor-ports.ts'
import { StoredProxies } from '../dialects/basis-theory/stored-proxies.ts'
import type { MaskThread } from '../dialects/basis-theory/transforms/mask-thread.ts'
import { basisTheoryVoice } from '../dialects/basis-theory/voice.ts'
import { apiErrorBody } from '../dialects/basis-theory/wire.ts'
import type { ConfigPorts } from '../dialects/footprint/configs.ts'
import { credentialOf } from '../dialects/footprint/credential.ts'
import type { VaultProxyPorts } from '../dialects/footprint/proxy.ts'
import { footprintVoice, reflectVoice } from '../dialects/footprint/voice.ts'
import { errorBody } from '../dialects/footprint/wire.ts'
import { Egress } from '../egress/egress.ts'
import type { TlsIdentity } from '../egress/identity.ts'
import { SluiceError } from '../errors.ts'
import type { Client } from '../listen/client.ts'
import { equalsIgnoringCase, onlyField } from '../listen/head.ts'
import type { ApiPorts } from '../listen/serve-api.ts'
import type { Log } from '../observe/log.ts'
import { newTraceId } from '../observe/trace-id.ts'
import { errorFields } from '../plan/answer.ts'
import { acceptableTraceId, delimitersOf } from '../plan/controls.ts'
import { hostMatches } from '../plan/destination.ts'
import { BufferBudget } from '../proxy/buffer-budget.ts'
import { Capture } from '../proxy/capture.ts'
import { Execution } from '../proxy/execute.ts'
import type { RequestRecord } from '../proxy/phases.ts'
import type { ExecutionParts } from '../proxy/ports.ts'
import { Reflection } from '../proxy/reflect.ts'
import { CURLY } from '../scan/delimiters.ts'
import type { Caller } from '../vault/access.ts'
import type { Vault } from '../vault/vault.ts'
import { readText } from './files.ts'
import { apiRecord } from './records.ts'

/** What a configuration's doors lead to that outlives the configuration. */
export interface Lasting {
  readonly vault: Vault
  readonly log: Log
  readonly reactors: ReactorPorts
  readonly masks: MaskThread
  /** `host:port` of destinations that may have any port and address. */
  readonly relaxed: readonly string[]
  readonly viaName: string
  /** Answers a request for a proxy that got no plan. */
  readonly refuse: (client: Client, error: SluiceError, traceId: string, route: string, caller: Caller | null) => void
  /** Called once for each request. */
  readonly over: (record: RequestRecord) => void
}

/** The doors that requests come to under one configuration, and what is made anew with it. */
export interface Doors {
  readonly config: Config
  readonly egress: Egress
  readonly buffers: BufferBudget
  readonly proxy: ProxyPorts<TlsIdentity>
  readonly vaultProxy: VaultProxyPorts<TlsIdentity>
  readonly api: ApiPorts
  readonly footprintApi: ApiPorts
}

/** Throws ERR_CONFIG when a file does not read. */
export function newDoors(config: Config, lasting: Lasting): Doors {
  const buffers = new BufferBudget(config.limits.bufferedBytes)
  const egress = new Egress({
    ...config.egress,
    ca: config.egress.ca.map((file) => readText(file, 'egress.ca')),
    allowsHost: (host) => config.egress.hosts.some((pattern) => hostMatches(pattern, host)),
    relaxed: lasting.relaxed
  })
  const parts: Parts = {
    vault: lasting.vault,
    egress,
    buffers,
    done: lasting.over,
    bug: (thrown, traceId) => lasting.log.bug(thrown, traceId)
  }
  return {
    config,
    egress,
    buffers,
    proxy: proxyPorts(config, egress, parts, lasting),
    vaultProxy: vaultProxyPorts(config, egress, parts, lasting),
    api: apiPorts(config, buffers, lasting),
    footprintApi: footprintApiPorts(config, buffers, lasting)
  }
}

/** What a stored proxy is checked against when it is written. */
export function proxyChecks(config: Config, egress: Egress, relaxed: readonly string[]): ProxyChecks<TlsIdentity> {
  return {
    ports: config.egress.ports,
    exemptOrigins: relaxed,
    identity: (material) => egress.identity(material)
  }
}

/** What a stored configuration of Footprint's is. */
export function configPorts({ vaultProxy }: Doors): ConfigPorts {
  return {
    ports: vaultProxy.settings.ports,
    exemptOrigins: vaultProxy.settings.exemptOrigins,
    looksLikeOurs: vaultProxy.looksLikeOurs,
    identity: (material) => vaultProxy.identity(material),
    compileRules: (type, rules) => vaultProxy.compileRules(type, rules)
  }
}

/** The trace id that the client sent, when it may be one; else a new one. */
export function traceIdOf(client: Client): string {
  const { fields } = client.head
  for (let at = 0; at < fields.length; at += 2) {
    if (equalsIgnoringCase(fields[at] as string, 'bt-trace-id')) {
      return acceptableTraceId(fields[at + 1]) ?? newTraceId()
    }
  }
  return newTraceId()
}

/** Parts without a dialect's voice. */
type Parts = Omit<ExecutionParts, 'voice'>

function proxyPorts(config: Config, egress: Egress, parts: Parts, lasting: Lasting): ProxyPorts<TlsIdentity> {
  const { limits, template } = config
  const { vault, reactors, masks, relaxed, viaName, refuse } = lasting
  const voiced = { ...parts, voice: basisTheoryVoice }
  return {
    settings: {
      ports: config.egress.ports,
      exemptOrigins: relaxed,
      parsed: new Map(),
      delimiters: template.delimiters.reduce((mask, pair) => mask | delimitersOf(pair, 0), 0),
      viaName
    },
    limits,
    deadlines: config.egress,
    transforms: { code: reactors, masks },
    stored: new StoredProxies({ ...proxyChecks(config, egress, relaxed), vault, deadlines: config.egress }),
    looksLikeOurs: (key) => vault.looksLikeOurs(key),
    authenticate: (key, memo) => vault.authenticate(key, memo),
    newTraceId,
    refuse,
    execute: (client, plan, caller) => new Execution(client, plan, caller, voiced).start()
  }
}

function vaultProxyPorts(config: Config, egress: Egress, parts: Parts, lasting: Lasting): VaultProxyPorts<TlsIdentity> {
  const { vault, relaxed, viaName, refuse } = lasting
  const voiced = { ...parts, voice: footprintVoice }
  return {
    settings: { ports: config.egress.ports, exemptOrigins: relaxed, delimiters: CURLY, viaName },
    limits: config.limits,
    deadlines: config.egress,
    users: vault.users,
    configs: vault.shelves.configs,
    looksLikeOurs: (key) => vault.looksLikeOurs(key),
    authenticate: (key, memo) => vault.authenticate(key, memo),
    identity: (material) => egress.identity(material),
    compileRules: (type, rules) => new Capture(type, rules),
    newTraceId: traceIdOf,
    refuse: (client, error, route, caller) => refuse(client, error, traceIdOf(client), route, caller),
    execute: (client, plan, caller) => {
      const isReflected = plan.door === 'reflect'
      const chosen = isReflected
        ? { ...parts, voice: reflectVoice, egress: new Reflection(plan.contentTypes[0]) }
        : voiced
      new Execution(client, plan, caller, chosen).start()
    }
  }
}

function apiPorts(config: Config, buffers: BufferBudget, { vault, log, over }: Lasting): ApiPorts {
  return {
    apiBodyBytes: config.limits.apiBodyBytes,
    buffers,
    authenticate: (client) => {
      const key = onlyField(client.head.fields, 'bt-api-key') ?? onlyField(client.head.fields, 'x-api-key')
      if (key === undefined) throw new SluiceError('ERR_AUTH_MISSING', 'The BT-API-KEY header is required')
      return vault.authenticate(key, client.memo)
    },
    failure: (error, traceId) => {
      if (error.code === 'ERR_INTERNAL') log.bug(error, traceId)
      return { fields: errorFields(error, traceId), body: apiErrorBody(error) }
    },
    done: (client, result) => over(apiRecord(client, result))
  }
}

function footprintApiPorts(config: Config, buffers: BufferBudget, { vault, log, over }: Lasting): ApiPorts {
  return {
    apiBodyBytes: config.limits.apiBodyBytes,
    buffers,
    authenticate: (client) => vault.authenticate(credentialOf(client.head.fields), client.memo),
    failure: (error, traceId) => {
      if (error.code === 'ERR_INTERNAL') log.bug(error, traceId)
      const fields = errorFields(error, traceId)
      if (error.status === 401) fields.push('WWW-Authenticate', 'Basic realm="sluice"')
      return { fields, body: errorBody(error) }
    },
    done: (client, result) => over({ ...apiRecord(client, result), dialect: 'footprint' })
  }
}
