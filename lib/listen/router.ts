import type { ApiRoute } from './api.ts'

/**
 * Routes of the control plane: templates of fixed segments and `{parameters}`. A fixed segment wins over a parameter;
 * `/x` and `/x/` are one route. Compiled when it is made; a look-up splits the path once.
 */
export class Router {
  readonly #root: Node = newNode()

  constructor(routes: readonly ApiRoute[]) {
    for (const route of routes) {
      let node = this.#root
      for (const segment of segmentsOf(route.path)) {
        if (segment.startsWith('{')) {
          node.parameter ??= { name: segment.slice(1, -1), node: newNode() }
          node = node.parameter.node
        } else {
          let next = node.fixed.get(segment)
          if (next === undefined) {
            next = newNode()
            node.fixed.set(segment, next)
          }
          node = next
        }
      }
      node.routes.set(route.method, route)
    }
  }

  /**
   * The route of a request; `methods` when the path is known but not for this method; null when it is not known, or a
   * parameter is not well-formed percent-encoded UTF-8.
   */
  find(method: string, path: string): Match | { readonly methods: readonly string[] } | null {
    const params: Record<string, string> = {}
    const node = descend(this.#root, segmentsOf(path), 0, params)
    if (node === null) return null
    const route = node.routes.get(method)
    return route === undefined ? { methods: [...node.routes.keys()] } : { route, params }
  }
}

export interface Match {
  readonly route: ApiRoute
  readonly params: Readonly<Record<string, string>>
}

interface Node {
  readonly fixed: Map<string, Node>
  parameter: { readonly name: string; readonly node: Node } | null
  /** :: method → route */
  readonly routes: Map<string, ApiRoute>
}

function newNode(): Node {
  return { fixed: new Map(), parameter: null, routes: new Map() }
}

function descend(node: Node, segments: readonly string[], at: number, params: Record<string, string>): Node | null {
  if (at === segments.length) return node.routes.size > 0 ? node : null
  const segment = segments[at] as string
  const fixed = node.fixed.get(segment)
  if (fixed !== undefined) {
    const found = descend(fixed, segments, at + 1, params)
    if (found !== null) return found
  }
  if (node.parameter === null || segment === '') return null
  const decoded = decodeSegment(segment)
  if (decoded === null) return null
  const found = descend(node.parameter.node, segments, at + 1, params)
  if (found !== null) params[node.parameter.name] = decoded
  return found
}

/** Without the leading slash and one trailing slash. */
function segmentsOf(path: string): string[] {
  const end = path.length > 1 && path.endsWith('/') ? path.length - 1 : path.length
  return path.slice(1, end).split('/')
}

function decodeSegment(segment: string): string | null {
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}
