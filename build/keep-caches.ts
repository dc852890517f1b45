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
    const { filename } = options
    if (filename?.endsWith('.part.js') !== true) return
    process.on('exit', () => {
      const name = readFileSync(filename, 'latin1').slice(-8)
      writeFileSync(join(dirname(filename), `${name}.cache`), this.createCachedData())
    })
  }
}

vm.Script = KeptScript
