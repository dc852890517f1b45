import { join } from 'node:path'
import t from 'tap'
import { newMasterKey } from '../../lib/vault/master-key.ts'
import { killInTheMiddle } from '../kit/crash.ts'

t.test('what was acknowledged survives kill -9, and nothing is there by half', (t) => {
  const directory = t.testdir()
  return killInTheMiddle(t, { store: 'lmdb', at: join(directory, 'store'), directory, masterKey: newMasterKey() })
})
