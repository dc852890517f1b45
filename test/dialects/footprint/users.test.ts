import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { footprint, footprintJson, newUser } from '../../kit/footprint.ts'
import { newProxy, proxyRequest } from '../../kit/proxy.ts'
import { echoing, newDestination } from '../../kit/destination.ts'

const CARD = {
  'card.primary.number': '4242424242424242',
  'card.primary.expiration': '4/2031',
  'card.primary.cvc': '123',
  'card.primary.name': 'Jane Doe',
  'card.primary.billing_address.zip': '94117'
}

t.test('users and their vault', async (t) => {
  const proxy = await newProxy()
  t.teardown(() => proxy.close())
  const call = (path: string, more: object = {}) => footprintJson(proxy, path, more)
  const decrypt = (id: string, fields: string[], more: object = {}) =>
    call(`/users/${id}/vault/decrypt`, { body: { fields, reason: 'a test', ...more } })

  t.test('a user is made with data, and its fields are decrypted', async (t) => {
    const id = await newUser(proxy, {
      'id.first_name': 'Jane',
      'id.ssn9': '078-05-1120',
      ...CARD,
      'custom.plan': 'gold'
    })
    t.match(id, /^fp_id_[0-9a-z]{22}$/)
    t.strictSame(await decrypt(id, ['id.first_name', 'id.ssn9', 'id.ssn4', 'custom.plan']), {
      status: 200,
      body: { 'id.first_name': 'Jane', 'id.ssn9': '078051120', 'id.ssn4': '1120', 'custom.plan': 'gold' }
    })
    t.strictSame(
      (await decrypt(id, ['id.first_name', 'custom.plan'], { transforms: ['to_uppercase', 'prefix(2)'] })).body,
      {
        'id.first_name': 'JA',
        'custom.plan': 'GO'
      }
    )
  })

  t.test('the derived fields of a card follow it', async (t) => {
    const id = await newUser(proxy, CARD)
    const derived = [
      'expiration',
      'expiration_month',
      'expiration_year',
      'exp_month',
      'exp_year',
      'number_last4',
      'issuer'
    ]
    t.strictSame(
      (
        await decrypt(
          id,
          derived.map((name) => `card.primary.${name}`)
        )
      ).body,
      {
        'card.primary.expiration': '04/2031',
        'card.primary.expiration_month': '04',
        'card.primary.expiration_year': '2031',
        'card.primary.exp_month': '04',
        'card.primary.exp_year': '2031',
        'card.primary.number_last4': '4242',
        'card.primary.issuer': 'visa'
      }
    )
    const other = await newUser(proxy, { 'card.mine.number': '4242424242424242' })
    const fingerprint = async (user: string, alias: string) =>
      (await decrypt(user, [`card.${alias}.fingerprint`])).body[`card.${alias}.fingerprint`]
    t.match(await fingerprint(id, 'primary'), /^[1-9A-Za-z]{44}$/)
    t.equal(await fingerprint(id, 'primary'), await fingerprint(other, 'mine'), 'the same card, the same fingerprint')

    t.equal(
      (await call(`/users/${id}/vault`, { method: 'PATCH', body: { 'card.primary.number': '378282246310005' } }))
        .status,
      200
    )
    t.strictSame((await decrypt(id, ['card.primary.number_last4', 'card.primary.issuer'])).body, {
      'card.primary.number_last4': '0005',
      'card.primary.issuer': 'american_express'
    })
    t.not(await fingerprint(id, 'primary'), await fingerprint(other, 'mine'))

    const parts = await newUser(proxy, { 'card.x.exp_month': '4', 'card.x.exp_year': '25' })
    t.strictSame(
      (await decrypt(parts, ['card.x.expiration', 'card.x.exp_month', 'card.x.exp_year', 'card.x.expiration_year']))
        .body,
      {
        'card.x.expiration': '04/2025',
        'card.x.exp_month': '04',
        'card.x.exp_year': '25',
        'card.x.expiration_year': '2025'
      }
    )
    await call(`/users/${parts}/vault`, { method: 'PATCH', body: { 'card.x.exp_month': '11' } })
    t.strictSame(
      (await call(`/users/${parts}/vault?fields=card.x.expiration,card.x.exp_month`, { method: 'GET' })).body,
      {
        'card.x.expiration': false,
        'card.x.exp_month': true
      }
    )
  })

  t.test('a field is a token of the vault', async (t) => {
    const id = await newUser(proxy, CARD)
    const get = (field: string) =>
      proxy.request(`GET /tokens/${id}.${field} HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\n\r\n`)
    const number = JSON.parse((await get('card.primary.number')).body.toString()) as Record<string, unknown>
    t.match(number, {
      id: `${id}.card.primary.number`,
      type: 'card_number',
      data: CARD['card.primary.number'],
      container: `/pci/fp/${id}/`
    })
    const destination = await newDestination({ script: echoing })
    t.teardown(() => destination.close())
    const sent = await proxy.request(
      proxyRequest(
        proxy.key,
        destination.url,
        `{"n":"{{ ${id}.card.primary.number }}","c":"{{${id}.card.primary.cvc}}"}`
      )
    )
    t.equal(sent.body.toString(), '{"n":"4242424242424242","c":"123"}')
    const cvc = JSON.parse((await get('card.primary.cvc')).body.toString()) as Record<string, unknown>
    t.match(cvc, { data: '123', fingerprint: undefined, mask: undefined })
    const planted = await proxy.request(
      proxyRequest(proxy.key, '', JSON.stringify({ id: `${id}.custom.x`, type: 'token', data: 'x' }), {
        path: '/tokens'
      })
    )
    t.equal(planted.status, 400, 'nobody plants a field by the other dialect')
  })

  t.test('values are checked, every fault is named, and nothing is kept', async (t) => {
    const id = await newUser(proxy)
    const wrong = {
      'id.ssn9': '12345',
      'id.ssn4': '123',
      'id.dob': '2023-02-29',
      'id.country': 'XX',
      'id.email': 'jane',
      'id.phone_number': '555',
      'id.first_name': 'x'.repeat(1024),
      'id.nonsense': 'x',
      'business.name': 'Acme',
      'card.primary.number': '4242424242424241',
      'card.primary.cvc': '12',
      'card.primary.expiration': '13/2030',
      'card.primary.issuer': 'visa',
      'card.other.expiration': '01/2030',
      'card.other.exp_month': '02',
      'bank.main.ach_routing_number': '123456789',
      'custom.': 'x',
      nothing: 'x',
      __proto__x: 'x',
      'id.last_name': null
    }
    for (const [method, path] of [
      ['POST', `/users/${id}/vault/validate`],
      ['PATCH', `/users/${id}/vault`]
    ] as const) {
      const answer = await call(path, { method, body: { ...wrong, 'custom.good': 'kept?' } })
      t.equal(answer.status, 400)
      t.match(answer.body, { message: String, code: 'ERR_INPUT', context: Object })
      const faulty = Object.keys(wrong).filter((name) => name !== 'card.other.exp_month')
      t.strictSame(Object.keys(answer.body['context'] as object).sort(), faulty.sort())
      t.notMatch(JSON.stringify(answer.body), /4242424242424241|kept\?/)
    }
    t.strictSame((await call(`/users/${id}/vault`, { method: 'GET' })).body, {})
    const right = {
      'id.ssn9': '078051120',
      'id.dob': '2024-02-29',
      'id.country': 'us',
      'id.email': 'jane@acme.example',
      'id.phone_number': '+1 (555) 555-0100',
      'id.citizenships': ['US', 'DE'],
      'bank.main.ach_routing_number': '021000021',
      'bank.main.ach_account_number': '1234567890',
      'document.passport.document_number': 'X1',
      'investor_profile.annual_income': 1000000
    }
    t.strictSame(await call(`/users/${id}/vault/validate`, { body: right }), { status: 200, body: {} })
    t.strictSame((await call(`/users/${id}/vault`, { method: 'GET' })).body, {}, 'validate keeps nothing')
    t.strictSame(await call(`/users/${id}/vault`, { method: 'PATCH', body: right }), { status: 200, body: {} })
    t.match(
      (await decrypt(id, ['id.country', 'id.phone_number', 'id.citizenships', 'investor_profile.annual_income'])).body,
      {
        'id.country': 'US',
        'id.phone_number': '+15555550100',
        'id.citizenships': ['US', 'DE'],
        'investor_profile.annual_income': '1000000'
      }
    )
  })

  t.test('a number keeps its digits', async (t) => {
    const id = await newUser(proxy)
    const body = '{"custom.a":9007199254740993,"custom.b":1.10}'
    t.equal((await call(`/users/${id}/vault`, { method: 'PATCH', body })).status, 200)
    t.strictSame((await decrypt(id, ['custom.a', 'custom.b'])).body, {
      'custom.a': '9007199254740993',
      'custom.b': '1.10'
    })
  })

  t.test('which fields are there, and their removal', async (t) => {
    const id = await newUser(proxy, { ...CARD, 'custom.a': '1', 'custom.b': '2' })
    t.strictSame(
      (await call(`/users/${id}/vault?fields=custom.a,custom.c,card.primary.issuer`, { method: 'GET' })).body,
      {
        'custom.a': true,
        'custom.c': false,
        'card.primary.issuer': true
      }
    )
    const removed = await call(`/users/${id}/vault`, {
      method: 'DELETE',
      body: { fields: ['custom.a', 'card.primary.number'] }
    })
    t.equal(removed.status, 200)
    const left = Object.keys((await call(`/users/${id}/vault`, { method: 'GET' })).body)
    t.notOk(
      left.some((name) => /custom\.a|number|issuer|fingerprint/.test(name)),
      'with what followed from it'
    )
    t.ok(left.includes('custom.b') && left.includes('card.primary.expiration'))
    const all = await call(`/users/${id}/vault`, { method: 'DELETE', body: { delete_all: true } })
    t.equal(all.status, 200)
    t.strictSame((await call(`/users/${id}/vault`, { method: 'GET' })).body, {})
    t.match(await decrypt(id, ['custom.b', 'custom.nope']), {
      status: 400,
      body: { code: 'ERR_TOKEN_UNKNOWN', message: /custom\.b.*custom\.nope/ }
    })
  })

  t.test('external ids, idempotency, lists and search', async (t) => {
    const named = await call('/users', { headers: [['x-external-id', 'crm-1']] })
    t.match(named, { status: 200, body: { external_id: 'crm-1' } })
    const id = String(named.body['id'])
    t.strictSame((await call('/users', { headers: [['x-external-id', 'crm-1']] })).body['id'], id)
    t.match((await call('/users?external_id=crm-1', { method: 'GET' })).body, {
      data: [{ id }],
      meta: { next: null, count: 1 }
    })
    t.match((await call('/users?external_id=crm-2', { method: 'GET' })).body, { data: [] })
    const once = await Promise.all([1, 2, 3, 4].map(() => call('/users', { headers: [['x-idempotency-id', 'once']] })))
    t.equal(new Set(once.map(({ body }) => body['id'])).size, 1, 'made once, also at the same time')
    t.equal((await call('/users', { headers: [['x-external-id', 'crm-9']], body: { 'custom.a': 'x' } })).status, 400)

    t.match(await call(`/users/${id}`, { method: 'PATCH', body: { external_id: 'crm-7' } }), {
      status: 200,
      body: { id, external_id: 'crm-7' }
    })
    t.match((await call(`/users/${id}`, { method: 'GET' })).body, { id, external_id: 'crm-7' })
    t.match((await call('/users?external_id=crm-1', { method: 'GET' })).body, { data: [] })
    const taken = String((await call('/users', { headers: [['x-external-id', 'crm-8']] })).body['id'])
    t.match(await call(`/users/${taken}`, { method: 'PATCH', body: { external_id: 'crm-7' } }), {
      status: 409,
      body: { code: 'ERR_CONFLICT' }
    })
    t.ok(((await call('/users', { method: 'GET' })).body['data'] as { id: string }[]).some((user) => user.id === id))

    const jane = await newUser(proxy, {
      'id.phone_number': '+15555550177',
      'id.ssn9': '219-09-9999',
      'custom.note': 'findme'
    })
    for (const text of ['+15555550177', '219099999', '219-09-9999']) {
      t.match(
        (await call('/users/search', { body: { search: text } })).body,
        { data: [{ id: jane }], meta: { count: 1 } },
        text
      )
    }
    t.match((await call('/users/search', { body: { search: 'findme' } })).body, { data: [] })
    t.match((await call('/businesses/search', { body: { search: '+15555550177' } })).body, { data: [] })
  })

  t.test('the same for businesses', async (t) => {
    const id = await newUser(
      proxy,
      { 'business.name': 'Acme', 'business.tin': '12-3456789', 'custom.a': 'x' },
      '/businesses'
    )
    t.match(id, /^fp_bid_[0-9a-z]{22}$/)
    t.strictSame((await call(`/businesses/${id}/vault/decrypt`, { body: { fields: ['business.tin'] } })).body, {
      'business.tin': '123456789'
    })
    t.match(await call(`/businesses/${id}/vault`, { method: 'PATCH', body: { 'id.first_name': 'x' } }), {
      status: 400,
      body: { context: { 'id.first_name': /business/ } }
    })
    t.match((await call('/businesses/search', { body: { search: 'acme' } })).body, { data: [{ id }] })
    t.equal((await call(`/users/${id}`, { method: 'GET' })).status, 404)
    t.equal((await call(`/entities/${id}/vault`, { method: 'GET' })).status, 200)
  })

  t.test('keys and what they may', async (t) => {
    const id = await newUser(proxy, { ...CARD, 'id.last_name': 'Doe' })
    for (const headers of [
      [],
      [['Authorization', 'Basic bm9wZTo=']],
      [['Authorization', `Bearer ${proxy.key}`]],
      [['Authorization', `Basic ${Buffer.from(`${proxy.key}:secret`).toString('base64')}`]]
    ] as [string, string][][]) {
      let head = `GET /users/${id} HTTP/1.1\r\nHost: x\r\n`
      for (const [name, value] of headers) head += `${name}: ${value}\r\n`
      const answer = await proxy.request(`${head}\r\n`)
      t.equal(answer.status, 401)
      t.equal(answer.header('www-authenticate'), 'Basic realm="sluice"')
      t.match(JSON.parse(answer.body.toString()), { message: String, code: /^ERR_AUTH/, context: {} })
    }
    const bySecretKey = await proxy.request(
      `GET /users/${id} HTTP/1.1\r\nHost: x\r\nX-Footprint-Secret-Key: ${proxy.key}\r\n\r\n`
    )
    t.equal(bySecretKey.status, 200)

    const rule = (container: string, transform: string, ...permissions: string[]) => ({
      description: '',
      priority: 1,
      container,
      transform,
      permissions
    })
    const pii = await proxy.newKey([], {
      rules: [rule('/pii/', 'reveal', 'token:read'), rule('/pci/', 'mask', 'token:read')]
    })
    t.equal((await decrypt(id, ['id.last_name'], {})).status, 200)
    t.match(await call(`/users/${id}/vault/decrypt`, { key: pii, body: { fields: ['id.last_name'] } }), { status: 200 })
    t.match(
      await call(`/users/${id}/vault/decrypt`, { key: pii, body: { fields: ['id.last_name', 'card.primary.number'] } }),
      { status: 403, body: { code: 'ERR_TOKEN_FORBIDDEN' } }
    )
    const user = await proxy.newKey(['token:use'])
    t.match(
      await call(`/users/${id}/vault/decrypt`, { key: user, body: { fields: ['id.last_name'] } }),
      { status: 403, body: { code: 'ERR_PERMISSION' } },
      'using is not reading'
    )
    const creator = await proxy.newKey(['token:create'])
    t.match(await call(`/users/${id}/vault`, { key: creator, method: 'PATCH', body: { 'custom.new': 'x' } }), {
      status: 200
    })
    t.match(
      await call(`/users/${id}/vault`, { key: creator, method: 'PATCH', body: { 'custom.new': 'y' } }),
      { status: 403 },
      'creating is not updating'
    )
    t.equal((await call(`/users/${id}/vault`, { key: creator, method: 'GET' })).status, 403)
    const elsewhere = await proxy.newKey(['*'], { tenant: 'other' })
    t.match(
      await call(`/users/${id}/vault`, { key: elsewhere, method: 'GET' }),
      { status: 404 },
      'another tenant has no such user'
    )
    t.match(await call('/users/fp_id_0/vault/decrypt', { body: { fields: ['id.dob'] } }), {
      status: 404,
      body: { code: 'ERR_NOT_FOUND' }
    })
    t.equal((await footprint(proxy, '/users/nonsense/x/y', { method: 'GET' })).status, 404)
  })

  t.test('transforms that do not parse are refused; the reason is in the audit, without card numbers', async (t) => {
    const id = await newUser(proxy, { 'id.last_name': 'Doe' })
    t.match(await decrypt(id, ['id.last_name'], { transforms: ['nosuch'] }), {
      status: 400,
      body: { code: 'ERR_EXPR_FILTER' }
    })
    t.match(await decrypt(id, ['id.last_name'], { transforms: ['replace('] }), {
      status: 400,
      body: { code: 'ERR_EXPR_SYNTAX' }
    })
    t.match(await decrypt(id, ['id.last_name'], { transforms: 'x' }), {
      status: 400,
      body: { context: { transforms: String } }
    })
    t.match(await decrypt(id, ['id'], {}), { status: 400 })
    await decrypt(id, ['id.last_name'], { reason: 'call 17 of 4242 4242 4242 4242' })
    const folder = join(proxy.folder, 'audit')
    const audit = readdirSync(folder)
      .map((file) => readFileSync(join(folder, file), 'utf8'))
      .join('')
    t.match(audit, `"door":"decrypt"`)
    t.match(audit, '"reason":"call 17 of «number»"')
    t.notMatch(audit, /4242 ?4242|Doe/)
  })
})
