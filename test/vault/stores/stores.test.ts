import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openLmdb } from '../../../lib/vault/stores/lmdb.ts'
import { openMemory } from '../../../lib/vault/stores/memory.ts'
import { storeContract } from './contract.ts'

const directory = mkdtempSync(join(tmpdir(), 'sluice-stores-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))

storeContract('memory', { openStore: () => openMemory(), keeps: false })
storeContract('lmdb', { openStore: (name) => openLmdb(join(directory, name)), keeps: true })
