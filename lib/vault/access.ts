/** Hot: per token. Who may do what: no store, no clock, no I/O. */
import { inOnePiece } from '../json.ts'
import { type DestinationName, DestinationList, type DestinationRule } from './destinations.ts'
import { type ApplicationType, type Rule, rulesOf, type Transform } from './permissions.ts'

/** What an application may do, as stored. */
export interface Grants {
  readonly permissions: readonly string[]
  /** When there are any, they alone decide about tokens, and `permissions` about all else. */
  readonly rules: readonly Rule[]
  /** null: not bound to destinations. */
  readonly destinations: readonly DestinationRule[] | null
}

export interface Identity {
  readonly tenant: string
  /** Id of the application. */
  readonly application: string
  readonly keyId: string
  readonly type: ApplicationType
  readonly name: string
  readonly live: boolean
}

/** An authenticated application: who it is, and what it may do. Immutable. */
export class Caller implements Identity {
  readonly tenant: string
  readonly application: string
  readonly keyId: string
  readonly type: ApplicationType
  readonly name: string
  readonly live: boolean
  /** Who it is, as members of an audit record's JSON. */
  readonly auditText: string
  /** :: permission → rules that grant it, in the order in which they are tried */
  readonly #rules: ReadonlyMap<string, readonly Rule[]>
  readonly #held: ReadonlySet<string>
  readonly #destinations: DestinationList | null

  constructor(identity: Identity, grants: Grants) {
    this.tenant = identity.tenant
    this.application = identity.application
    this.keyId = identity.keyId
    this.type = identity.type
    this.name = identity.name
    this.live = identity.live
    this.auditText = inOnePiece(`"tenant":"${this.tenant}","application":"${this.application}","key":"${this.keyId}",`)
    this.#rules = rulesByPermission(grants)
    this.#held = heldBy(grants, this.#rules)
    this.#destinations = grants.destinations === null ? null : new DestinationList(grants.destinations)
  }

  /** True when the permission is held anywhere: in the plain list or by any rule. */
  holds(permission: string): boolean {
    return this.#held.has(permission)
  }

  /** How data in the container is shown under the permission: by the first rule that matches; null: not at all. */
  allows(permission: string, container: string): Transform | null {
    const rules = this.#rules.get(permission)
    if (rules === undefined) return null
    for (const rule of rules) if (container.startsWith(rule.container)) return rule.transform
    return null
  }

  /** True when some rule shows plain data under the permission. */
  revealsAny(permission: string): boolean {
    return this.#rules.get(permission)?.some((rule) => rule.transform === 'reveal') ?? false
  }

  /** True when the application names the only destinations that it may reach. */
  get isBound(): boolean {
    return this.#destinations !== null
  }

  /** True when the application is not bound to destinations, or one of its bindings admits this one. */
  mayReach(destination: DestinationName): boolean {
    return this.#destinations === null || this.#destinations.admits(destination)
  }
}

function rulesByPermission(grants: Grants): Map<string, Rule[]> {
  const ordered =
    grants.rules.length > 0
      ? [...grants.rules].sort((a, b) => a.priority - b.priority)
      : grants.permissions.flatMap((permission) => rulesOf(permission))
  const byPermission = new Map<string, Rule[]>()
  for (const rule of ordered) {
    for (const permission of rule.permissions) {
      const rules = byPermission.get(permission)
      if (rules === undefined) byPermission.set(permission, [rule])
      else rules.push(rule)
    }
  }
  return byPermission
}

/** With rules, a token permission in the plain list that no rule grants is not held. */
function heldBy(grants: Grants, rules: ReadonlyMap<string, unknown>): Set<string> {
  const plain = grants.permissions.filter((permission) => rulesOf(permission).length === 0)
  return new Set([...plain, ...rules.keys()])
}
