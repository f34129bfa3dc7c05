// The ways to take a page elsewhere.
import { useState } from "preact/hooks"
import { words } from "./text"

/** Rows are a table as CSV has it, its head first. */
export type Rows = (string | number)[][]

interface Ways {
  command?: string[]
  api?: string
  /** What curl sends besides, as JSON. */
  body?: unknown
  /** A statement, or with a slash before it the address that gives one. */
  sql?: string
  /** The table of the page: its rows, or the address that streams all of them. */
  csv?: string | (() => Rows)
  /** The whole picture of the page. */
  picture?: () => Promise<Blob | null>
  name?: string
}

const field = (v: string | number): string => (/[",\n\r]/.test(String(v)) ? `"${String(v).replaceAll('"', '""')}"` : String(v))

/** csvOf writes rows. */
export const csvOf = (rows: Rows): string => rows.map((r) => r.map(field).join(",") + "\n").join("")

function save(blob: Blob, name: string): void {
  const a = document.createElement("a")
  a.href = URL.createObjectURL(blob)
  a.download = name
  a.click()
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000)
}

export function Copies({ command, api, body, sql, csv, picture, name = "cordon" }: Ways) {
  const [said, say] = useState("")
  const put = async (what: string, text: string | Promise<string>) => {
    try {
      await navigator.clipboard.writeText(await text)
      say(`Copied as ${what}.`)
    } catch (e) {
      say(e instanceof Error && e.name === "Refused" ? e.message : "The browser does not let this page copy.")
    }
  }
  const statement = (): string | Promise<string> => (sql!.startsWith("/") ? ask(sql!) : sql!)
  const inWords = command && words("cordon", ...command)
  const sent = body === undefined ? [] : ["-H", "Content-Type: application/json", "-d", JSON.stringify(body)]
  const curl = api && words("curl", "-sS", ...sent, location.origin + api)
  return (
    <div class="copies" role="group" aria-label="Take this page elsewhere">
      <span>Copy as</span>
      <button onClick={() => put("link", location.href)} data-copy={location.href}>link</button>
      {inWords && <button onClick={() => put("command", inWords)} data-copy-command={inWords}>command</button>}
      {sql && <button onClick={() => put("SQL", statement())} data-copy-sql={sql}>SQL</button>}
      {curl && <button onClick={() => put("curl", curl)} data-copy-curl={curl}>curl</button>}
      {csv && <span>Save as</span>}
      {typeof csv === "string" && <a class="button" href={csv} download={name + ".csv"}>CSV</a>}
      {typeof csv === "function" && <button data-save="csv" onClick={() => save(new Blob([csvOf(csv())], { type: "text/csv" }), name + ".csv")}>CSV</button>}
      {picture && <button data-save="png" onClick={() => picture().then((b) => (b ? save(b, name + ".png") : say("There is no picture yet.")))}>PNG</button>}
      <button onClick={() => print()}>Print</button>
      <span role="status">{said}</span>
    </div>
  )
}

/** ask reads a statement that the server writes. */
async function ask(path: string): Promise<string> {
  const response = await fetch(path)
  const text = await response.text()
  if (response.ok) return text
  const refused = new Error(text)
  try {
    refused.message = (JSON.parse(text) as { detail: string }).detail
  } catch {
    // The text is what there is to say.
  }
  refused.name = "Refused"
  throw refused
}

/** drawn gives an SVG of the page as a picture, with the colours that it has on the page. */
export async function drawn(svg: SVGSVGElement | null): Promise<Blob | null> {
  if (!svg) return null
  const copy = svg.cloneNode(true) as SVGSVGElement
  const from = [svg, ...svg.querySelectorAll("*")]
  const to = [copy, ...copy.querySelectorAll("*")]
  from.forEach((e, i) => {
    const style = getComputedStyle(e)
    for (const name of ["fill", "stroke", "stroke-width", "font", "opacity"]) to[i]!.setAttribute(name, style.getPropertyValue(name))
  })
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg")
  const image = new Image()
  image.src = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }))
  await image.decode()
  const canvas = document.createElement("canvas")
  const box = svg.getBoundingClientRect()
  canvas.width = 2 * box.width
  canvas.height = 2 * box.height
  const g = canvas.getContext("2d")!
  g.fillStyle = getComputedStyle(document.body).backgroundColor
  g.fillRect(0, 0, canvas.width, canvas.height)
  g.drawImage(image, 0, 0, canvas.width, canvas.height)
  URL.revokeObjectURL(image.src)
  return new Promise((done) => canvas.toBlob(done))
}
