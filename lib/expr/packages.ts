/**
 * The two packages of this room, asked for as what they are, CommonJS. Imported, they cost six times as much of a start:
 * Node first reads them through for the names that they export.
 */
import { createRequire } from 'node:module'
import type * as JsonP3 from 'json-p3'
import type * as LiquidJs from 'liquidjs'

export const { jsonpath } = createRequire(import.meta.url)('json-p3') as typeof JsonP3
export const { Context, Liquid, TokenKind, Tokenizer, filters, toValueSync } = createRequire(import.meta.url)(
  'liquidjs'
) as typeof LiquidJs
