/** Hot: per byte of markup. Bench: bench/micro/scan/scanner.ts. */
import {
  XML_BANG,
  XML_BANG_DASH,
  XML_CDATA,
  XML_CDATA_BRACKET,
  XML_CDATA_END,
  XML_CDATA_OPEN,
  XML_COMMENT,
  XML_COMMENT_DASH,
  XML_COMMENT_END,
  XML_DECLARATION,
  XML_DECLARATION_DOUBLE,
  XML_DECLARATION_SINGLE,
  XML_DOUBLE,
  XML_INSTRUCTION,
  XML_INSTRUCTION_END,
  XML_OPEN,
  XML_SINGLE,
  XML_TAG,
  XML_TEXT
} from './_states.ts'

/** Beside the state: one more declaration is open. */
export const DEEPER = 0x40
/** Beside the state: one declaration has ended. */
export const SHALLOWER = 0x80
/** The state alone. */
export const STATE = 0x3f

/**
 * The state after `byte`, perhaps with DEEPER or SHALLOWER. Quotes, comments, CDATA and instructions are told apart
 * exactly (XML 1.0, 2.4 to 2.8); names and their order are not checked.
 *
 * @param depth Declarations that are open: comments and instructions return to them.
 */
export function xmlStep(state: number, byte: number, depth: number): number {
  switch (state) {
    case XML_TEXT:
      return byte === LESS ? XML_OPEN : XML_TEXT
    case XML_OPEN:
      if (byte === BANG) return XML_BANG
      if (byte === QUESTION) return XML_INSTRUCTION
      if (depth > 0) return enterDeclaration(byte, depth)
      return tag(byte)
    case XML_TAG:
      return tag(byte)
    case XML_DOUBLE:
      return byte === DOUBLE ? XML_TAG : XML_DOUBLE
    case XML_SINGLE:
      return byte === SINGLE ? XML_TAG : XML_SINGLE
    case XML_INSTRUCTION:
      return byte === QUESTION ? XML_INSTRUCTION_END : XML_INSTRUCTION
    case XML_INSTRUCTION_END:
      if (byte === GREATER) return outside(depth)
      return byte === QUESTION ? XML_INSTRUCTION_END : XML_INSTRUCTION
    case XML_BANG:
      if (byte === DASH) return XML_BANG_DASH
      if (byte === BRACKET && depth === 0) return XML_CDATA_OPEN
      return enterDeclaration(byte, depth)
    case XML_BANG_DASH:
      return byte === DASH ? XML_COMMENT : enterDeclaration(byte, depth)
    case XML_COMMENT:
      return byte === DASH ? XML_COMMENT_DASH : XML_COMMENT
    case XML_COMMENT_DASH:
      return byte === DASH ? XML_COMMENT_END : XML_COMMENT
    case XML_COMMENT_END:
      if (byte === GREATER) return outside(depth)
      return byte === DASH ? XML_COMMENT_END : XML_COMMENT
    case XML_DECLARATION:
      return declaration(byte, depth)
    case XML_DECLARATION_DOUBLE:
      return byte === DOUBLE ? XML_DECLARATION : XML_DECLARATION_DOUBLE
    case XML_DECLARATION_SINGLE:
      return byte === SINGLE ? XML_DECLARATION : XML_DECLARATION_SINGLE
    case XML_CDATA:
      return byte === CLOSING_BRACKET ? XML_CDATA_BRACKET : XML_CDATA
    case XML_CDATA_BRACKET:
      return byte === CLOSING_BRACKET ? XML_CDATA_END : XML_CDATA
    case XML_CDATA_END:
      if (byte === GREATER) return XML_TEXT
      return byte === CLOSING_BRACKET ? XML_CDATA_END : XML_CDATA
    default:
      if (byte !== CDATA.charCodeAt(state - XML_CDATA_OPEN)) return enterDeclaration(byte, depth)
      return state === XML_CDATA_OPEN + CDATA.length - 1 ? XML_CDATA : state + 1
  }
}

function tag(byte: number): number {
  if (byte === GREATER) return XML_TEXT
  if (byte === LESS) return XML_OPEN
  if (byte === DOUBLE) return XML_DOUBLE
  return byte === SINGLE ? XML_SINGLE : XML_TAG
}

function outside(depth: number): number {
  return depth > 0 ? XML_DECLARATION : XML_TEXT
}

/** `byte` is the first of a declaration that begins here. */
function enterDeclaration(byte: number, depth: number): number {
  // NOTE: `<!>` opens and ends one.
  return byte === GREATER ? outside(depth) : declaration(byte, depth + 1) | DEEPER
}

function declaration(byte: number, depth: number): number {
  if (byte === GREATER) return outside(depth - 1) | SHALLOWER
  if (byte === LESS) return XML_OPEN
  if (byte === DOUBLE) return XML_DECLARATION_DOUBLE
  return byte === SINGLE ? XML_DECLARATION_SINGLE : XML_DECLARATION
}

const CDATA = 'CDATA['
const BANG = 0x21
const DOUBLE = 0x22
const SINGLE = 0x27
const DASH = 0x2d
const LESS = 0x3c
const GREATER = 0x3e
const QUESTION = 0x3f
const BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
