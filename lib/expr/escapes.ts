import { valueFault } from './faults.ts'

/**
 * Text → the text that means it in one place. Those that refuse throw ERR_EXPR_VALUE. Lone surrogates, which JSON can
 * hold and UTF-8 cannot, become U+FFFD where they cannot be escaped.
 */

/** Inside the quotes of a JSON string. */
export function jsonEscape(text: string): string {
  return isJsonPlain(text) ? text : JSON.stringify(text).slice(1, -1)
}

/** A JSON string, quotes and all. */
export function jsonString(text: string): string {
  return isJsonPlain(text) ? `"${text}"` : JSON.stringify(text)
}

/** Is there nothing to escape? A loop: on short text faster than a regular expression or JSON.stringify. */
function isJsonPlain(text: string): boolean {
  if (text.length > SHORT) return false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x20 || code === 0x22 || code === 0x5c || (code & 0xf800) === 0xd800) return false
  }
  return true
}

/** application/x-www-form-urlencoded: space is `+`, letters, digits and `-_.!*()` stay. */
export function form(text: string): string {
  return FORM_PLAIN.test(text)
    ? text
    : percent(text)
        .replace(/%20/g, '+')
        .replace(/['~]/g, (c) => (c === "'" ? '%27' : '%7E'))
}

/** Character data: a carriage return is written as a reference, or a parser would make it a line feed. */
export function xmlText(text: string): string {
  return XML_SPECIAL.test(text) ? legalXml(text).replace(/[&<>"'\r]/g, reference) : legalXml(text)
}

/** A quoted attribute: tabs and line ends are written as references, or a parser would make them spaces. */
export function xmlAttribute(text: string): string {
  return legalXml(text).replace(/[&<>"'\t\n\r]/g, reference)
}

/**
 * A CDATA section. No `]]>` can arise, neither within the value nor with what stands around it; a carriage return
 * stands as a reference between two sections.
 */
export function cdata(text: string): string {
  if (text === '') return BREAK
  const split = legalXml(text).replace(/\]\]>/g, ']]]]><![CDATA[>').replace(/\r/g, ']]>&#13;<![CDATA[')
  const head = split.startsWith('>') || split.startsWith(']>') ? BREAK : ''
  return `${head}${split}${split.endsWith(']') ? BREAK : ''}`
}

/** A field of CSV without quotes: what ends a field, or begins a quoted one, is refused. */
export function csv(text: string): string {
  if (/[\r\n",;\t]/.test(text)) throw valueFault()
  return text
}

/** A field of CSV in quotes (RFC 4180): quotes are doubled, line ends refused. */
export function csvQuoted(text: string): string {
  if (/[\r\n]/.test(text)) throw valueFault()
  return text.replaceAll('"', '""')
}

/** A part of a path: everything but unreserved characters is percent-encoded; a value that makes a separator is refused. */
export function urlPath(text: string, raw: boolean): string {
  if (raw) {
    if (ENCODED_SEPARATOR.test(text)) throw valueFault()
    return urlRaw(text)
  }
  if (/[/\\]/.test(text)) throw valueFault()
  return percent(text).replace(/[!'()*]/g, hex)
}

/** A part of a query: everything but unreserved characters is percent-encoded. */
export function urlQuery(text: string, raw: boolean): string {
  return raw ? urlRaw(text) : percent(text).replace(/[!'()*]/g, hex)
}

/** A header value, as a string of its UTF-8 bytes. Control characters but TAB are refused. */
export function header(text: string): string {
  if (CONTROL.test(text)) throw valueFault()
  return isAscii(text) ? text : Buffer.from(text).toString('latin1')
}

export function isAscii(text: string): boolean {
  return ASCII.test(text)
}

/** A header of a multipart part: control characters are refused; a quote, which would end a parameter, is `%22`. */
export function partHeader(text: string, raw: boolean): string {
  if (CONTROL.test(text)) throw valueFault()
  return raw ? text : text.replaceAll('"', '%22')
}

/** Not escaped, but still nothing that ends a URL, a path or a line. */
function urlRaw(text: string): string {
  if (!URL_CHARACTERS.test(text)) throw valueFault()
  return text
}

function percent(text: string): string {
  try {
    return encodeURIComponent(text)
  } catch {
    return encodeURIComponent(text.replace(LONE_SURROGATES, '\ufffd'))
  }
}

/** XML 1.0 cannot hold some characters at all. */
function legalXml(text: string): string {
  if (XML_ILLEGAL.test(text)) throw valueFault()
  return text
}

function reference(character: string): string {
  return XML_REFERENCES[character] ?? `&#${character.charCodeAt(0)};`
}

function hex(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`
}

/** Longer text is left to JSON.stringify. */
const SHORT = 256
const CONTROL = /[^\P{Cc}\t]/u
const ASCII = /^\p{ASCII}*$/u
const XML_ILLEGAL = /[^\P{Cc}\t\n\r\u007f-\u009f]|[\ufffe\uffff]|\p{Cs}/u
const LONE_SURROGATES = /\p{Cs}/gu
const FORM_PLAIN = /^[A-Za-z0-9\-_.!*()]*$/
const URL_CHARACTERS = /^[A-Za-z0-9\-._~:/@!$&'()*+,;=%]*$/
/** Whole, or to be completed by what follows. */
const ENCODED_SEPARATOR = /%(?:2f|5c|[0-9a-f]?$)/i
const XML_SPECIAL = /[&<>"'\r]/
const XML_REFERENCES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;'
}
const BREAK = ']]><![CDATA['
