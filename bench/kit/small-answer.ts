/** The body of every answer of the small-request benchmarks' destination. */
export const ANSWER_BODY = '{"id":"pay_0001","status":"accepted","approved":true,"code":"00"}'

/** What that destination has counted since it was last told what to expect. */
export interface Counts {
  readonly requests: number
  /** Requests whose body had another length than the one expected. */
  readonly wrong: number
  readonly connections: number
  /** Connections whose TLS session was a resumed one. */
  readonly resumed: number
}

/** When that destination ends a connection: `forgetting` also makes every session's ticket worthless. */
export type Closing = 'never' | 'each' | 'forgetting'
