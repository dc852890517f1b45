/** What `sluice dev` puts into its vault: an API key, tokens, and two users of the Footprint dialect. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { SluiceError } from '../errors.ts'
import { newKeyMemo, type Vault } from '../vault/vault.ts'
import { Refusal } from './guard.ts'

/** The API key of the last start, or a new one. It is kept in a file, as nothing else of Sluice's does. */
export async function demoKey(vault: Vault, file: string): Promise<string> {
  if (existsSync(file)) {
    const kept = readFileSync(file, 'utf8').trim()
    try {
      await vault.authenticate(kept, newKeyMemo())
      return kept
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'ERR_AUTH_INVALID') throw error
    }
  }
  const { key } = await vault.createKey({ name: 'sluice dev', permissions: ['*'], tenant: 'default' })
  rmSync(file, { force: true })
  writeFileSync(file, `${key}\n`, { mode: 0o600 })
  return key
}

/** Makes the demo tokens by the API, as a user would. Those that are there already stay. */
export async function makeDemoTokens(url: string, key: string): Promise<void> {
  for (const token of DEMO_TOKENS) {
    const response = await fetch(`${url}/tokens`, {
      method: 'POST',
      headers: { 'BT-API-KEY': key, 'Content-Type': 'application/json' },
      body: JSON.stringify(token)
    })
    if (!response.ok && response.status !== 409) {
      throw new Refusal(`the demo token ${token.id} cannot be made: status ${response.status}`)
    }
    await response.arrayBuffer()
  }
}

/** Makes the users that the vendor's documents speak of, under their ids. Those that are there already stay. */
export async function makeDemoUsers(vault: Vault, url: string, key: string): Promise<void> {
  const caller = await vault.authenticate(key, newKeyMemo())
  for (const [id, fields] of Object.entries(DEMO_USERS)) {
    if ((await vault.users.read(caller.tenant, id)) !== null) continue
    await vault.users.create(caller, { kind: 'user', id }, () => [], 'sluice-dev')
    const response = await fetch(`${url}/users/${id}/vault`, {
      method: 'PATCH',
      headers: { 'X-Footprint-Secret-Key': key },
      body: JSON.stringify(fields)
    })
    if (!response.ok) throw new Refusal(`the demo user ${id} cannot be made: status ${response.status}`)
    await response.arrayBuffer()
  }
}

export const DEMO_TOKENS = [
  {
    id: 'demo_card',
    type: 'card',
    data: { number: '4242424242424242', expiration_month: 12, expiration_year: 2030, cvc: '123' }
  },
  { id: 'demo_name', type: 'token', data: 'Ada Lovelace' },
  { id: 'demo_ssn', type: 'social_security_number', data: '078-05-1120' }
]

export const DEMO_USER = 'fp_id_JHSfbHz7VdxfoPXuaOlZqb'

const DEMO_USERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  fp_id_tctecBEvGc98V7Vx4MhZU: {
    'id.first_name': 'Ada',
    'id.last_name': 'Doè',
    'id.dob': '1988-12-30',
    'id.ssn9': '078-05-1120',
    'custom.credit_card': '4242424242424242',
    'custom.credit_card_exp': '04/30',
    'custom.credit_card_cvc': '123',
    'custom.ach_account': '12-1212-1212'
  },
  [DEMO_USER]: {
    'card.primary.name': 'Jane Doe',
    'card.primary.number': '4242424242424242',
    'id.first_name': 'Jane',
    'id.last_name': 'Doe',
    'id.dob': '1988-12-30'
  }
}
