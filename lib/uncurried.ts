/**
 * A method as a function that takes its object first: `uncurried(Buffer.prototype, 'indexOf')(buffer, 0x0a)`. For hot
 * paths: V8 of Node 20 looks a buffer's methods up anew at each call, for 70 to 150 instructions; one that was bound once
 * it inlines.
 */
export function uncurried<Uncurried>(prototype: unknown, name: string): Uncurried {
  const method: unknown = Reflect.get(prototype as object, name)
  if (typeof method !== 'function') throw new TypeError(`no method: ${name}`)
  return Function.prototype.call.bind(method) as Uncurried
}
