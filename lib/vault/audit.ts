/**
 * The audit log: an intent before anything revealed leaves, an outcome after. Each writing process has a chain, a file
 * of lines in the directory:
 *
 *     {"chain":"<id>","v":2,"at":…,"heads":{"<chain>":<seal>,…}}     begins it; the other chains' heads then known
 *     {"n":1,"at":…,"door":"proxy",…,"tokens":["…"],…}               an intent
 *     {"of":1,"at":…,"outcome":"…"}                                  its outcome
 *     {"seal":1,"n":1,"bytes":…,"mac":"…"}                           covers every byte since the seal before
 *
 * The mac (audit-mac.ts) is bound to the chain's id and the mac before it. The running MAC lives in the process that wrote the bytes, so a line changed between two seals shows as well. Each
 * second a seal is written, synced and anchored in the store; an intent without outcome reads as `unknown`.
 */
import { type KeyObject, randomBytes } from 'node:crypto'
import { closeSync, fdatasync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { SluiceError } from '../errors.ts'
import { THOUSANDTHS } from '../json.ts'
import { type RunningMac, runningMac } from './audit-mac.ts'
import type { Records } from './records.ts'
import type { Row, Store } from './store.ts'

/** What waits for the audit records of this event-loop turn. Neither method may throw. */
export interface Release {
  /** The records are with the kernel: what was revealed may leave. */
  released(): void
  /** They could not be written: nothing may leave. ERR_AUDIT_UNAVAILABLE. */
  refused(error: SluiceError): void
}

/** The head of a chain as it is anchored in the store. */
export interface Anchor {
  readonly chain: string
  readonly seal: number
  readonly bytes: number
  readonly mac: string
  readonly at: number
  readonly closed: boolean
}

export interface AuditOptions {
  /** Made when it does not exist. */
  readonly directory: string
  readonly key: KeyObject
  readonly store: Store
  readonly records: Records
  /** How often the file is sealed and synced. Default 1000. */
  readonly syncMs?: number
  readonly now?: () => number
}

export class Audit {
  readonly #options: AuditOptions
  readonly #now: () => number
  #chain: Chain | null = null
  #heard: readonly Row[] = []
  #pending = ''
  #waiting: Release[] = []
  #scheduled = false
  #lastIntent = 0
  #timer: NodeJS.Timeout | null = null
  #anchoring: Promise<void> = Promise.resolve()
  #closed = false
  /** Records handed to the kernel so far. */
  records = 0
  /** Of the event-loop turn whose records are being gathered; another one as soon as their writing begins. */
  turn = 0
  #pendingRecords = 0
  #timeMs = -1
  #second = -1
  #secondText = ''
  #timeText = ''
  #lastOutcome = ''
  #outcomeText = ''

  constructor(options: AuditOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#anchors()
  }

  /**
   * Appends an intent, to be written at the end of this event-loop turn. `fields` is JSON text: members with a comma
   * after each. Returns its number, which `outcome` takes.
   */
  intent(fields: string): number {
    const n = ++this.#lastIntent
    this.#append(`{"n":${n}${this.#time()}${fields}"v":1}\n`)
    this.#schedule()
    return n
  }

  /** Appends what became of an intent. May be written a little later than an intent would be. */
  outcome(intent: number, outcome: string): void {
    if (outcome !== this.#lastOutcome) {
      this.#lastOutcome = outcome
      this.#outcomeText = `"outcome":${quoted(outcome)}}\n`
    }
    this.#append(`{"of":${intent}${this.#time()}${this.#outcomeText}`)
    if (this.#pendingRecords >= OUTCOMES_AT_ONCE) this.#schedule()
    else this.#wake()
  }

  /** Calls back once everything appended so far is with the kernel, or cannot be. */
  release(go: Release): void {
    this.#waiting.push(go)
    this.#schedule()
  }

  /** The same as a promise. Rejects with ERR_AUDIT_UNAVAILABLE. */
  written(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.release({ released: resolve, refused: reject })
    })
  }

  /** Hands everything appended so far to the kernel now, and calls back. */
  flush(): void {
    this.#flush()
  }

  #append(line: string): void {
    this.#pending += line
    this.#pendingRecords++
  }

  /**
   * The time, as a member between two others. NOTE: a number this large takes the engine 700 instructions to write, which
   * is why all but its last digits is written once a second.
   */
  #time(): string {
    const now = this.#now()
    if (now !== this.#timeMs) {
      this.#timeMs = now
      const second = Math.floor(now / 1000)
      if (second !== this.#second) {
        this.#second = second
        this.#secondText = `,"at":${second}`
      }
      // JSON has no leading zeros.
      this.#timeText = second === 0 ? `,"at":${now},` : `${this.#secondText}${THOUSANDTHS[now % 1000]},`
    }
    return this.#timeText
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#flush)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    this.turn++
    const waiting = this.#waiting
    const text = this.#pending
    const count = this.#pendingRecords
    this.#waiting = []
    this.#pending = ''
    this.#pendingRecords = 0
    const error = this.#write(text)
    if (error === null) this.records += count
    for (const go of waiting) {
      if (error === null) go.released()
      else go.refused(error)
    }
  }

  #write(text: string): SluiceError | null {
    if (text === '') return this.#closed ? unavailable(undefined) : null
    try {
      if (this.#closed) throw new Error('closed')
      this.#chain ??= this.#begin()
      this.#chain.write(Buffer.from(text))
      this.#wake()
      return null
    } catch (cause) {
      if (this.#chain?.broken === true) this.#abandon(this.#chain)
      return unavailable(cause)
    }
  }

  #begin(): Chain {
    const { directory, key, records } = this.#options
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const chain = new Chain(directory, key, this.#now())
    const heads: Record<string, number> = {}
    for (const { key: id, value } of this.#anchors()) heads[id] = records.decode<Anchor>('anchors', id, value).seal
    chain.write(Buffer.from(`{"chain":"${chain.id}","v":2,"at":${this.#now()},"heads":${JSON.stringify(heads)}}\n`))
    return chain
  }

  /** Of an asynchronous store what it answered the last time; it is first asked when the log is made. */
  #anchors(): readonly Row[] {
    const rows = this.#options.store.scan('anchors', { prefix: '', limit: HEADS, reverse: true })
    if (!(rows instanceof Promise)) return rows
    rows.then(
      (found) => {
        this.#heard = found
      },
      () => {}
    )
    return this.#heard
  }

  /** One timer runs while there is something to seal. */
  #wake(): void {
    if (this.#timer !== null) return
    this.#timer = setTimeout(this.#tick, this.#options.syncMs ?? 1000)
    this.#timer.unref()
  }

  readonly #tick = (): void => {
    this.#timer = null
    this.#flush()
    this.#sealAndSync(false)
  }

  #sealAndSync(closed: boolean): void {
    const chain = this.#chain
    if (chain === null || (chain.isSealed && !closed)) return
    try {
      if (!chain.isSealed) chain.seal(this.#lastIntent)
    } catch {
      this.#abandon(chain)
      return
    }
    const anchor = { ...chain.head, at: this.#now(), closed }
    this.#anchoring = this.#anchoring
      .then(() => chain.sync())
      .then(
        () => this.#anchor(anchor),
        () => {
          // NOTE: after a failed fsync nobody knows what is on disk. A new chain begins; until it does, nothing leaves.
          this.#abandon(chain)
        }
      )
  }

  /** The next record begins a new chain. */
  #abandon(chain: Chain): void {
    if (this.#chain !== chain) return
    this.#chain = null
    chain.close()
  }

  /** An anchor that cannot be written now is made good by the next one. */
  async #anchor(anchor: Anchor): Promise<void> {
    const { store, records } = this.#options
    try {
      await store.write({ changes: [records.put('anchors', anchor.chain, anchor)] })
    } catch {
      this.#wake()
    }
  }

  /** Writes, seals, syncs and anchors what is there. */
  async close(): Promise<void> {
    this.#flush()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#sealAndSync(true)
    this.#closed = true
    await this.#anchoring
    this.#chain?.close()
    this.#chain = null
  }
}

/** One file, written by one process. */
class Chain {
  readonly id: string
  readonly #key: KeyObject
  readonly #file: number
  #bytes = 0
  #seals = 0
  #mac = ''
  #running: RunningMac
  #unsealed = false
  /** True when the file can no longer be appended to. */
  broken = false

  constructor(directory: string, key: KeyObject, at: number) {
    this.id = `${at.toString(36).padStart(9, '0')}-${randomBytes(6).toString('hex')}`
    this.#key = key
    this.#file = openSync(join(directory, `${this.id}.audit`), 'ax', 0o600)
    this.#running = runningMac(key, this.id, '')
  }

  /** Appends all of the bytes or none. Throws what the system says. */
  write(bytes: Buffer): void {
    try {
      let from = 0
      while (from < bytes.length) from += writeSync(this.#file, bytes, from)
    } catch (cause) {
      this.#takeBack()
      throw cause
    }
    this.#bytes += bytes.length
    this.#running.update(bytes)
    this.#unsealed = true
  }

  #takeBack(): void {
    try {
      ftruncateSync(this.#file, this.#bytes)
    } catch {
      this.broken = true
    }
  }

  get isSealed(): boolean {
    return !this.#unsealed
  }

  seal(n: number): void {
    const bytes = this.#bytes
    const mac = this.#running.final(bytes)
    const line = Buffer.from(sealLine(this.#seals + 1, n, bytes, mac))
    // The running MAC is spent: whatever happens to the line, the next one begins from this seal.
    this.#running = runningMac(this.#key, this.id, mac)
    try {
      this.write(line)
    } catch (cause) {
      this.broken = true
      throw cause
    }
    this.#seals++
    this.#mac = mac
    this.#unsealed = false
  }

  get head(): { chain: string; seal: number; bytes: number; mac: string } {
    return { chain: this.id, seal: this.#seals, bytes: this.#bytes, mac: this.#mac }
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fdatasync(this.#file, (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  close(): void {
    closeSync(this.#file)
  }
}

export function sealLine(seal: number, n: number, bytes: number, mac: string): string {
  return `{"seal":${seal},"n":${n},"bytes":${bytes},"mac":"${mac}"}\n`
}

/** A JSON string of text. */
export function quoted(text: string): string {
  // NOTE: half of what a loop over a text that was cut out of a head takes.
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text)
}

/** A JSON string of text that a caller chose: at most `limit` characters, with every number of 12 digits or more struck out. */
export function freeText(text: string, limit = 500): string {
  return JSON.stringify(text.replace(LONG_NUMBER, '«number»').slice(0, limit))
}

const unavailable = (cause: unknown) =>
  new SluiceError('ERR_AUDIT_UNAVAILABLE', 'The audit log cannot be written', { cause })
/** ASCII that needs no escape. */
const PLAIN = /^[ !#-[\]-~]*$/
const LONG_NUMBER = /\d(?:[ -]?\d){11,}/g
const OUTCOMES_AT_ONCE = 512
const HEADS = 64
