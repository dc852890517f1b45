/**
 * Program: the clients of the small-request benchmarks. Keep-alive TLS connections on raw sockets, each with one request
 * under way; a request is a copy of four ids into a prepared buffer, an answer is read by its exact length. Closed loop
 * (as fast as the answers come), or open loop at a constant rate, where latency counts from the moment a request was due
 * and a stalled server cannot hide its stall (coordinated omission).
 */
import { readFileSync } from 'node:fs'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { serveCommands } from './child.ts'

/** Argument of `connect`. */
export interface Target {
  readonly port: number
  readonly connections: number
  /** PEM file. */
  readonly ca: string
  /** Request line and headers, each line ending in CRLF, without the final CRLF and without Content-Length. */
  readonly head: string
  /** The body: one text, or the texts around ids. */
  readonly texts: readonly string[]
  /** File of ids, each `idBytes` long, one behind the other; needed when there are several texts. */
  readonly ids: string | null
  readonly idBytes: number
  /** This many bytes `-` and the tail end the body; none by default. */
  readonly pad?: { readonly bytes: number; readonly tail: string }
  /** The body that every answer must have. */
  readonly answer: string
}

/** Argument of `run`. */
export interface Amount {
  readonly requests: number
  /** Requests per second; 0: closed loop. */
  readonly rate: number
  /** Requests under way at once in the closed loop, over all connections in turn; one on each by default. */
  readonly inFlight?: number
}

/** Answer to `run`. */
export interface Outcome {
  readonly requests: number
  readonly seconds: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  /** The ids in the first request. */
  readonly firstIds: readonly string[]
}

let target: Target
let ids: Buffer | null = null
let nextId = 0
/** Connections that wait, from `front` on: the one that has waited longest is next. */
let idle: Connection[] = []
let front = 0
let firstIds: string[] | null = null
let latencies: RecordableHistogram = createHistogram()
/** The run under way. */
let left = 0
let pending = 0
let finish: ((error: Error | null) => void) | null = null
/** Why a connection was lost while no run was under way. */
let broken: Error | null = null

serveCommands({
  connect: async (wanted: Target) => {
    target = wanted
    if (target.ids !== null) ids = readFileSync(target.ids)
    idle = []
    front = 0
    broken = null
    await openMore(target.connections)
  },
  /** So many more connections like those. */
  grow: openMore,
  run,
  close: () => {
    for (const connection of idle.splice(0).slice(front)) connection.close()
    front = 0
  }
})

async function run(amount: Amount): Promise<Outcome> {
  latencies = createHistogram({ lowest: 1, highest: 60e9, figures: 3 })
  firstIds = null
  const start = process.hrtime.bigint()
  const done = begin(amount.requests)
  returnIdle = amount.rate > 0
  if (amount.rate > 0) keepRate(start, amount)
  else for (let n = amount.inFlight ?? idle.length - front; n > 0; n--) next()?.next(process.hrtime.bigint())
  await done
  return {
    requests: amount.requests,
    seconds: Number(process.hrtime.bigint() - start) / 1e9,
    p50Us: latencies.percentile(50) / 1e3,
    p99Us: latencies.percentile(99) / 1e3,
    p999Us: latencies.percentile(99.9) / 1e3,
    firstIds: firstIds ?? []
  }
}

/** Starts what is due, every millisecond; what finds no idle connection waits, and its clock runs. */
function keepRate(start: bigint, amount: Amount): void {
  const gapNs = 1e9 / amount.rate
  let started = 0
  const timer = setInterval(() => {
    const due = Math.min(amount.requests, Math.floor(Number(process.hrtime.bigint() - start) / gapNs))
    while (started < due) {
      const connection = next()
      if (connection === undefined) return
      connection.next(start + BigInt(Math.floor(started * gapNs)))
      started++
    }
    if (started === amount.requests || finish === null) clearInterval(timer)
  }, 1)
}

function next(): Connection | undefined {
  const connection = idle[front]
  if (connection !== undefined) front++
  if (front > 1000 && front * 2 > idle.length) {
    idle = idle.slice(front)
    front = 0
  }
  return connection
}

/**
 * Some at a time: a handshake has to be answered within its time. Where there are more than that, each carries a request as
 * soon as it is open: servers close a connection that has been silent from its beginning (Sluice after 10 s, Node after 60),
 * and to open thousands takes longer.
 */
async function openMore(count: number): Promise<void> {
  const secureContext = createSecureContext({ ca: readFileSync(target.ca) })
  for (let done = 0; done < count; done += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, count - done) }, () => open(secureContext))
    const opened = await Promise.all(some)
    if (count > AT_ONCE) await greet(opened)
    else idle.push(...opened)
  }
}

/** One request on each; then they wait. */
async function greet(connections: readonly Connection[]): Promise<void> {
  const done = begin(connections.length)
  for (const connection of connections) connection.next(process.hrtime.bigint())
  await done
}

/** A run of so many requests, none of which is sent yet: resolves when all are answered. */
function begin(requests: number): Promise<void> {
  left = requests
  pending = 0
  return new Promise<void>((resolve, reject) => {
    finish = (error) => {
      finish = null
      if (error === null) resolve()
      else reject(error)
    }
    if (broken !== null) finish(broken)
  })
}

/** Whether a connection waits after its answer (open loop) or the next request is sent at once. */
let returnIdle = false

function open(secureContext: SecureContext): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port: target.port,
      servername: 'localhost',
      secureContext,
      ALPNProtocols: ['http/1.1']
    })
    socket.setNoDelay(true)
    socket.once('secureConnect', () => resolve(new Connection(socket)))
    socket.once('error', reject)
  })
}

class Connection {
  readonly #socket: TLSSocket
  readonly #request: Buffer
  /** Offsets of the ids in the request. */
  readonly #places: readonly number[]
  #due = 0n
  #sent = 0
  #held: Buffer | null = null

  constructor(socket: TLSSocket) {
    this.#socket = socket
    const gap = 'x'.repeat(target.idBytes)
    const body = target.texts.join(gap)
    const { bytes: padBytes, tail } = target.pad ?? { bytes: 0, tail: '' }
    const head = `${target.head}Content-Length: ${body.length + padBytes + tail.length}\r\n\r\n`
    this.#request = Buffer.alloc(head.length + body.length + padBytes + tail.length, '-')
    this.#request.write(head + body, 'latin1')
    this.#request.write(tail, this.#request.length - tail.length, 'latin1')
    let at = head.length
    this.#places = target.texts.slice(0, -1).map((text) => {
      at += text.length
      const place = at
      at += gap.length
      return place
    })
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', (error: Error) => this.#fail(error.message))
    socket.on('close', () => this.#fail('the connection was closed'))
  }

  /** Sends the next request, whose time counts from `due`. */
  next(due: bigint): void {
    if (left === 0) {
      idle.push(this)
      return
    }
    left--
    pending++
    this.#sent++
    this.#due = due
    if (ids !== null) {
      for (const place of this.#places) {
        // A stride prime to any population: no id comes again before all others have come.
        nextId = (nextId + STRIDE * target.idBytes) % ids.length
        ids.copy(this.#request, place, nextId, nextId + target.idBytes)
      }
    }
    firstIds ??= this.#places.map((place) => this.#request.toString('latin1', place, place + target.idBytes))
    if (this.#request.length <= PIECE_BYTES) this.#socket.write(this.#request)
    else this.#writeFrom(0)
  }

  /** A large request in pieces, as the socket takes them. */
  #writeFrom(from: number): void {
    let at = from
    while (at < this.#request.length) {
      const ready = this.#socket.write(this.#request.subarray(at, at + PIECE_BYTES))
      at += PIECE_BYTES
      if (!ready) {
        this.#socket.once('drain', () => this.#writeFrom(at))
        return
      }
    }
  }

  close(): void {
    this.#socket.removeAllListeners('close')
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    const bytes = this.#held === null ? chunk : Buffer.concat([this.#held, chunk])
    const headEnd = bytes.indexOf('\r\n\r\n')
    if (headEnd < 0) {
      this.#held = bytes
      return
    }
    const head = bytes.toString('latin1', 0, headEnd)
    const body = readBody(head, bytes, headEnd + 4)
    if (body === null) {
      this.#held = bytes
      return
    }
    this.#held = null
    if (!head.startsWith('HTTP/1.1 200 ') || body !== target.answer) {
      this.#fail(`wrong answer: ${bytes.toString('latin1', 0, 600)}`)
      return
    }
    pending--
    const now = process.hrtime.bigint()
    latencies.record(now - this.#due > 0n ? now - this.#due : 1n)
    idle.push(this)
    if (left > 0) {
      if (!returnIdle) next()?.next(now)
    } else if (pending === 0) finish?.(null)
  }

  #fail(why: string): void {
    broken = new Error(`${why} (port ${target.port}, ${this.#sent} requests on it, one of ${target.connections})`)
    finish?.(broken)
  }
}

/** The body at `start` as latin1, null while it is incomplete. Anything but one exact message is returned whole, as wrong. */
function readBody(head: string, bytes: Buffer, start: number): string | null {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return bytes.length < start + Number(length) ? null : bytes.toString('latin1', start)
  const rest = bytes.toString('latin1', start)
  if (!rest.endsWith('\r\n0\r\n\r\n')) return null
  let body = ''
  for (let at = 0; ; ) {
    const lineEnd = rest.indexOf('\r\n', at)
    const size = Number.parseInt(rest.slice(at, lineEnd), 16)
    if (size === 0) return lineEnd + 4 === rest.length ? body : rest
    if (!(size > 0)) return rest
    body += rest.slice(lineEnd + 2, lineEnd + 2 + size)
    at = lineEnd + 4 + size
  }
}

const STRIDE = 7919
const AT_ONCE = 64
const PIECE_BYTES = 65_536
