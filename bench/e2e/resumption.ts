/**
 * TLS sessions that are resumed, on both sides. Clients that connect anew for each request, with a ticket and without,
 * against bare node:https; and a destination that closes after each answer, and forgets its sessions or does not. CPU of the
 * proxy process for a connection with its request, and how many of the sessions were resumed.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import { requestBody, plainBody, tokenId } from '../data/small-json.ts'
import { cpuTime, limitTime } from '../kit/child.ts'
import { count, quick } from '../kit/options.ts'
import { type Ratio, type Row, report } from '../kit/report.ts'
import { type Contender, newScene, startPeer } from '../kit/scene.ts'
import type { Closing, Counts } from '../kit/small-answer.ts'
import { populate, startSluice } from '../kit/sluice.ts'

const BENCH = 'e2e/resumption'
const AT_ONCE = 8
const LEAST = 0.95

limitTime(quick ? 90 : 300)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', 1000)
const ca = readFileSync(scene.ca)
const connections = count('connections', 1000, 40)
const bare = await startPeer(scene, 'bare-server')
const sluice = await startSluice(scene, population)
const rows: Row[] = []
for (const resumes of [false, true]) {
  for (const contender of [bare, sluice]) rows.push(await ofClients(contender, resumes))
}
for (const closing of ['forgetting', 'each'] as const) rows.push(await ofDestination(closing))
report(rows)
await scene.close()
process.exit(0)

/** A connection for each request, `AT_ONCE` clients side by side. */
async function ofClients(contender: Contender, resumes: boolean): Promise<Row> {
  await connectAnew(contender, Math.ceil(connections / 5), resumes)
  const before = cpuTime(contender.child.pid).totalMs
  const resumed = await connectAnew(contender, connections, resumes)
  const cpu = ((cpuTime(contender.child.pid).totalMs - before) * 1000) / connections
  assert.ok(resumes ? resumed >= connections * LEAST : resumed === 0, `${contender.name}: ${resumed} resumed`)
  const name = `clients, ${resumes ? 'with a ticket' : 'whole handshakes'}`
  return rowOf(name, contender, { 'CPU µs': cpu, 'resumed %': (resumed / connections) * 100 })
}

/** A connection to the destination for each request, over a kept connection of a client. */
async function ofDestination(closing: Closing): Promise<Row> {
  await scene.upstream.ask('close', closing)
  await requestOften(Math.ceil(connections / 5))
  await scene.upstream.ask('expect', -1)
  const before = cpuTime(sluice.child.pid).totalMs
  await requestOften(connections)
  const cpu = ((cpuTime(sluice.child.pid).totalMs - before) * 1000) / connections
  const counts = await scene.upstream.ask<Counts>('counts')
  assert.equal(counts.connections, counts.requests, 'a connection to the destination for each request')
  const resumed = counts.resumed / counts.connections
  assert.ok(closing === 'each' ? resumed >= LEAST : resumed <= 1 - LEAST, `to the destination: ${resumed} resumed`)
  const name = `destination, ${closing === 'each' ? 'with a ticket' : 'whole handshakes'}`
  return rowOf(name, sluice, { 'CPU µs': cpu, 'resumed %': resumed * 100 })
}

/** Against bare node:https in the same case, and against whole handshakes of its own. */
function rowOf(name: string, { name: subject }: Contender, figures: Row['figures']): Row {
  const ratioTo = (base: Row | undefined, against: string): Ratio[] => {
    const value = (figures['CPU µs'] ?? Number.NaN) / (base?.figures['CPU µs'] ?? Number.NaN)
    return base === undefined ? [] : [{ figure: 'CPU µs', against, value }]
  }
  const whole = name.replace('with a ticket', 'whole handshakes')
  const ratios = [
    ...ratioTo(
      rows.find((row) => row.case === name),
      'bare-server'
    ),
    ...ratioTo(
      rows.find((row) => row.case === whole && row.subject === subject && whole !== name),
      'whole handshakes'
    )
  ]
  return { bench: BENCH, case: name, subject, figures, ratios }
}

/** Resolves with how many sessions were resumed. */
async function connectAnew(contender: Contender, times: number, resumes: boolean): Promise<number> {
  let left = times
  let resumed = 0
  const client = async (): Promise<void> => {
    let session: Buffer | undefined
    while (left-- > 0) {
      const outcome = await once(contender, session)
      if (outcome.resumed) resumed++
      if (resumes) session = outcome.session ?? session
    }
  }
  if (resumes) left += AT_ONCE
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  return resumed
}

/** One connection with one request. */
function once(contender: Contender, offered?: Buffer): Promise<{ resumed: boolean; session: Buffer | undefined }> {
  const { port } = contender
  const session = offered === undefined ? {} : { session: offered }
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ca,
      ALPNProtocols: ['http/1.1'],
      ...session
    })
    let ticket: Buffer | undefined
    socket.on('session', (next: Buffer) => {
      ticket = next
    })
    socket.once('secureConnect', () => socket.write(requestOf(contender)))
    socket.once('error', reject)
    socket.on('data', (answer: Buffer) => {
      assert.equal(answer.toString('latin1', 0, 13), 'HTTP/1.1 200 ', answer.toString('latin1', 0, 400))
      const outcome = { resumed: socket.isSessionReused(), session: ticket }
      socket.destroy()
      resolve(outcome)
    })
  })
}

/** Requests on a kept connection, one after the other. */
async function requestOften(times: number): Promise<void> {
  const { port } = sluice
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ALPNProtocols: ['http/1.1'] })
  let left = times
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', () => socket.write(requestOf(sluice)))
    socket.once('error', reject)
    let held = ''
    socket.on('data', (chunk: Buffer) => {
      held += chunk.toString('latin1')
      // The answer's body ends with it, however it is framed.
      if (!/"code":"00"\}(\r\n0\r\n\r\n)?$/.test(held)) return
      assert.equal(held.slice(0, 13), 'HTTP/1.1 200 ', held)
      held = ''
      left--
      if (left === 0) resolve()
      else socket.write(requestOf(sluice))
    })
  })
  socket.destroy()
}

function requestOf({ name, target, host, headers }: Contender): string {
  const body = name === 'sluice' ? requestBody([0, 1, 2, 3].map(tokenId)) : plainBody
  const head = `POST ${target} HTTP/1.1\r\nHost: ${host}\r\n${headers}Content-Type: application/json\r\n`
  return `${head}Content-Length: ${body.length}\r\n\r\n${body}`
}
