/**
 * Large uploads with a token in the first, middle and last hundred bytes, over TLS on both sides, against a bare Node
 * TLS-to-TLS pipe that is given the same bytes: CPU, peak anonymous memory, and the first byte out before the last in.
 */
import { limitTime } from '../kit/child.ts'
import { type LargeCase, type LargeSubject, largeContest } from '../kit/large-contest.ts'
import { quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene, startPeer } from '../kit/scene.ts'

limitTime(quick ? 60 : 1500)
const scene = await newScene(new URL('../kit/large-upstream.ts', import.meta.url))
const sent = ['first', 'middle', 'last'] as const
const MIB = 2 ** 20
const size = (mib: number) => (quick ? 4 : mib) * MIB
const cases: LargeCase[] = [
  { name: '256 MiB text, chunked', direction: 'up', kind: 'text', bytes: size(256), chunked: true, sent, budget: 1.15 },
  { name: '256 MiB JSON, chunked', direction: 'up', kind: 'json', bytes: size(256), chunked: true, sent, budget: 1.75 },
  { name: '1 GiB text', direction: 'up', kind: 'text', bytes: size(1024), chunked: false, sent, budget: 1.15 },
  { name: '1 GiB JSON', direction: 'up', kind: 'json', bytes: size(1024), chunked: false, sent, budget: 1.75 }
]
const subjects: LargeSubject[] = [
  { name: 'pipe', start: () => startPeer(scene, 'pipe'), forwards: null },
  { name: 'http-proxy', start: () => startPeer(scene, 'http-proxy'), forwards: null }
]
report(await largeContest('e2e/large-upload', scene, cases, subjects))
await scene.close()
process.exit(0)
