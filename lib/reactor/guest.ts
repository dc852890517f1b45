/**
 * The JavaScript that every run begins with, inside the sandbox: what code written for the vendor's runtime expects to
 * find there. It is no line of defence: it shares its world with the code that it serves, which may change all of it.
 * What holds is that only texts cross between this world and ours, and that the worker reads none of its objects.
 *
 * A function of two host functions: `post(name, number, text)` says something, `ask(name, text)` answers at once. It
 * gives `start(main, input)`, where `main` is the code as a function, and `settle(number, isFine, text)`. It is evaluated
 * once: nothing in it may draw on chance or the clock before `start`.
 */
export const PRELUDE = String.raw`(function (post, ask) {
  'use strict'
  const { parse, stringify } = JSON
  const world = globalThis
  const pending = new Map()
  let calls = 0

  function call(name, value) {
    const number = ++calls
    return new Promise((resolve, reject) => {
      pending.set(number, { resolve, reject })
      post(name, number, stringify(value))
    })
  }

  // What code may throw, and what becomes of it.

  function errorsOf(given) {
    if (given === undefined || given === null) return {}
    if (given instanceof Error) return { error: [String(given.message)] }
    if (Array.isArray(given)) return { error: given.map(String) }
    if (typeof given === 'object') {
      return Object.fromEntries(Object.entries(given).map(([name, why]) => [name, [].concat(why).map(String)]))
    }
    return { error: [String(given)] }
  }

  class ReactorError extends Error {
    constructor(given) {
      super(typeof given === 'string' ? given : given instanceof Error ? given.message : '')
      this.name = new.target.name
      this.errors = errorsOf(given)
    }
  }
  const classes = {}
  for (const name of ['BadRequestError', 'InvalidReactorConfigurationError', 'AuthenticationError',
    'InvalidPaymentMethodError', 'AuthorizationError', 'InvalidReactorFormulaError', 'RateLimitError',
    'ReactorRuntimeError', 'ServiceUnavailableError']) {
    classes[name] = { [name]: class extends ReactorError {} }[name]
  }
  class CustomHttpResponseError extends Error {
    constructor({ status, headers, body } = {}) {
      super('')
      this.name = 'CustomHttpResponseError'
      this.status = status
      this.headers = headers
      this.body = body
    }
  }
  classes.CustomHttpResponseError = CustomHttpResponseError

  function faultOf(error) {
    if (error instanceof CustomHttpResponseError) {
      const { status, headers, body } = error
      return { kind: 'response', status, headers, body }
    }
    if (error instanceof ReactorError) return { kind: 'fault', name: error.name, errors: error.errors }
    return { kind: 'fault', name: 'ReactorRuntimeError', errors: errorsOf(error instanceof Error ? error : String(error)) }
  }

  function done(make) {
    let text
    try {
      text = stringify(make())
    } catch (error) {
      let why = 'The result is no JSON'
      try { why = String(error.message) } catch {}
      text = stringify({ kind: 'fault', name: 'ReactorRuntimeError', errors: { error: [why] } })
    }
    post('done', 0, text)
  }

  // Bytes.

  function utf8Bytes(text) {
    const bytes = []
    for (const character of text) {
      let code = character.codePointAt(0)
      if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd
      if (code < 0x80) bytes.push(code)
      else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63))
      else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63))
      else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63))
    }
    return bytes
  }
  function latin1Text(bytes) {
    let text = ''
    for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode.apply(null, bytes.subarray(at, at + 4096))
    return text
  }
  function utf8Text(bytes) {
    let text = ''
    for (let at = 0; at < bytes.length; ) {
      const first = bytes[at++]
      let more = first < 0x80 ? 0 : first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : -1
      if (first >= 0xf5) more = -1
      let code = more === 0 ? first : more < 0 ? 0xfffd : first & (0x3f >> more)
      for (; more > 0; more--) {
        const next = bytes[at]
        if (next === undefined || (next & 0xc0) !== 0x80) { code = 0xfffd; break }
        code = (code << 6) | (next & 63)
        at++
      }
      text += String.fromCodePoint(code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0xfffd : code)
    }
    return text
  }
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  function base64Text(bytes) {
    let text = ''
    for (let at = 0; at < bytes.length; at += 3) {
      const bits = (bytes[at] << 16) | ((bytes[at + 1] || 0) << 8) | (bytes[at + 2] || 0)
      text += ALPHABET[bits >> 18] + ALPHABET[(bits >> 12) & 63]
      text += at + 1 < bytes.length ? ALPHABET[(bits >> 6) & 63] : '='
      text += at + 2 < bytes.length ? ALPHABET[bits & 63] : '='
    }
    return text
  }
  function base64Bytes(text) {
    const bytes = []
    let bits = 0
    let held = 0
    for (const character of text.replace(/-/g, '+').replace(/_/g, '/')) {
      const value = ALPHABET.indexOf(character)
      if (value < 0) continue
      bits = (bits << 6) | value
      held += 6
      if (held >= 8) {
        held -= 8
        bytes.push((bits >> held) & 255)
        bits &= (1 << held) - 1
      }
    }
    return bytes
  }
  function bytesOf(text, encoding) {
    switch (String(encoding || 'utf8').toLowerCase()) {
      case 'hex': return (text.match(/^(?:[0-9a-f]{2})*/i)[0].match(/../g) || []).map((pair) => parseInt(pair, 16))
      case 'base64': case 'base64url': return base64Bytes(text)
      case 'latin1': case 'binary': case 'ascii': return Array.from(text, (character) => character.charCodeAt(0) & 255)
      case 'utf8': case 'utf-8': return utf8Bytes(text)
      default: throw new TypeError('Unknown encoding: ' + encoding)
    }
  }
  class Buffer extends Uint8Array {
    static from(value, encoding) {
      if (typeof value === 'string') return new Buffer(bytesOf(value, encoding))
      return new Buffer(value instanceof ArrayBuffer ? new Uint8Array(value) : value)
    }
    static alloc(size, fill = 0) { return new Buffer(size).fill(fill) }
    static isBuffer(value) { return value instanceof Buffer }
    static byteLength(value, encoding) { return typeof value === 'string' ? bytesOf(value, encoding).length : value.byteLength }
    static concat(list) {
      const whole = new Buffer(list.reduce((sum, piece) => sum + piece.length, 0))
      let at = 0
      for (const piece of list) { whole.set(piece, at); at += piece.length }
      return whole
    }
    equals(other) { return this.length === other.length && this.every((byte, at) => byte === other[at]) }
    toJSON() { return { type: 'Buffer', data: Array.from(this) } }
    toString(encoding) {
      switch (String(encoding || 'utf8').toLowerCase()) {
        case 'hex': return Array.from(this, (byte) => byte.toString(16).padStart(2, '0')).join('')
        case 'base64': return base64Text(this)
        case 'base64url': return base64Text(this).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')
        case 'latin1': case 'binary': case 'ascii': return latin1Text(this)
        case 'utf8': case 'utf-8': return utf8Text(this)
        default: throw new TypeError('Unknown encoding: ' + encoding)
      }
    }
  }
  const asBytes = (value, encoding) => typeof value === 'string' ? Buffer.from(value, encoding) : Buffer.from(value)

  // The modules that there are.

  function askCrypto(order) {
    const reply = parse(ask('crypto', stringify(order)))
    if (reply.error) throw new Error(reply.error)
    return Buffer.from(reply.bytes, 'base64')
  }
  class Digest {
    constructor(algorithm, key) {
      this.order = { algorithm: String(algorithm), key }
      this.pieces = []
    }
    update(piece, encoding) {
      this.pieces.push(asBytes(piece, encoding))
      return this
    }
    digest(encoding) {
      const bytes = askCrypto({ ...this.order, message: Buffer.concat(this.pieces).toString('base64') })
      return encoding === undefined || encoding === 'buffer' ? bytes : bytes.toString(encoding)
    }
  }
  const crypto = {
    createHash: (algorithm) => new Digest(algorithm, null),
    createHmac: (algorithm, key) => new Digest(algorithm, asBytes(key).toString('base64')),
    randomBytes: (size) => askCrypto({ random: size }),
    randomUUID: () => {
      const bytes = askCrypto({ random: 16 })
      bytes[6] = (bytes[6] & 0x0f) | 0x40
      bytes[8] = (bytes[8] & 0x3f) | 0x80
      return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    },
    timingSafeEqual: (one, other) => {
      if (one.length !== other.length) throw new RangeError('The lengths differ')
      let differs = 0
      for (let at = 0; at < one.length; at++) differs |= one[at] ^ other[at]
      return differs === 0
    }
  }
  // Every run begins with the same memory, so that what the engine would draw would be the same each time.
  let chance = null
  function random() {
    // sfc32, seeded by the host.
    if (chance === null) {
      const seed = askCrypto({ random: 16 })
      chance = [0, 4, 8, 12].map((at) => (seed[at] << 24) | (seed[at + 1] << 16) | (seed[at + 2] << 8) | seed[at + 3])
    }
    let [a, b, c, d] = chance
    const t = (((a + b) | 0) + d) | 0
    chance = [b ^ (b >>> 9), (c + (c << 3)) | 0, (((c << 21) | (c >>> 11)) + t) | 0, (d + 1) | 0]
    return (t >>> 0) / 4294967296
  }
  Math.random = random

  const escape = (value) => encodeURIComponent(String(value)).replace(/'/g, '%27')
  const unescape = (text) => {
    try { return decodeURIComponent(text.replace(/\+/g, ' ')) } catch { return text }
  }
  const querystring = {
    escape,
    unescape,
    stringify: (values) => Object.entries(values).flatMap(([name, value]) =>
      [].concat(value).map((one) => escape(name) + '=' + escape(one === null || one === undefined ? '' : one))).join('&'),
    parse: (text) => {
      const values = Object.create(null)
      for (const pair of String(text).split('&')) {
        if (pair === '') continue
        const equals = pair.indexOf('=')
        const name = unescape(equals < 0 ? pair : pair.slice(0, equals))
        const value = equals < 0 ? '' : unescape(pair.slice(equals + 1))
        values[name] = name in values ? [].concat(values[name], value) : value
      }
      return values
    }
  }

  // What leads out.

  class Headers {
    constructor(pairs) { this.pairs = pairs }
    get(name) {
      const values = this.pairs.filter(([key]) => key === String(name).toLowerCase()).map(([, value]) => value)
      return values.length === 0 ? null : values.join(', ')
    }
    has(name) { return this.get(name) !== null }
    forEach(each) { for (const [name, value] of this.pairs) each(value, name, this) }
    entries() { return this.pairs.values() }
    [Symbol.iterator]() { return this.entries() }
  }
  async function fetch(url, { method = 'GET', headers = {}, body } = {}) {
    const list = headers instanceof Headers ? headers.pairs : Array.isArray(headers) ? headers : Object.entries(headers)
    const pairs = list.map(([name, value]) => [String(name), String(value)])
    const text = body === undefined || body === null ? null : body instanceof Uint8Array ? utf8Text(body) : String(body)
    const reply = await call('fetch', { url: String(url), method: String(method), headers: pairs, body: text })
    return {
      status: reply.status,
      statusText: reply.statusText,
      ok: reply.status >= 200 && reply.status < 300,
      headers: new Headers(reply.headers),
      url: String(url),
      text: async () => reply.body,
      json: async () => parse(reply.body)
    }
  }
  const bt = {
    tokens: {
      create: (token) => call('bt', ['tokens.create', token]),
      retrieve: (id) => call('bt', ['tokens.retrieve', id]),
      update: (id, token) => call('bt', ['tokens.update', id, token]),
      delete: (id) => call('bt', ['tokens.delete', id])
    },
    tokenize: (value) => call('bt', ['tokenize', value])
  }
  const timers = new Map()
  let lastTimer = 0
  function setTimeout(task, wait, ...rest) {
    const timer = ++lastTimer
    timers.set(timer, task)
    call('sleep', Number(wait) || 0).then(() => {
      const due = timers.get(timer)
      timers.delete(timer)
      if (due !== undefined) due(...rest)
    })
    return timer
  }
  const clearTimeout = (timer) => { timers.delete(timer) }

  const silent = () => {}
  const console = Object.fromEntries(['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir'].map((name) => [name, silent]))
  const modules = {
    buffer: { Buffer },
    crypto,
    querystring,
    'node-fetch': Object.assign(fetch, { default: fetch, Headers }),
    '@basis-theory/basis-theory-reactor-formulas-sdk-js': classes,
    '@basis-theory/reactor-formulas-sdk-js': classes
  }
  const module = { exports: {} }
  function require(name) {
    const found = Object.hasOwn(modules, String(name).replace(/^node:/, '')) ? modules[String(name).replace(/^node:/, '')] : undefined
    if (found === undefined) throw new Error("Cannot find module '" + name + "'")
    return found
  }
  Object.assign(world, { module, exports: module.exports, require, Buffer, fetch, Headers, console, setTimeout, clearTimeout })

  return {
    start(code, text) {
      try {
        code.call(module.exports)
      } catch (error) {
        return done(() => faultOf(error))
      }
      const input = parse(text)
      const { exports } = module
      const main = typeof exports === 'function' ? exports : exports.default
      if (typeof main !== 'function') return done(() => ({ kind: 'no-function' }))
      if (input === null) return done(() => ({ kind: 'value', value: null }))
      const { args, configuration, side } = input
      const given = { args, configuration, bt: input.hasBt ? bt : null }
      // Newer code of the vendor's calls the same thing by its side.
      if (side === 'request') given.req = args
      if (side === 'response') given.res = args
      new Promise((resolve) => resolve(main(given))).then(
        (value) => done(() => ({ kind: 'value', value: value === undefined ? null : value })),
        (error) => done(() => faultOf(error))
      )
    },
    settle(number, isFine, text) {
      const waiting = pending.get(number)
      pending.delete(number)
      if (waiting === undefined) return
      const value = parse(text)
      if (isFine) waiting.resolve(value)
      else waiting.reject(Object.assign(new Error(value.message), { name: value.name, status: value.status, code: value.code }))
    }
  }
})`
