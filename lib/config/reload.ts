import type { Config } from './schema.ts'

/** What a running process takes over of a new configuration. */
export interface Reload {
  readonly config: Config
  /** Settings that differ and wait for a restart. */
  readonly waiting: readonly string[]
}

/** The new configuration, with the addresses, `vault`, `audit` and `workers` of the old one: these need a restart. */
export function reloaded(old: Config, next: Config): Reload {
  const waiting: string[] = []
  const keep = <T>(path: string, before: T, after: T): T => {
    if (JSON.stringify(before) !== JSON.stringify(after)) waiting.push(path)
    return before
  }
  const before = old.listen.https
  const after = next.listen.https
  keep('listen.https', before && [before.host, before.port], after && [after.host, after.port])
  const config = {
    ...next,
    listen: Object.freeze({
      ...next.listen,
      http: keep('listen.http', old.listen.http, next.listen.http),
      https: before !== null && after !== null ? Object.freeze({ ...before, tls: after.tls }) : before
    }),
    admin: keep('admin', old.admin, next.admin),
    vault: keep('vault', old.vault, next.vault),
    audit: keep('audit', old.audit, next.audit),
    workers: keep('workers', old.workers, next.workers)
  }
  return { config: Object.freeze(config), waiting }
}
