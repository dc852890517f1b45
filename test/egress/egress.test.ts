import t from 'tap'
import { exchangeOnce, newEgress, newMessage, newPeer } from '../kit/exchange.ts'
import { newRawDestination, type RawConnection } from '../kit/raw-destination.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi'

/** Answers each whole request (told by its empty line) with the next of `answers`, the last one again and again. */
const answering = (...answers: string[]) => {
  let next = 0
  return (connection: RawConnection): void => {
    if (!connection.received.includes('\r\n\r\n')) return
    connection.received = ''
    connection.socket.write(answers[Math.min(next++, answers.length - 1)] ?? '', 'latin1')
  }
}

t.test('sends a whole message in one write and hands back the response', async (t) => {
  const writes: string[] = []
  const destination = await newRawDestination((connection, piece) => {
    writes.push(piece)
    connection.socket.write(OK)
  })
  t.teardown(() => destination.close())
  const egress = await newEgress({ port: destination.port })
  t.teardown(() => egress.destroy())
  const peer = newPeer(destination.port)
  await egress.reach(peer)
  const heard = await exchangeOnce(egress, peer, newMessage('{"a":1}'))
  t.equal(heard.error, null)
  t.same(writes, ['POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n{"a":1}'])
  t.equal(heard.status, 200)
  t.equal(heard.reason, 'OK')
  t.same(heard.rawHeaders, ['Content-Length', '2', 'X-A', 'b'])
  t.equal(heard.length, 2)
  t.equal(heard.body, 'hi')
  t.same(heard.calls, ['connected', 'sent', 'head', 'body', 'end'])
  t.equal(heard.exchange.forwarded, 'yes')
})

t.test('reuses the connection after a response that was delimited without doubt', async (t) => {
  const destination = await newRawDestination(
    answering(
      OK,
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
      'HTTP/1.1 204 No Content\r\n\r\n',
      OK
    )
  )
  t.teardown(() => destination.close())
  const egress = await newEgress({ port: destination.port })
  t.teardown(() => egress.destroy())
  const peer = newPeer(destination.port)
  for (let i = 0; i < 4; i++) t.equal((await exchangeOnce(egress, peer, newMessage())).error, null)
  t.equal(destination.connections.length, 1)
  t.equal(egress.idle, 1)
})
