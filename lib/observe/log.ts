import { type DestinationStream, type Level, type Logger, pino } from 'pino'
import { inOnePiece, THOUSANDTHS } from '../json.ts'
import { GatheredLines } from './gathered-lines.ts'

/** What one line about a request says, and all it can say: no header, body, path, query or message goes in here. */
export interface RequestLine {
  readonly dialect: string
  /** The router's template, not the path. */
  readonly route: string
  /** Id of the stored proxy that was called. */
  readonly proxy: string | null
  readonly method: string
  readonly status: number
  readonly outcome: string
  readonly code: string | null
  /** Letters, digits, `.`, `_` and `-`: `plan/controls.ts` lets no other through. */
  readonly traceId: string
  readonly tenant: string | null
  readonly application: string | null
  /** Host of the destination. */
  readonly destination: string | null
  readonly destinationStatus: number
  readonly mode: string | null
  readonly tokens: number
  readonly replaced: number
  readonly literal: number
  readonly captured: number
  readonly scrubbed: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly doneMs: number
  readonly waitedMs: number
}

/** Facts about the process, for lines that are about no request. */
export interface EventFields {
  readonly setting?: string
  readonly settings?: readonly string[]
  readonly address?: string
  readonly port?: number
  readonly workers?: number
  readonly worker?: number
  readonly signal?: string
  readonly keyId?: string
  readonly count?: number
  readonly ms?: number
}

/** Everything that is said beside requests: fixed texts, so that nothing can slip into one. */
export type Event =
  | 'started'
  | 'listening'
  | 'draining'
  | 'stopped'
  | 'reloaded'
  | 'reload refused: the configuration has faults; the old one stays'
  | 'these settings wait for a restart'
  | 'worker died'
  | 'worker replaced'
  | 'this key holds token:use and may reach every host'
  | 'an application was changed by someone else: none of its keys is let in'
  | 'the master key file is readable by others'
  | 'internal error'

export type LogLevel = Level | 'silent'

/** Structured lines on standard output. */
export class Log {
  readonly #pino: Logger
  readonly #stream: DestinationStream
  #last: RequestLine | null = null
  /** What `#common` made of it. */
  #lastText = ''
  #lastCounts = { tokens: -1, replaced: -1, literal: -1, captured: -1, scrubbed: -1, text: '' }

  /** @param stream Where lines go; standard output when left out. */
  constructor(level: LogLevel, stream: DestinationStream = new GatheredLines()) {
    this.#stream = stream
    this.#pino = pino({ level, base: { pid: process.pid }, timestamp: isoTime }, stream)
  }

  set level(level: LogLevel) {
    this.#pino.level = level
  }

  /** One line about a finished request. Field by field: what the caller's object holds beside them stays out. */
  request(line: RequestLine): void {
    if (!this.#pino.isLevelEnabled('info')) return
    // NOTE: written out as pino would write it, whose walk over the fields costs ten times this. What is the same as in
    // the line before is one text.
    let text = `{"level":30${isoTime()}${this.#common(line)},"traceId":"${line.traceId}${this.#counts(line)}`
    text += `,"requestBytes":${line.requestBytes},"responseBytes":${line.responseBytes}`
    if (line.doneMs >= 0) text += `,"ms":${millis(line.doneMs)}`
    if (line.waitedMs >= 0) text += `,"waitedMs":${millis(line.waitedMs)}`
    this.#stream.write(`${text},"msg":"request"}\n`)
  }

  /** The fields of which there are few values. */
  #common(line: RequestLine): string {
    const last = this.#last
    if (
      last !== null &&
      last.status === line.status &&
      last.route === line.route &&
      last.method === line.method &&
      last.destination === line.destination &&
      last.application === line.application &&
      last.proxy === line.proxy &&
      last.tenant === line.tenant &&
      last.destinationStatus === line.destinationStatus &&
      last.outcome === line.outcome &&
      last.mode === line.mode &&
      last.code === line.code &&
      last.dialect === line.dialect
    ) {
      return this.#lastText
    }
    const { code, proxy, tenant, application, destination, mode, destinationStatus } = line
    let text = `,"pid":${process.pid},"dialect":"${line.dialect}","route":${JSON.stringify(line.route)}`
    text += `,"method":${JSON.stringify(line.method)},"status":${line.status},"outcome":"${line.outcome}"`
    if (code !== null) text += `,"code":"${code}"`
    if (proxy !== null) text += `,"proxy":${JSON.stringify(proxy)}`
    if (tenant !== null) text += `,"tenant":${JSON.stringify(tenant)}`
    if (application !== null) text += `,"application":${JSON.stringify(application)}`
    if (destination !== null) text += `,"destination":${JSON.stringify(destination)}`
    if (destinationStatus !== 0) text += `,"destinationStatus":${destinationStatus}`
    if (mode !== null) text += `,"mode":"${mode}"`
    // NOTE: not the line itself. Its trace id may be a part of a head and keep all of it in memory.
    this.#last = { ...line, traceId: '' }
    this.#lastText = inOnePiece(text)
    return this.#lastText
  }

  /** How many of what, which is much the same for all requests of a kind. */
  #counts({ tokens, replaced, literal, captured, scrubbed }: RequestLine): string {
    const last = this.#lastCounts
    if (
      last.tokens === tokens &&
      last.replaced === replaced &&
      last.literal === literal &&
      last.captured === captured &&
      last.scrubbed === scrubbed
    ) {
      return last.text
    }
    let text = `","tokens":${tokens},"replaced":${replaced},"literal":${literal}`
    if (captured > 0) text += `,"captured":${captured}`
    if (scrubbed > 0) text += `,"scrubbed":${scrubbed}`
    this.#lastCounts = { tokens, replaced, literal, captured, scrubbed, text: inOnePiece(text) }
    return this.#lastCounts.text
  }

  /** A line about the process. */
  event(level: Level, event: Event, fields: EventFields = {}): void {
    const { setting, settings, address, port, workers, worker, signal, keyId, count, ms } = fields
    this.#pino[level]({ setting, settings, address, port, workers, worker, signal, keyId, count, ms }, event)
  }

  /**
   * A line about a bug: the kind of error and where it was thrown. Its message stays out, since it may quote what was
   * being worked on.
   */
  bug(thrown: unknown, traceId?: string): void {
    const causes: string[] = []
    let frames: string[] = []
    let error = thrown
    while (error instanceof Error && causes.length < 5) {
      const { code } = error as { code?: unknown }
      causes.push(typeof code === 'string' && /^[A-Z0-9_]+$/.test(code) ? `${error.name} ${code}` : error.name)
      // The frames of the innermost error say the most.
      frames = framesOf(error)
      error = error.cause
    }
    this.#pino.error({ traceId, causes, frames }, 'internal error' satisfies Event)
  }

  /** Writes out what is still held, before the process ends. */
  flush(): void {
    const { flushSync } = this.#stream as { flushSync?: () => void }
    flushSync?.call(this.#stream)
  }
}

/** The lines of a stack that are calls. The message, which stands before them, may hold lines of any kind. */
function framesOf(error: Error): string[] {
  const stack = error.stack ?? ''
  const head = `${error.name}: ${error.message}`
  const calls = stack.startsWith(head)
    ? stack.slice(head.length)
    : stack.slice(stack.lastIndexOf(error.message) + error.message.length)
  return calls
    .split('\n')
    .filter((line) => FRAME.test(line))
    .slice(0, 10)
    .map((line) => line.trim())
}

let second = -1
let secondText = ''

/** The time as pino wants it. NOTE: all but the milliseconds is made once a second: a whole one takes 7 k instructions. */
function isoTime(): string {
  const now = Date.now()
  const ms = now % 1000
  if (now - ms !== second) {
    second = now - ms
    secondText = `,"time":"${new Date(second).toISOString().slice(0, -4)}`
  }
  return `${secondText}${THOUSANDTHS[ms]}Z"`
}

/** NOTE: to the microsecond; the text of a number with a fraction that is no binary one costs ten times this. */
function millis(ms: number): string {
  const us = Math.round(ms * 1000)
  return `${Math.floor(us / 1000)}.${THOUSANDTHS[us % 1000]}`
}

const FRAME = /^ {4}at [\w.$<>[\] #]*\(?(?:file:\/\/|node:|\/)[^\s]*:\d+:\d+\)?$/
