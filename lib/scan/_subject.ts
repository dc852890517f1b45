/**
 * May the subject be a token id, or one with a path into its data? Asked for the pair `<< >>` alone: what may not is
 * other text that happens to hold these characters. `<<>>` counts as an expression, a senseless one.
 */
export function maySubject(source: string): boolean {
  const bar = source.indexOf('|')
  const subject = (bar < 0 ? source : source.slice(0, bar)).trim()
  for (let at = 0; at < subject.length; at++) {
    const character = subject.charCodeAt(at)
    if (character === BRACKET && at > 0) return true
    if (character < 0x80 && NOT_IN_IDS[character] === 1) return false
  }
  return true
}

const NOT_IN_IDS = ((): Uint8Array => {
  const table = new Uint8Array(0x80).fill(1, 0, 0x20)
  for (const character of '#/\\+?[]&=%<>{}^\x7f') table[character.charCodeAt(0)] = 1
  return table
})()

const BRACKET = 0x5b
