import { createRequire } from 'node:module'
import type * as XmlDom from '@xmldom/xmldom'
import type { Attr, CharacterData, Document, Element, Node } from '@xmldom/xmldom'
import type * as XPath from 'xpath'
import { SluiceError } from '../errors.ts'
import { ofRule, type Reader, unfit } from './capture-reading.ts'

/**
 * XML, searched with XPath 1.0. A rule finds elements that hold text alone, attributes or text. Prefixes are those that
 * the root element declares. The document is written anew when something was found; a document type is refused, since
 * its entities could be anything.
 */
export function xmlReader(paths: readonly string[]): Reader {
  const compiled = paths.map((path, at) => ofRule(at, () => compile(path)))
  return (body, work) => {
    const document = read(body)
    work.spend(body.length)
    const namespaces = declaredBy(document)
    const nodes = compiled.map((path) => select(path, document, namespaces))
    const found = nodes.map((list) => list.map(textOf))
    return {
      found,
      write: (tokens) => {
        if (nodes.every((list) => list.length === 0)) return body
        // From the last rule to the first: of two that name one node the first one's token stays.
        for (let rule = nodes.length - 1; rule >= 0; rule--) {
          for (const node of nodes[rule] ?? []) put(node, tokens[rule] as string)
        }
        return new (xmldom().XMLSerializer)().serializeToString(document)
      }
    }
  }
}

/** One step to all descendants at most, so that the work stays in proportion to the document. */
function compile(path: string): string {
  if (path.length > 500) throw new SluiceError('ERR_EXPR_LIMIT', 'an XPath is over 500 characters')
  const bare = path.replace(/"[^"]*"|'[^']*'/g, '')
  if ((bare.match(/\/\/|\b(?:descendant|ancestor|following|preceding)\b/g) ?? []).length > 1) {
    throw new SluiceError('ERR_EXPR_LIMIT', 'an XPath has more than one step of any depth (//)')
  }
  try {
    evaluate(path.trim(), read('<_/>'), () => 'urn:_')
    return path.trim()
  } catch {
    throw new SluiceError('ERR_EXPR_PATH', 'the XPath does not parse')
  }
}

function read(body: string): Document {
  if (/<!DOCTYPE/i.test(body)) throw unfit('it has a document type')
  const broken = () => {
    throw unfit('it is not well-formed XML')
  }
  try {
    return new (xmldom().DOMParser)({ onError: broken }).parseFromString(body, 'text/xml')
  } catch {
    return broken()
  }
}

function declaredBy({ documentElement }: Document): Map<string, string> {
  const declared = new Map<string, string>()
  for (const { name, value } of documentElement?.attributes ?? []) {
    if (name.startsWith('xmlns:')) declared.set(name.slice('xmlns:'.length), value)
  }
  return declared
}

function evaluate(path: string, document: Document, namespaceOf: (prefix: string) => string | null): unknown {
  const { selectWithResolver } = require('xpath') as typeof XPath
  return selectWithResolver(path, document as never, { lookupNamespaceURI: (prefix) => namespaceOf(prefix ?? '') })
}

function select(path: string, document: Document, namespaces: ReadonlyMap<string, string>): Node[] {
  let result: unknown
  try {
    result = evaluate(path, document, (prefix) => namespaces.get(prefix) ?? null)
  } catch {
    throw unfit('an XPath cannot be evaluated for it')
  }
  if (!Array.isArray(result)) throw unfit('an XPath yields no nodes')
  return result as Node[]
}

function textOf(node: Node): string {
  if (node.nodeType === ATTRIBUTE) return (node as Attr).value
  if (node.nodeType === TEXT || node.nodeType === CDATA) return (node as CharacterData).data
  if (node.nodeType !== ELEMENT) throw unfit('a rule names what is neither element, attribute nor text')
  for (let child = node.firstChild; child !== null; child = child.nextSibling) {
    if (child.nodeType === ELEMENT) throw unfit('a rule names an element that holds others')
  }
  return node.textContent ?? ''
}

function put(node: Node, token: string): void {
  if (node.nodeType === ATTRIBUTE) (node as Attr).value = token
  else if (node.nodeType === ELEMENT) (node as Element).textContent = token
  else (node as CharacterData).data = token
}

/** Loaded with the first rule for XML, as is `xpath`: most servers need neither, and both weigh on the start. */
function xmldom(): typeof XmlDom {
  return require('@xmldom/xmldom') as typeof XmlDom
}

const require = createRequire(import.meta.url)
const ELEMENT = 1
const ATTRIBUTE = 2
const TEXT = 3
const CDATA = 4
