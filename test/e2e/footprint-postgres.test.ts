import t from 'tap'
import { echoing, newDestination } from '../kit/destination.ts'
import { footprint, footprintJson, newUser } from '../kit/footprint.ts'
import { postgresIsMissing, startPostgres } from '../kit/postgres.ts'
import { newProxy } from '../kit/proxy.ts'

/*
 * The Footprint dialect over the store that answers later: users, a call with rules, a configuration.
 */

const missing = postgresIsMissing()
if (missing !== null) t.fail(missing)
else {
  t.test('users, rules and configurations over PostgreSQL', async (t) => {
    const server = await startPostgres({})
    const proxy = await newProxy({ vault: { store: 'postgres', url: server.url('postgres') } })
    const destination = await newDestination({ script: echoing })
    t.teardown(async () => {
      await Promise.all([proxy.close(), destination.close()])
      await server.stop()
    })
    const jane = await newUser(proxy, { 'id.dob': '1988-12-30', 'card.a.number': '4242424242424242' })
    const response = await footprint(proxy, '/vault_proxy/jit', {
      body: '{"dob":"{{ id.dob }}","n":777}',
      headers: [
        ['x-fp-proxy-target-url', destination.url],
        ['x-fp-id', jane],
        ['x-fp-proxy-ingress-content-type', 'json'],
        ['x-fp-proxy-ingress-rule', 'custom.n=$.n']
      ]
    })
    t.equal(response.body.toString(), `{"dob":"1988-12-30","n":"${jane}.custom.n"}`)
    const fields = ['custom.n', 'card.a.issuer', 'card.a.number_last4']
    t.strictSame((await footprintJson(proxy, `/users/${jane}/vault/decrypt`, { body: { fields } })).body, {
      'custom.n': '777',
      'card.a.issuer': 'visa',
      'card.a.number_last4': '4242'
    })
    t.equal((await footprint(proxy, `/users/${jane}/vault`, { method: 'DELETE', body: { fields } })).status, 200)
    t.strictSame(Object.keys((await footprintJson(proxy, `/users/${jane}/vault`, { method: 'GET' })).body), [
      'card.a.fingerprint',
      'card.a.number',
      'id.dob'
    ])
    const same = await Promise.all(
      [1, 2, 3].map(() => footprintJson(proxy, '/users', { headers: [['x-external-id', 'crm-1']] }))
    )
    t.equal(new Set(same.map(({ body }) => body['id'])).size, 1, 'made once, also at the same time')
    const ingress = { content_type: 'json', rules: [{ token: 'custom.m', target: '$.n' }] }
    const made = await footprintJson(proxy, '/vault_proxy/configs', {
      body: { name: 'echo', url: destination.url, ingress_settings: ingress }
    })
    const stored = await footprint(proxy, `/vault_proxy/${String(made.body['id'])}`, {
      body: '{"n":"1"}',
      headers: [['x-fp-id', jane]]
    })
    t.equal(stored.body.toString(), `{"n":"${jane}.custom.m"}`)
  })
}
