import { RE2JS } from 're2js'
import fc from 'fast-check'
import t from 'tap'
import { maskSections } from '../../lib/dialects/basis-theory/transforms/mask-sections.ts'

/*
 * Masks against a reference that is written from the vendor's sentence and nothing else, character by character, on
 * expressions that the built-in engine and RE2 read alike.
 */

/** Every character of a section that belongs to an occurrence of a captured value, counted from the left. */
function reference(expression: string, text: string): string {
  const out = text.split('')
  for (const match of text.matchAll(new RegExp(expression, 'g'))) {
    const section = match[0]
    for (const value of match.slice(1)) {
      if (value === undefined || value === '') continue
      for (let at = 0; at + value.length <= section.length; ) {
        if (section.startsWith(value, at)) {
          for (let i = 0; i < value.length; i++) out[match.index + at + i] = '*'
          at += value.length
        } else at++
      }
    }
  }
  return out.join('')
}

const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '"', ' '), maxLength: 40 })
const atom = fc.constantFrom(
  'a',
  'b',
  'c',
  '.',
  '[ab]',
  '[^a]',
  '"',
  '(a)',
  '(b+)',
  '(.)',
  '([ab]*)',
  '(a|bc)',
  '(?:ab)'
)
const suffix = fc.constantFrom('', '', '', '?', '+', '*?')
const expression = fc
  .array(fc.tuple(atom, suffix), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.map(([one, more]) => (one.startsWith('(') && more.startsWith('*') ? one : one + more)).join(''))
  .filter((one) => /\((?!\?)/.test(one))

t.test('a mask replaces what the reference replaces', async (t) => {
  fc.assert(
    fc.property(expression, letters, (pattern, text) => {
      t.equal(maskSections(RE2JS.compile(pattern), text, '*', Number.POSITIVE_INFINITY), reference(pattern, text))
    }),
    { numRuns: 3000 }
  )
  t.pass('3000 expressions')
})

t.test('a mask keeps the length, and every character or the replacement', async (t) => {
  fc.assert(
    fc.property(expression, letters, (pattern, text) => {
      const made = maskSections(RE2JS.compile(pattern), text, '*', Number.POSITIVE_INFINITY) ?? ''
      if (made.length !== text.length) throw new Error('another length')
      for (let at = 0; at < text.length; at++) {
        if (made[at] !== text[at] && made[at] !== '*') throw new Error('a character that is neither')
      }
    })
  )
  t.pass('held')
})
