import t from 'tap'
import { compileInterpreter, type Loaded, Machine, newMemory } from '../../lib/reactor/machine.ts'
import { SANDBOX_LIMITS } from '../../lib/reactor/sandbox.ts'

/* What stays of a run in the memory that the next one begins with: nothing. */

const interpreter = await compileInterpreter()
const memory = newMemory()
const machine = await Machine.make(interpreter, SANDBOX_LIMITS, memory)
const holds = (text: string) => Buffer.from(memory.buffer).includes(text)

/** Runs a code to its end, without what follows it. */
function run(code: string, input: object): { loaded: Loaded; said: string[] } {
  const said: string[] = []
  machine.master = {
    post: (_name, _number, text) => void said.push(machine.context.getString(text)),
    ask: () => machine.context.newString('{"bytes":"AAAAAAAAAAAAAAAAAAAAAA=="}'),
    mayGoOn: () => true
  }
  const loaded = machine.load(code)
  if ('main' in loaded) {
    const { context, start } = machine
    context
      .callFunction(start, context.undefined, loaded.main, context.newString(JSON.stringify(input)))
      .unwrap()
      .dispose()
    machine.runtime.executePendingJobs()
  }
  return { loaded, said }
}

const code =
  'module.exports = async (req) => { globalThis.kept = [req.args.pan, "left-" + req.args.pan]; return typeof kept }'
const input = { args: { pan: '4242424242424242' }, configuration: { KEY: 'very-secret-value' } }

t.test('every byte that a run left is gone', async (t) => {
  t.notOk(holds('4242424242424242'))
  t.strictSame(run(code, input).said, ['{"kind":"value","value":"object"}'])
  t.ok(holds('4242424242424242') && holds('very-secret-value'), 'it was there while the run was')
  const grown = machine.rest()
  t.ok(grown)
  t.notOk(holds('4242424242424242'))
  t.notOk(holds('very-secret-value'))
})

t.test('memory is the same before every run of a code', async (t) => {
  run(code, input)
  machine.rest()
  const before = Buffer.from(Buffer.from(memory.buffer))
  for (const body of ['module.exports = () => 1', 'module.exports = (', 'for (const x of []) x', code]) {
    run(body, { args: { filler: 'f'.repeat(100_000) } })
    machine.rest()
  }
  t.ok(before.equals(Buffer.from(memory.buffer)))
})

t.test('code that was compiled is found again, up to a number of codes', async (t) => {
  const codes = Array.from({ length: 12 }, (_, at) => `module.exports = () => ${at}`)
  for (const round of [1, 2]) {
    for (const [at, one] of codes.entries()) {
      t.strictSame(run(one, {}).said, [`{"kind":"value","value":${at}}`], `round ${round}`)
      machine.rest()
    }
  }
})

t.test('code that does not parse leaves the machine as it was', async (t) => {
  t.match(run('module.exports = (', {}).loaded, { error: Object })
  machine.rest()
  t.strictSame(run('module.exports = () => "fine"', {}).said, ['{"kind":"value","value":"fine"}'])
  machine.rest()
})

t.test('a machine that has grown is blank, and to be replaced', async (t) => {
  const large =
    'module.exports = (req) => { globalThis.a = []; for (let i = 0; i < 300; i++) a.push(req.args.pan + "x".repeat(1e5)); }'
  run(large, input)
  t.ok(holds('4242424242424242'))
  t.notOk(machine.rest())
  t.notOk(holds('4242424242424242'))
})
