import t from 'tap'
import { openPostgres } from '../../../lib/vault/stores/postgres.ts'
import { postgresIsMissing, startPostgres } from '../../kit/postgres.ts'
import { storeContract } from './contract.ts'

const missing = postgresIsMissing()
if (missing === null) await withServer()
else t.fail(missing)

async function withServer(): Promise<void> {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  let last = ''

  storeContract('postgres', {
    openStore: async (name) => {
      if (name !== last) await server.empty('postgres')
      last = name
      return openPostgres({ url: server.url('postgres') })
    },
    keeps: true
  })
}
