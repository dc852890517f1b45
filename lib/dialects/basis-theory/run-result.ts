import { SluiceError } from '../../errors.ts'
import type { Json } from '../../json.ts'
import type { RunResult } from '../../reactor/job.ts'
import { asObject, readBody } from './token-input.ts'

/** What code ended with, read: `{kind: 'value', value}`, or an error as `reactor-errors.ts` takes it. */
export type Said = Readonly<Record<string, Json | undefined>>

/** Throws ERR_CODE_TIMEOUT, ERR_CODE_RUNTIME. */
export function readResult(result: RunResult): Said {
  switch (result.kind) {
    case 'done': {
      let said: Said | null = null
      try {
        said = asObject(readBody(result.text))
      } catch {}
      if (said === null) throw runtimeError('The result is no JSON, or nested too deep')
      return said
    }
    case 'over':
      if (result.overrun === 'time') throw new SluiceError('ERR_CODE_TIMEOUT', 'The code ran for too long')
      throw runtimeError(OVERRUNS[result.overrun])
    case 'stuck':
      throw runtimeError('The code waits for what will never come')
    case 'syntax':
      throw runtimeError('The code does not parse')
  }
}

/** ERR_CODE_RUNTIME with one reason. */
export function runtimeError(why: string): SluiceError {
  return new SluiceError('ERR_CODE_RUNTIME', 'Reactor Runtime Error', { fields: { error: [why] } })
}

const OVERRUNS = {
  memory: 'The code is over its memory limit',
  output: 'A result or call of the code is too long',
  calls: 'The code makes too many calls',
  shutdown: 'Sluice was stopped while the code ran'
} as const
