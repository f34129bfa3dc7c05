// The matrix on a canvas: one square for each client group and server group with sessions between them.
import type { Cell, MatrixData, MatrixRule } from "./api"
import { end } from "./text"

/** State is what became of most of what passes in a square. */
export type State = "rule" | "left" | "refused" | "open"

export function stateOf(c: MatrixData["cells"][number]): State {
  if (c.included > 0) return c.rules.length > 0 ? "rule" : "open"
  const r = c.reasons
  const refused = r ? (r["half-open"] ?? 0) + (r["denied"] ?? 0) + (r["scanner"] ?? 0) : 0
  return refused === c.sessions ? "refused" : "left"
}

/** Frame is where things are on the canvas, in CSS pixels. */
export interface Frame {
  cell: number
  left: number
  top: number
  width: number
  height: number
}

const most = 18 // side of a square
const least = 3 // but for matrices that would be wider than widest
const widest = 3000
const labelled = 9 // from here on each row has its label

/** layout finds room for labels and squares in a width. */
export function layout(m: MatrixData, width: number, measure: (text: string) => number): Frame {
  const longest = (labels: string[]) => Math.min(220, Math.max(40, ...labels.slice(0, 2000).map((l) => measure(end(l)))) + 12)
  const left = longest(m.rows)
  const columns = Math.max(1, m.columns.length)
  const smallest = Math.max(1, Math.min(least, Math.floor(widest / Math.max(columns, m.rows.length))))
  const cell = Math.max(smallest, Math.min(most, Math.floor((width - left - 12) / columns)))
  const top = cell >= labelled ? longest(m.columns) : 16
  return { cell, left, top, width: Math.max(width, left + cell * columns + 12), height: top + cell * Math.max(1, m.rows.length) + 12 }
}

/** runs gives the pieces without a gap of a list of places in order. */
export function runs(places: number[]): [number, number][] {
  const out: [number, number][] = []
  for (const p of places) {
    const last = out[out.length - 1]
    if (last && last[1] === p) last[1] = p + 1
    else out.push([p, p + 1])
  }
  return out
}

export interface Drawing {
  matrix: MatrixData
  frame: Frame
  /** The rules whose boxes are drawn: the first with a line, the others dashed. */
  rules?: MatrixRule[]
  cursor?: [number, number]
  selected?: [number, number]
  witness?: Cell[]
}

/** Layer is what stays while a cursor moves: the squares and labels, painted once. */
interface Layer {
  matrix: MatrixData
  frame: Frame
  colours: string
  picture: OffscreenCanvas
}

const layers = new WeakMap<HTMLCanvasElement, Layer>()

const names = ["ground", "field", "line", "ink", "rule", "open", "left", "refused", "box", "dot"]

/** draw paints everything. Colours come from the style sheet, so that light and dark have their own. */
export function draw(canvas: HTMLCanvasElement, d: Drawing): void {
  const { matrix: m, frame: f } = d
  const ratio = devicePixelRatio || 1
  const [width, height] = [Math.round(f.width * ratio), Math.round(f.height * ratio)]
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width
    canvas.height = height
    canvas.style.width = f.width + "px"
    canvas.style.height = f.height + "px"
  }
  const g = canvas.getContext("2d")!
  const style = getComputedStyle(canvas)
  const known = new Map(names.map((n) => [n, style.getPropertyValue("--" + n).trim()]))
  const colour = (name: string) => known.get(name)!
  const colours = [...known.values()].join(" ") + ratio
  let layer = layers.get(canvas)
  if (!layer || layer.matrix !== m || layer.frame !== f || layer.colours !== colours) {
    const picture = new OffscreenCanvas(width, height)
    const p = picture.getContext("2d", { alpha: false })!
    p.setTransform(ratio, 0, 0, ratio, 0, 0)
    p.fillStyle = colour("ground")
    p.fillRect(0, 0, f.width, f.height)
    grid(p, d, colour)
    squares(p, d, colour)
    labels(p, d, colour, style.font || "12px sans-serif")
    layer = { matrix: m, frame: f, colours, picture }
    layers.set(canvas, layer)
  }
  g.setTransform(1, 0, 0, 1, 0, 0)
  g.drawImage(layer.picture, 0, 0)
  g.setTransform(ratio, 0, 0, ratio, 0, 0)
  d.rules?.forEach((r, i) => box(g, f, r, colour("box"), i > 0))
  dots(g, d, colour("dot"))
  for (const [at, width] of [[d.selected, 3], [d.cursor, 2]] as const) {
    if (!at) continue
    g.strokeStyle = colour("ink")
    g.lineWidth = width
    g.strokeRect(f.left + at[1] * f.cell, f.top + at[0] * f.cell, f.cell, f.cell)
  }
}

type Colour = (name: string) => string
type Painter = OffscreenCanvasRenderingContext2D

function grid(g: Painter, { matrix: m, frame: f }: Drawing, colour: Colour): void {
  g.fillStyle = colour("field")
  g.fillRect(f.left, f.top, m.columns.length * f.cell, m.rows.length * f.cell)
  if (f.cell < labelled) return
  g.fillStyle = colour("line")
  for (let i = 0; i <= m.rows.length; i++) g.fillRect(f.left, f.top + i * f.cell, m.columns.length * f.cell, 1)
  for (let i = 0; i <= m.columns.length; i++) g.fillRect(f.left + i * f.cell, f.top, 1, m.rows.length * f.cell)
}

/** detailed is the side from which squares have gaps and marks; smaller ones are points of a bitmap. */
const detailed = 6

function squares(g: Painter, { matrix: m, frame: f }: Drawing, colour: Colour): void {
  if (f.cell < detailed) return points(g, m, f, colour)
  const fills: Record<State, string> = { rule: colour("rule"), open: colour("open"), left: colour("left"), refused: colour("refused") }
  const deepest = Math.log1p(Math.max(1, ...maxima(m)))
  const gap = 1
  for (const c of m.cells) {
    const x = f.left + c.column * f.cell + gap
    const y = f.top + c.row * f.cell + gap
    const side = f.cell - gap
    const state = stateOf(c)
    g.globalAlpha = 0.35 + (0.65 * Math.log1p(c.sessions)) / deepest
    g.fillStyle = fills[state]
    g.fillRect(x, y, side, side)
    g.globalAlpha = 1
    if (f.cell >= 8 && state !== "rule") mark(g, x, y, side, state, colour("ink"))
  }
}

const states: State[] = ["rule", "open", "left", "refused"]

/** levels is how many depths of a colour a bitmap has: one for each power of two. */
const levels = 33

/** empty is the kind of a square without sessions; others are a state and a level. */
const empty = 255

/** points paints a bitmap with one point for each square, and stretches it. */
function points(g: Painter, m: MatrixData, f: Frame, colour: Colour): void {
  if (m.columns.length === 0 || m.rows.length === 0) return
  // Squares are looked at once, since reading a million of them takes longer than painting them.
  const width = m.columns.length
  const kinds = new Uint8Array(width * m.rows.length).fill(empty)
  let deepest = 1
  for (const c of m.cells) {
    const level = 32 - Math.clz32(c.sessions)
    if (level > deepest) deepest = level
    kinds[c.row * width + c.column] = states.indexOf(stateOf(c)) * levels + level
  }
  const field = channels(colour("field"))
  const palette = new Uint32Array(256).fill(packed(field, 255))
  states.forEach((state, i) => {
    const fill = channels(colour(state))
    for (let level = 0; level < levels; level++) {
      const depth = 0.35 + (0.65 * level) / deepest
      palette[i * levels + level] = packed([0, 1, 2].map((k) => Math.round(field[k]! + (fill[k]! - field[k]!) * depth)), 255)
    }
  })
  const image = new ImageData(width, m.rows.length)
  const to = new Uint32Array(image.data.buffer)
  for (let i = 0; i < kinds.length; i++) to[i] = palette[kinds[i]!]!
  stretch(g, f, bitmapOf(image))
}

/** packed is a point of a bitmap, whose bytes are red, green, blue and alpha. */
const packed = ([r, g, b]: number[], alpha: number): number => ((alpha << 24) | (b! << 16) | (g! << 8) | r!) >>> 0

function bitmapOf(image: ImageData): OffscreenCanvas {
  const bitmap = new OffscreenCanvas(image.width, image.height)
  bitmap.getContext("2d")!.putImageData(image, 0, 0)
  return bitmap
}

/** stretch paints a bitmap with one point for each square over the squares. */
function stretch(g: CanvasRenderingContext2D | Painter, f: Frame, bitmap: OffscreenCanvas): void {
  g.imageSmoothingEnabled = false
  g.drawImage(bitmap, f.left, f.top, f.cell * bitmap.width, f.cell * bitmap.height)
}

/** channels takes a colour such as #0072b2 apart. */
function channels(text: string): number[] {
  const n = parseInt(text.slice(1), 16)
  return [n >> 16, (n >> 8) & 255, n & 255]
}

function* maxima(m: MatrixData): Generator<number> {
  let most = 1
  for (const c of m.cells) most = Math.max(most, c.sessions)
  yield most
}

/** mark tells states apart without colour: a stroke for left out, a cross for refused, a ring for what no rule has. */
function mark(g: Painter, x: number, y: number, side: number, state: State, ink: string): void {
  g.strokeStyle = ink
  g.lineWidth = 1
  g.beginPath()
  g.moveTo(x + 2, y + side - 2)
  g.lineTo(x + side - 2, y + 2)
  if (state === "refused") {
    g.moveTo(x + 2, y + 2)
    g.lineTo(x + side - 2, y + side - 2)
  }
  if (state === "open") {
    g.beginPath()
    g.arc(x + side / 2, y + side / 2, side / 4, 0, 2 * Math.PI)
  }
  g.stroke()
}

function labels(g: Painter, { matrix: m, frame: f }: Drawing, colour: Colour, font: string): void {
  g.fillStyle = colour("ink")
  g.font = font
  g.textBaseline = "middle"
  const every = Math.max(1, Math.ceil(labelled / f.cell))
  g.textAlign = "right"
  m.rows.forEach((label, i) => {
    if (i % every === 0) g.fillText(fit(g, end(label), f.left - 8), f.left - 5, f.top + (i + 0.5) * f.cell)
  })
  if (f.top < 20) return
  g.textAlign = "left"
  m.columns.forEach((label, i) => {
    g.save()
    g.translate(f.left + (i + 0.5) * f.cell, f.top - 5)
    g.rotate(-Math.PI / 2)
    g.fillText(fit(g, end(label), f.top - 8), 0, 0)
    g.restore()
  })
}

function fit(g: Painter, text: string, width: number): string {
  if (g.measureText(text).width <= width) return text
  while (text.length > 1 && g.measureText(text + "…").width > width) text = text.slice(0, -1)
  return text + "…"
}

/** outlined is how many pieces of a rule's box have an outline; of more the whole box is shaded. */
const outlined = 2000

/** shaded keeps the shades of rules for as long as their matrix is shown. */
const shaded = new WeakMap<MatrixRule, { colour: string; bitmap: OffscreenCanvas }>()

/** box draws the box of a rule: what the order of rows and columns leaves of it in pieces. */
function box(g: CanvasRenderingContext2D, f: Frame, r: MatrixRule, colour: string, dashed: boolean): void {
  const rows = runs(r.rows)
  const columns = runs(r.columns)
  if (rows.length * columns.length > outlined) return shade(g, f, r, colour)
  g.strokeStyle = colour
  g.lineWidth = 2
  g.setLineDash(dashed ? [4, 3] : [])
  g.beginPath()
  for (const [a, b] of rows) for (const [c, d] of columns) g.rect(f.left + c * f.cell, f.top + a * f.cell, (d - c) * f.cell, (b - a) * f.cell)
  g.stroke()
  g.setLineDash([])
}

function shade(g: CanvasRenderingContext2D, f: Frame, r: MatrixRule, colour: string): void {
  const columns = r.columns[r.columns.length - 1]! + 1
  const rows = r.rows[r.rows.length - 1]! + 1
  let known = shaded.get(r)
  if (known?.colour !== colour) {
    const image = new ImageData(columns, rows)
    const to = new Uint32Array(image.data.buffer)
    const point = packed(channels(colour), 150)
    for (const row of r.rows) for (const column of r.columns) to[row * columns + column] = point
    known = { colour, bitmap: bitmapOf(image) }
    shaded.set(r, known)
  }
  stretch(g, f, known!.bitmap)
}

const places = new WeakMap<MatrixData, [rows: Map<string, number>, columns: Map<string, number>]>()

/** placesOf gives where the ends of a matrix are. */
function placesOf(m: MatrixData): [rows: Map<string, number>, columns: Map<string, number>] {
  let known = places.get(m)
  if (!known) {
    known = [new Map(m.rows.map((end, i) => [end, i])), new Map(m.columns.map((end, i) => [end, i]))]
    places.set(m, known)
  }
  return known
}

/** dots show the witness: no two of its cells fit one rule. Cells of several services may lie in one square. */
function dots(g: CanvasRenderingContext2D, { matrix: m, frame: f, witness }: Drawing, colour: string): void {
  if (!witness) return
  const [rows, columns] = placesOf(m)
  const radius = Math.max(1.5, f.cell / 5)
  g.fillStyle = colour
  g.beginPath()
  for (const w of witness) {
    const row = rows.get(w.source)
    const column = columns.get(w.destination)
    if (row === undefined || column === undefined) continue
    const [x, y] = [f.left + (column + 0.5) * f.cell, f.top + (row + 0.5) * f.cell]
    g.moveTo(x + radius, y)
    g.arc(x, y, radius, 0, 2 * Math.PI)
  }
  g.fill()
}

/** at finds the square under a point, if there is one. */
export function at(m: MatrixData, f: Frame, x: number, y: number): [number, number] | undefined {
  const column = Math.floor((x - f.left) / f.cell)
  const row = Math.floor((y - f.top) / f.cell)
  if (row < 0 || column < 0 || row >= m.rows.length || column >= m.columns.length) return undefined
  return [row, column]
}

/** labelAt finds the row or column whose label is under a point, if there is one. */
export function labelAt(m: MatrixData, f: Frame, x: number, y: number): string | undefined {
  if (x < f.left && y >= f.top) return m.rows[Math.floor((y - f.top) / f.cell)]
  if (y < f.top && x >= f.left) return m.columns[Math.floor((x - f.left) / f.cell)]
  return undefined
}

/** cellAt finds the sessions of a square, if there are any: cells come in the order of rows, then columns. */
export function cellAt(m: MatrixData, row: number, column: number): MatrixData["cells"][number] | undefined {
  let [low, high] = [0, m.cells.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const c = m.cells[middle]!
    if (c.row < row || (c.row === row && c.column < column)) low = middle + 1
    else high = middle
  }
  const c = m.cells[low]
  return c && c.row === row && c.column === column ? c : undefined
}
