/*
 * The vendor names a matcher `chase_stratus_pan` and does not say what it matches. What is done here rests on the format
 * that such answers have: records of fixed-width fields, in the detail record (`T74`) the account number in columns 45 to
 * 63, filled up with blanks. Elsewhere whatever has the length and check digit of a card number is taken for one.
 */

/** A text without the card numbers in it: each digit of one is replaced. */
export function maskStratus(text: string, replacement: string): string {
  const inRecords = text.replace(DETAIL, (_record, before: string, digits: string) => {
    return before + replacement.repeat(digits.length)
  })
  return inRecords.replace(DIGITS, (digits) => (isCardNumber(digits) ? replacement.repeat(digits.length) : digits))
}

function isCardNumber(digits: string): boolean {
  let sum = 0
  for (let at = digits.length - 1, double = false; at >= 0; at--, double = !double) {
    const digit = digits.charCodeAt(at) - 0x30
    sum += double ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit
  }
  return sum % 10 === 0
}

/** The 44 characters before the account number, and its digits. */
const DETAIL = /^(T74.{41})(\d{12,19})/gm
const DIGITS = /(?<!\d)\d{13,19}(?!\d)/g
