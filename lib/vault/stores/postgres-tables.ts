import type { Table } from '../store.ts'

/** The number of each table in `sluice.rows`. A number that was given once stays with its table. */
export const TABLE_NUMBERS: Readonly<Record<Table, number>> = {
  tokens: 1,
  index: 2,
  applications: 3,
  keys: 4,
  settings: 5,
  bindings: 6,
  keyring: 7,
  changes: 8,
  anchors: 9,
  proxies: 10,
  reactors: 11,
  configs: 12,
  users: 13,
  results: 14
}
