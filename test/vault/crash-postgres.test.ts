import t from 'tap'
import { newMasterKey } from '../../lib/vault/master-key.ts'
import { killInTheMiddle } from '../kit/crash.ts'
import { postgresIsMissing, startPostgres } from '../kit/postgres.ts'

t.test('what was acknowledged survives kill -9, and nothing is there by half', async (t) => {
  const missing = postgresIsMissing()
  if (missing !== null) {
    t.fail(missing)
    return
  }
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const at = server.url('postgres')
  await killInTheMiddle(t, { store: 'postgres', at, directory: t.testdir(), masterKey: newMasterKey() })
})
