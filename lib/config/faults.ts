import { SluiceError } from '../errors.ts'

/** One fault of a configuration. */
export interface Fault {
  /** `egress.timeoutMs`; empty for the file as a whole. */
  readonly path: string
  /** In words; holds no value. */
  readonly why: string
}

/** Every fault of a configuration at once: ERR_CONFIG, its message one line a fault. */
export class ConfigError extends SluiceError {
  readonly faults: readonly Fault[]

  constructor(faults: readonly Fault[]) {
    super('ERR_CONFIG', faults.map(faultLine).join('\n'), { names: faults.map(({ path }) => path) })
    this.faults = faults
  }
}

function faultLine({ path, why }: Fault): string {
  return path === '' ? why : `${path}: ${why}`
}

/** The variable that holds the master key itself, in the stead of `vault.masterKeyFile`. */
export const MASTER_KEY = 'SLUICE_MASTER_KEY'
