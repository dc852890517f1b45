import t from 'tap'
import type { ApiRoute } from '../../lib/listen/api.ts'
import { Router } from '../../lib/listen/router.ts'

const route = (method: string, path: string): ApiRoute => ({
  method,
  path,
  handler: () => ({ status: 200, body: null })
})

const router = new Router([
  route('POST', '/tokens'),
  route('POST', '/tokens/search'),
  route('GET', '/tokens/{id}'),
  route('DELETE', '/tokens/{id}'),
  route('GET', '/applications/{id}/keys/{keyId}')
])

function find(method: string, path: string): string {
  const match = router.find(method, path)
  if (match === null) return 'none'
  if ('methods' in match) return `only ${match.methods.join(' ')}`
  return `${match.route.path} ${JSON.stringify(match.params)}`
}

t.test('finds routes and parameters', async (t) => {
  t.equal(find('POST', '/tokens'), '/tokens {}')
  t.equal(find('POST', '/tokens/'), '/tokens {}', 'a trailing slash is the same route')
  t.equal(find('POST', '/tokens/search'), '/tokens/search {}', 'a fixed segment wins')
  t.equal(find('GET', '/tokens/a%20b%2Fc'), '/tokens/{id} {"id":"a b/c"}')
  t.equal(find('GET', '/applications/1/keys/2'), '/applications/{id}/keys/{keyId} {"keyId":"2","id":"1"}')
})

t.test('tells an unknown path from a wrong method', async (t) => {
  t.equal(find('PUT', '/tokens/1'), 'only GET DELETE')
  t.equal(find('GET', '/nothing'), 'none')
  t.equal(find('GET', '/tokens/1/2'), 'none')
  t.equal(find('GET', '/tokens//'), 'none')
  t.equal(find('GET', '/tokens/%ff'), 'none', 'ill-formed percent-encoding')
  t.equal(find('GET', '/__proto__'), 'none')
})
