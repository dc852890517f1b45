import t from 'tap'
import { postgresIsMissing, startPostgres } from '../kit/postgres.ts'
import { judgeProxiesBySdks } from './_proxy-sdks.ts'

const missing = postgresIsMissing()
if (missing === null) {
  const server = await startPostgres()
  // The server last: what was begun later is taken down sooner.
  t.teardown(() => server.stop())
  await judgeProxiesBySdks({ vault: { store: 'postgres', url: server.url('postgres') } })
} else t.fail(missing)
