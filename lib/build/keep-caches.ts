/**
 * Loaded before a program of the bundle (`node --import`): what V8 has made of each part by the end is kept beside it, all
 * functions that ran included.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import vm from 'node:vm'

class KeptScript extends vm.Script {
  constructor(code: string, options: vm.ScriptOptions) {
    super(code, options)
    if (options.filename?.endsWith('.part.js') === true) kept.set(options.filename, this)
  }
}

// :: file → its script
const kept = new Map<string, vm.Script>()
vm.Script = KeptScript
process.on('exit', () => {
  for (const [file, script] of kept) {
    const name = readFileSync(file, 'latin1').slice(-8)
    writeFileSync(join(dirname(file), `${name}.cache`), script.createCachedData())
  }
})
