import { Session } from 'node:inspector'

/**
 * Gives the memory back that loading modules and reading the configuration took: V8's young generation grows to 32 MiB
 * on the way and stays there. V8 has a collection that shrinks it, and Node a door to it: the profiler's protocol, spoken
 * within the process (no port is opened). Takes some 50 ms, so it belongs before the first request.
 */
export async function giveHeapBack(): Promise<void> {
  const session = new Session()
  session.connect()
  await new Promise<void>((resolve) => {
    session.post('HeapProfiler.collectGarbage', () => resolve())
  })
  session.disconnect()
}
