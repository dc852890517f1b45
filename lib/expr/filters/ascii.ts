import type { Work } from '../work.ts'

/**
 * Text in ASCII. Accents fall away (compatibility decomposition); letters that do not decompose, typographic
 * punctuation, Greek and Cyrillic are written by the tables below; what is left (CJK, emoji …) is dropped. Throws
 * ERR_EXPR_VALUE when `work` runs out.
 */
export function toAscii(text: string, work: Work): string {
  if (ASCII.test(text)) return text
  return text.replace(NOT_ASCII, (run) => {
    let out = ''
    for (const character of run) {
      work.spend(CHARACTER_UNITS)
      const known = TABLE.get(character)
      if (known !== undefined) out += known
      else for (const part of character.normalize('NFKD')) out += part < '\u0080' ? part : (TABLE.get(part) ?? '')
    }
    return out
  })
}

/** What one character counts as: some decompose to many. */
const CHARACTER_UNITS = 50
const ASCII = /^\p{ASCII}*$/u
const NOT_ASCII = /\P{ASCII}+/gu

/** `x=y` pairs: a character (or its lower case) and what is written for it; capitals follow. */
const LATIN = 'æ=ae œ=oe ø=o ł=l đ=d ð=d þ=th ß=ss ħ=h ı=i ĸ=k ŋ=n ŧ=t ə=e ɓ=b ɗ=d ƙ=k ƴ=y ȷ=j'
const GREEK = 'α=a β=b γ=g δ=d ε=e ζ=z η=i θ=th ι=i κ=k λ=l μ=m ν=n ξ=x ο=o π=p ρ=r σ=s ς=s τ=t υ=y φ=f χ=ch ψ=ps ω=o'
const CYRILLIC =
  'а=a б=b в=v г=g д=d е=e ё=yo ж=zh з=z и=i й=y к=k л=l м=m н=n о=o п=p р=r с=s т=t у=u ф=f х=kh ц=ts ч=ch ш=sh ' +
  'щ=shch ъ= ы=y ь= э=e ю=yu я=ya є=ye і=i ї=yi ґ=g ў=u ј=j љ=lj њ=nj ћ=c ђ=dj џ=dz'
const SIGNS =
  '‘=\' ’=\' ‚=, ‛=\' ′=\' “=" ”=" „=" ‟=" ″=" «=" »=" ‹=\' ›=\' ‐=- ‑=- ‒=- –=- —=- ―=- −=- …=... •=* ·=. ×=x ÷=/ ' +
  '€=EUR £=GBP ¥=JPY ¢=c ©=(c) ®=(r) ™=(tm) №=No. §=S ¡=! ¿=? °=deg ¹=1 ²=2 ³=3'

const TABLE: ReadonlyMap<string, string> = new Map([
  ...[LATIN, GREEK, CYRILLIC].flatMap(pairs).flatMap(([from, to]): [string, string][] => {
    const upper = from.toUpperCase()
    const capital = to.slice(0, 1).toUpperCase() + to.slice(1)
    return upper.length === 1 && upper !== from
      ? [
          [from, to],
          [upper, capital]
        ]
      : [[from, to]]
  }),
  ['ẞ', 'SS'],
  ...pairs(SIGNS)
])

function pairs(table: string): [string, string][] {
  return table.split(' ').map((pair) => [pair.slice(0, 1), pair.slice(2)])
}
