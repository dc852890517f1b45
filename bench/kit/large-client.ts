/** Program: the client of the streaming benchmarks: one request with a large body, or for one. */
import { readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import { mediaType } from '../data/large-body.ts'
import { serveCommands } from './child.ts'
import {
  BodyReader,
  type BodyPlan,
  framingLine,
  headOf,
  lengthOf,
  monotonicMs,
  type Receipt,
  sendBody
} from './large-stream.ts'

/** Argument of `transfer`. */
export interface Transfer {
  readonly port: number
  readonly ca: string
  readonly host: string
  readonly target: string
  readonly headers: string
  /** The request's body; null: GET. */
  readonly upload: BodyPlan | null
  /** What the answer's body must be; null: `{}`. */
  readonly download: BodyPlan | null
  /** Wait for the command `release` before the second half is sent. */
  readonly hold: boolean
}

/** Answer to `transfer`. */
export interface TransferOutcome {
  readonly status: number
  readonly seconds: number
  /** When the last byte of the request was handed over, by the machine's monotonic clock. */
  readonly lastSentMs: number
  readonly receipt: Receipt
}

let release: () => void = () => {}

serveCommands({
  transfer: async (wanted: Transfer): Promise<TransferOutcome> => {
    const socket = await open(wanted)
    const start = monotonicMs()
    const answered = readAnswer(socket, wanted.download)
    const held = wanted.hold
      ? new Promise<void>((resolve) => {
          release = resolve
        })
      : null
    const lastSent = send(socket, wanted, held)
    const [{ status, receipt }, lastSentMs] = await Promise.all([answered, lastSent])
    socket.destroy()
    return { status, receipt, lastSentMs, seconds: (monotonicMs() - start) / 1000 }
  },
  release: () => release()
})

async function send(socket: TLSSocket, wanted: Transfer, held: Promise<void> | null): Promise<number> {
  const { upload } = wanted
  const common = `Host: ${wanted.host}\r\n${wanted.headers}User-Agent: payments/3.1\r\n`
  if (upload === null) {
    socket.write(`GET ${wanted.target} HTTP/1.1\r\n${common}\r\n`)
    return monotonicMs()
  }
  const type = `Content-Type: ${mediaType(upload.kind)}\r\n`
  socket.write(`POST ${wanted.target} HTTP/1.1\r\n${common}${type}${framingLine(upload)}\r\n`)
  await sendBody(socket, upload, held)
  return monotonicMs()
}

function readAnswer(socket: TLSSocket, expected: BodyPlan | null): Promise<{ status: number; receipt: Receipt }> {
  const pieces = expected?.pieces ?? [{ text: '{}' }]
  return new Promise((resolve, reject) => {
    let held: Buffer | null = null
    let reader: BodyReader | null = null
    let status = 0
    socket.on('close', () => reject(new Error(`closed after ${reader?.bytes ?? 'no'} bytes of the answer`)))
    socket.on('data', (chunk: Buffer) => {
      let at = 0
      let bytes = chunk
      if (reader === null) {
        bytes = held === null ? chunk : Buffer.concat([held, chunk])
        const split = headOf(bytes)
        if (split === null) {
          held = bytes
          return
        }
        status = Number(split.head.slice(9, 12))
        if (status !== 200) reject(new Error(`answered ${bytes.toString('latin1', 0, 800)}`))
        reader = new BodyReader(expected?.kind ?? 'text', pieces, lengthOf(split.head))
        at = split.bodyAt
      }
      reader.write(bytes, at)
      if (reader.done) resolve({ status, receipt: reader.receipt })
    })
  })
}

function open(wanted: Transfer): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const { port } = wanted
    const ca = readFileSync(wanted.ca)
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ALPNProtocols: ['http/1.1'] })
    socket.setNoDelay(true)
    socket.once('secureConnect', () => resolve(socket))
    socket.on('error', reject)
  })
}
