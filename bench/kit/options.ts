/** How this run was called: `--quick` (or SLUICE_BENCH_QUICK=1) shortens everything to a smoke of a few seconds. */
export const quick = process.argv.includes('--quick') || process.env['SLUICE_BENCH_QUICK'] === '1'

/** The value of `--name=value` on the command line, or `otherwise`. */
export function option(name: string, otherwise: string): string {
  const found = process.argv.find((argument) => argument.startsWith(`--${name}=`))
  return found === undefined ? otherwise : found.slice(name.length + 3)
}

/** The number given as `--name=n`, or the one of the quick or the full run. */
export function count(name: string, full: number, short: number): number {
  const given = Number(option(name, String(quick ? short : full)))
  if (!Number.isFinite(given) || given < 0) throw new Error(`--${name} takes a number`)
  return given
}
