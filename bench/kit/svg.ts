/** A graph of some lines over two axes. */
export interface Graph {
  readonly title: string
  /** Under the title: what was done. */
  readonly note: string
  readonly x: Axis
  readonly y: Axis
  /** Places on the x axis where something changes for a reason, and the reason. */
  readonly places?: readonly Place[]
  readonly lines: readonly GraphLine[]
}

export interface Axis {
  readonly label: string
  readonly scale: 'log' | 'linear'
  /** What its numbers are: they are written as 20 kB, 1.5 ms, 20 k. */
  readonly unit: 'bytes' | 'µs' | 'count'
}

export interface Place {
  readonly x: number
  readonly why: string
}

export interface GraphLine {
  readonly name: string
  /** One that the graph is about: drawn stronger, and above those that it is compared with. */
  readonly isOurs: boolean
  /** [x, y], ascending in x. */
  readonly points: readonly (readonly [number, number])[]
}

/**
 * The graph as an SVG document of 840 × 460: dark where the reader's system is, on a ground of its own, so that it can be
 * read on any page. Lines are told apart by colour and by the form of their marks, and named where they end; a name that had
 * to move away from its line's end is led to it.
 */
export function svg(graph: Graph): string {
  const points = graph.lines.flatMap((line) => line.points)
  const x = newScale(
    graph.x,
    points.map(([x]) => x),
    LEFT,
    RIGHT
  )
  const y = newScale(
    graph.y,
    points.map(([, y]) => y),
    BOTTOM,
    TOP
  )
  const parts = [
    `<text class="title" x="16" y="28">${escaped(graph.title)}</text>`,
    `<text class="quiet" x="16" y="48">${escaped(graph.note)}</text>`,
    ...x.ticks.map((tick) => vertical(x.place(tick), amount(tick, graph.x))),
    ...y.ticks.map((tick) => horizontal(y.place(tick), amount(tick, graph.y))),
    ...(graph.places ?? []).map(({ x: at, why }) => reason(x.place(at), why)),
    `<path class="axis" d="M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}"/>`,
    `<text class="label" x="${(LEFT + RIGHT) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escaped(graph.x.label)}</text>`,
    `<text class="label" transform="rotate(-90)" x="${-(TOP + BOTTOM) / 2}" y="18" text-anchor="middle">${escaped(graph.y.label)}</text>`
  ]
  // Ours last, so that they lie above.
  const lines = [...graph.lines].sort((a, b) => Number(a.isOurs) - Number(b.isOurs))
  const colours = coloursOf(lines)
  const ends = lines.map((line) => y.place(line.points.at(-1)?.[1] ?? 1))
  const names = spread(ends)
  for (const [at, line] of lines.entries()) {
    const placed = line.points.map(([px, py]) => [round(x.place(px)), round(y.place(py))] as const)
    const [end, name] = [round(ends[at] ?? 0), round(names[at] ?? 0)]
    const colour = colours[at] ?? 0
    parts.push(`<g class="line c${colour}${line.isOurs ? ' ours' : ''}">`)
    parts.push(`<path d="M${placed.map(([px, py]) => `${px} ${py}`).join('L')}"/>`)
    parts.push(...placed.map(([px, py]) => mark(colour, px, py)))
    parts.push(`<path class="lead" d="M${RIGHT + 7} ${end}L${RIGHT + 19} ${name}"/>`)
    parts.push(`<text x="${RIGHT + 23}" y="${name + 4}">${escaped(line.name)}</text></g>`)
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">
<title>${escaped(graph.title)}</title>
<style>${STYLE}</style>
<rect class="ground" width="${WIDTH}" height="${HEIGHT}"/>
${parts.join('\n')}
</svg>
`
}

interface Scale {
  readonly ticks: readonly number[]
  place(value: number): number
}

/** A number of `COLOURS` for each line: the first for ours, the others for the rest. */
function coloursOf(lines: readonly GraphLine[]): number[] {
  let [ours, others] = [0, OUR_COLOURS]
  return lines.map(({ isOurs }) => (isOurs ? ours++ % OUR_COLOURS : others++ % COLOURS.length))
}

/** Maps values to pixels; its ends are ticks. */
function newScale(axis: Axis, values: readonly number[], from: number, to: number): Scale {
  const ticks = axis.scale === 'log' ? decades(values) : steps(values)
  const of = axis.scale === 'log' ? Math.log10 : (value: number) => value
  const [low, high] = [of(ticks[0] ?? 0), of(ticks.at(-1) ?? 1)]
  return { ticks, place: (value) => from + ((of(value) - low) / (high - low)) * (to - from) }
}

/** 1, 10, 100 … around the values; with 2 and 5 where there are few. */
function decades(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  const steps = Math.log10(high / low) > 2.5 ? [1] : [1, 2, 5]
  const all: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    all.push(...steps.map((step) => step * 10 ** power))
  }
  const first = all.findLastIndex((tick) => tick <= low * 1.0001)
  const last = all.findIndex((tick) => tick >= high * 0.9999)
  return all.slice(first, last + 1)
}

/** From zero on, at most eight steps of 1, 2 or 5. */
function steps(values: readonly number[]): number[] {
  const high = Math.max(...values)
  const rough = high / 8
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power
  return Array.from({ length: Math.ceil(high / step) + 1 }, (_, at) => at * step)
}

/** Moves labels apart that would stand on each other. */
function spread(places: readonly number[]): number[] {
  const order = places.map((place, at) => ({ place, at })).sort((a, b) => a.place - b.place)
  const moved = [...places]
  let floor = Number.NEGATIVE_INFINITY
  for (const { place, at } of order) {
    floor = Math.max(place, floor + LABEL_GAP)
    moved[at] = floor
  }
  const over = Math.max(0, ...moved.map((place) => place - BOTTOM))
  return moved.map((place) => place - over)
}

function vertical(x: number, label: string): string {
  const at = round(x)
  return `<path class="grid" d="M${at} ${TOP}V${BOTTOM}"/><text class="tick" x="${at}" y="${BOTTOM + 20}" text-anchor="middle">${label}</text>`
}

function horizontal(y: number, label: string): string {
  const at = round(y)
  return `<path class="grid" d="M${LEFT} ${at}H${RIGHT}"/><text class="tick" x="${LEFT - 8}" y="${at + 4}" text-anchor="end">${label}</text>`
}

/** Dashed, with its reason on its left at the top, where lines that rise leave room. */
function reason(x: number, why: string): string {
  const at = round(x)
  return `<path class="place" d="M${at} ${TOP}V${BOTTOM}"/><text class="why" x="${at - 6}" y="${TOP + 16}" text-anchor="end">${escaped(why)}</text>`
}

function mark(form: number, x: number, y: number): string {
  switch (form % 4) {
    case 0:
      return `<circle cx="${x}" cy="${y}" r="3.5"/>`
    case 1:
      return `<path class="mark" d="M${x - 3.5} ${y - 3.5}h7v7h-7z"/>`
    case 2:
      return `<path class="mark" d="M${x} ${y - 4.5}l4.5 8h-9z"/>`
    default:
      return `<path class="mark" d="M${x} ${y - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5z"/>`
  }
}

/** 1, 20 k, 5 M; 100 B, 20 kB; 50 µs, 1.5 ms, 2 s. */
function amount(value: number, { unit }: Axis): string {
  if (value === 0) return '0'
  const power = value >= 1e6 ? 2 : value >= 1e3 ? 1 : 0
  return `${Number((value / 1000 ** power).toPrecision(6))} ${UNITS[unit][power]}`.trimEnd()
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

const UNITS = { bytes: ['B', 'kB', 'MB'], µs: ['µs', 'ms', 's'], count: ['', 'k', 'M'] } as const
const [WIDTH, HEIGHT] = [840, 460]
const [LEFT, RIGHT, TOP, BOTTOM] = [84, 620, 70, 396]
const LABEL_GAP = 18
// [on light, on dark]: told apart by people who see fewer colours too.
const COLOURS = [
  ['#0b62b8', '#6cb6ff'],
  ['#0f7b6c', '#4fd1b5'],
  ['#b34700', '#ffa657'],
  ['#8a3ea8', '#d2a8ff'],
  ['#6b5900', '#e3c84c']
] as const
const OUR_COLOURS = 2
const STYLE = `
text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:16px;font-weight:600}.quiet,.tick{fill:#59636e;font-size:12px}
.ground{fill:#fff}.grid{stroke:#d8dee4;stroke-width:1}.axis{fill:none;stroke:#59636e;stroke-width:1}
.line path{fill:none;stroke-width:1.5;stroke-linejoin:round}.ours path{stroke-width:3}.ours text{font-weight:600}
.line .lead{stroke-width:1;opacity:.6}.place{stroke:#8c959f;stroke-dasharray:3 4}.why{fill:#59636e;font-size:11px}
${COLOURS.map(([light], at) => rulesOf(at, light)).join('')}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.quiet,.tick{fill:#9198a1}.ground{fill:#0d1117}.grid{stroke:#30363d}.axis,.place{stroke:#9198a1}.why{fill:#9198a1}
${COLOURS.map(([, dark], at) => rulesOf(at, dark)).join('')}}
`

function rulesOf(at: number, colour: string): string {
  return `.c${at} path{stroke:${colour}}.c${at} circle,.c${at} .mark,.c${at} text{fill:${colour};stroke:none}`
}
