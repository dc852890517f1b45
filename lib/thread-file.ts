/**
 * The compiled file that a thread begins with, given as `new URL('./x.ts', import.meta.url)`. In a bundle all such files
 * lie beside the one that asks, under the same name.
 */
export function threadFile(source: URL): URL {
  return new URL(source.href.replace(/\.ts$/, '.js'))
}
