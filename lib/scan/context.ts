/** Places, numeric consts: where an expression stands; decides un-escaping and (in expr/encode) escaping. */
export type Place = number
export const PLACE_TEXT = 1
export const PLACE_JSON_STRING = 2
export const PLACE_JSON_WHOLE = 3
export const PLACE_JSON_KEY = 4
export const PLACE_JSON_VALUE = 5
export const PLACE_FORM = 6
export const PLACE_XML_TEXT = 7
export const PLACE_XML_ATTRIBUTE = 8
export const PLACE_XML_CDATA = 9
export const PLACE_XML_MARKUP = 10
export const PLACE_CSV = 11
export const PLACE_URL_PATH = 12
export const PLACE_URL_QUERY = 13
export const PLACE_HEADER = 14
export const PLACE_PART_HEADER = 15
