// Who talks to whom: client groups as rows, server groups as columns.
import type { TargetedKeyboardEvent, TargetedMouseEvent } from "preact"
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks"
import { change, go, link, useAddress, withParams } from "./address"
import { useAnswer, type Cell, type MatrixCell, type MatrixData } from "./api"
import { at, cellAt, draw, labelAt, layout, stateOf, type Frame } from "./canvas"
import { Copies } from "./copies"
import { A, Empty, Judging, Trouble } from "./parts"
import { End } from "./readiness"
import { bytes, count, end, moment, of, shortID, zoneOf } from "./text"

/** The parameters of the page that the API has too. */
const asked = ["proposal", "vrf", "service", "order", "unfold"]

export function matrixPath(params: URLSearchParams): string {
  const out = new URLSearchParams()
  for (const name of asked) for (const v of params.getAll(name)) out.append(name, v)
  return link("/api/v1/matrix", out)
}

export function MatrixPage() {
  const { params } = useAddress()
  const { data: m, error, busy } = useAnswer<MatrixData>(matrixPath(params))
  return (
    <>
      <h1>Who talks to whom</h1>
      {error && <Trouble error={error} />}
      {!m && busy && <Judging />}
      {m && <Head m={m} />}
      {m && (m.cells.length === 0 ? <Empty params={params} /> : <Body m={m} params={params} />)}
      <Copies command={command(params, m)} api={matrixPath(params)} name="matrix" csv={() => (m ? cellRows(m) : [])} picture={() => pictureOf(document.querySelector<HTMLCanvasElement>(".matrix canvas"))}
        sql={link("/api/v1/sessions", withParams(cellOf(params, m), { format: "sql" }))} />
    </>
  )
}

/** command is what shows the selected cell, or all sessions of the service, on a terminal. */
function command(params: URLSearchParams, m?: MatrixData): string[] {
  const out = ["sessions"]
  if (m) out.push("--vrf", m.vrf)
  for (const [name, flag] of [["source", "client"], ["destination", "server"]] as const) {
    const label = params.get(name)
    if (label?.startsWith("group:")) out.push("--" + flag, label)
    else if (label?.startsWith("ip:")) out.push("--" + flag, label.slice(3))
  }
  for (const s of params.getAll("service")) out.push("--service", s)
  return out
}

/** cellOf are the parameters of the sessions of the selected cell, or of all that the matrix shows. */
function cellOf(params: URLSearchParams, m?: MatrixData): URLSearchParams {
  const cell = params.has("source") || params.has("destination")
  return withParams(new URLSearchParams(), { vrf: m?.vrf ?? params.get("vrf"), service: params.getAll("service"), source: params.get("source"), destination: params.get("destination"), proposal: cell && m?.proposal ? shortID(m.proposal) : null })
}

const cellRows = (m: MatrixData) => [
  ["source", "destination", "sessions", "included", "services", "flows", "bytes", "first_seen", "last_seen", "rules"],
  ...m.cells.map((c) => [m.rows[c.row]!, m.columns[c.column]!, c.sessions, c.included, c.services, c.flows, c.bytes, c.firstSeen, c.lastSeen, c.rules.map((i) => m.rules[i]?.name ?? "").join(" ")]),
]

/** pictureOf gives the whole canvas, what is scrolled away among it. */
export const pictureOf = (canvas: HTMLCanvasElement | null): Promise<Blob | null> => new Promise((done) => (canvas ? canvas.toBlob(done) : done(null)))

function Head({ m }: { m: MatrixData }) {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const service = params.get("service") ?? ""
  return (
    <>
      <p class="head">
        VRF {m.vrf}, {moment(m.window.from, zone)} to {moment(m.window.to, zone)} {zone}. <span data-count="sessions">{count(m.sessions)}</span> sessions,{" "}
        {m.proposal ? (
          <>
            <span data-count="included">{count(m.included)}</span> in rules of <A to={`/proposals/${shortID(m.proposal)}`}>proposal {shortID(m.proposal)}</A>
          </>
        ) : (
          <>no proposal yet: <A to="/generate">generate one</A></>
        )}
        . Read at {moment(m.made, zone)} {zone}.
      </p>
      <form class="controls" onSubmit={(e) => e.preventDefault()}>
        <label>
          Service
          <select name="service" value={service} onChange={(e) => change({ service: e.currentTarget.value, source: null, destination: null })}>
            <option value="">any</option>
            {service && !m.services.some((s) => s.service === service) && <option value={service}>{service}</option>}
            {m.services.map((s) => <option key={s.service} value={s.service}>{s.service} ({count(s.sessions)})</option>)}
          </select>
        </label>
        <label>
          Order
          <select name="order" value={params.get("order") ?? "cover"} onChange={(e) => change({ order: e.currentTarget.value === "cover" ? null : e.currentTarget.value })}>
            <option value="cover">by rules</option>
            <option value="name">by name</option>
            <option value="traffic">by sessions</option>
          </select>
        </label>
        <label>
          Rule
          <select name="rule" value={params.get("rule") ?? ""} onChange={(e) => change({ rule: e.currentTarget.value })}>
            <option value="">none shown</option>
            {m.rules.map((r) => <option key={r.id} value={r.id}>{r.name}</option>)}
          </select>
        </label>
        <label><input type="checkbox" name="unfold" checked={params.get("unfold") === "true"} onChange={(e) => change({ unfold: e.currentTarget.checked ? "true" : null, source: null, destination: null })} /> Hosts in no group by themselves</label>
        <label><input type="checkbox" name="view" checked={params.get("view") === "table"} onChange={(e) => change({ view: e.currentTarget.checked ? "table" : null })} /> As table</label>
      </form>
      {m.leftAway ? <p class="note">{of(m.leftAway, "row or column", "rows and columns")} with fewest sessions are left away; ask for one service, or fold hosts.</p> : null}
    </>
  )
}

function Body({ m, params }: { m: MatrixData; params: URLSearchParams }) {
  const row = m.rows.indexOf(params.get("source") ?? "")
  const column = m.columns.indexOf(params.get("destination") ?? "")
  const cell = cellAt(m, row, column)
  return (
    <div class="split">
      {params.get("view") === "table" ? <Table m={m} /> : <Matrix m={m} rule={params.get("rule") ?? undefined} selected={row >= 0 && column >= 0 ? [row, column] : undefined} />}
      <aside aria-label="Selected cell">{cell ? <CellCard m={m} cell={cell} /> : <Legend />}</aside>
    </div>
  )
}

const legend = [
  ["rule", "in a rule"],
  ["open", "in no rule yet"],
  ["left", "left out"],
  ["refused", "never answered, denied or scanned"],
] as const

function Legend() {
  return (
    <>
      <ul class="legend">
        {legend.map(([state, text]) => (
          <li key={state}><span class={"swatch " + state} aria-hidden="true" /> {text}</li>
        ))}
      </ul>
      <p class="note">Deeper colours are more sessions. Rows are clients, columns servers. Point at a square for the boxes of its rules, select it for what passes there: with a click, or with arrow keys and Enter. The label of a row or column opens its group; the label of hosts in no group unfolds them.</p>
    </>
  )
}

function CellCard({ m, cell }: { m: MatrixData; cell: MatrixCell }) {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const source = m.rows[cell.row]!
  const destination = m.columns[cell.column]!
  const list = withParams(new URLSearchParams(), { proposal: m.proposal ? shortID(m.proposal) : null, vrf: params.get("vrf"), source, destination, service: params.getAll("service") })
  return (
    <section class="card">
      <h2><End label={source} /> → <End label={destination} /></h2>
      <p>
        <A to={link("/sessions", list)}><span data-count="cell">{count(cell.sessions)}</span> sessions</A> of {of(cell.services, "service")}, {count(cell.flows)} flows, {bytes(cell.bytes)}.
      </p>
      <p>First seen {moment(cell.firstSeen, zone)}, last {moment(cell.lastSeen, zone)} {zone}.</p>
      {cell.rules.length > 0 && (
        <>
          <h3>Rules</h3>
          <ul>
            {cell.rules.map((i) => m.rules[i] && <li key={i}><A to={`/proposals/${shortID(m.proposal ?? "")}?rule=${m.rules[i]!.id}`}>{m.rules[i]!.name}</A></li>)}
          </ul>
        </>
      )}
      {cell.reasons && Object.keys(cell.reasons).length > 0 && (
        <>
          <h3>Left out</h3>
          <ul>
            {Object.entries(cell.reasons).map(([reason, n]) => (
              <li key={reason}><A to={link("/sessions", withParams(list, { reason }))}>{reason}: {count(n)}</A></li>
            ))}
          </ul>
        </>
      )}
    </section>
  )
}

function Table({ m }: { m: MatrixData }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Cells as a table">
      <table>
        <thead><tr><th>Clients</th><th>Servers</th><th class="number">Sessions</th><th class="number">In rules</th><th class="number">Services</th><th>Rules</th></tr></thead>
        <tbody>
          {m.cells.map((c) => (
            <tr key={c.row + " " + c.column}>
              <td>{end(m.rows[c.row]!)}</td>
              <td>{end(m.columns[c.column]!)}</td>
              <td class="number"><button class="plain" onClick={() => change({ source: m.rows[c.row]!, destination: m.columns[c.column]! })}>{count(c.sessions)}</button></td>
              <td class="number">{count(c.included)}</td>
              <td class="number">{count(c.services)}</td>
              <td>{c.rules.map((i) => m.rules[i]?.name).join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** say describes a square for those who do not see it, and names the rules that hold what passes there. */
function say(m: MatrixData, [row, column]: [number, number], cell?: MatrixCell): string {
  const ends = `${end(m.rows[row]!)} to ${end(m.columns[column]!)}: `
  if (!cell) return ends + "no session"
  const states = { rule: "in a rule", open: "in no rule yet", left: "left out", refused: "refused" }
  const rules = cell.rules.map((i) => m.rules[i]?.name).filter(Boolean)
  const more = rules.length > named ? ` and ${of(rules.length - named, "other")}` : ""
  return ends + of(cell.sessions, "session") + ", " + (rules.length > 0 ? `in ${rules.slice(0, named).join(", ")}${more}` : states[stateOf(cell)])
}

/** named is how many rules of a square are named, and have their boxes drawn while it is pointed at. */
const named = 3

interface MatrixProps {
  m: MatrixData
  /** The rule that is pointed at or selected elsewhere on the page. */
  rule?: string
  selected?: [number, number]
  witness?: Cell[]
  /** Told of the rules of the square that is pointed at. */
  onPoint?: (rules: string[]) => void
}

export function Matrix({ m, rule, selected, witness, onPoint }: MatrixProps) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const room = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  const [dark, setDark] = useState(matchMedia("(prefers-color-scheme: dark)").matches)
  const [cursor, setCursor] = useState<[number, number] | undefined>()
  const find = (p: [number, number]) => cellAt(m, p[0], p[1])
  // The boxes are those of the square that is pointed at, else of the rule that was chosen, else of the selected square.
  const boxes = useMemo(() => {
    const of = (p?: [number, number]) => (p ? (find(p)?.rules ?? []).slice(0, named).flatMap((i) => m.rules[i] ?? []) : [])
    const [here, there] = [of(cursor), m.rules.filter((r) => r.id === rule)]
    return here.length > 0 ? here : there.length > 0 ? there : of(selected)
  }, [m, rule, cursor?.[0], cursor?.[1], selected?.[0], selected?.[1]])
  useEffect(() => onPoint?.(cursor ? boxes.map((r) => r.id) : []), [boxes, cursor === undefined])
  useLayoutEffect(() => {
    const o = new ResizeObserver(() => setWidth(room.current?.clientWidth ?? 0))
    o.observe(room.current!)
    setWidth(room.current!.clientWidth)
    return () => o.disconnect()
  }, [])
  useEffect(() => {
    const q = matchMedia("(prefers-color-scheme: dark)")
    const changed = () => setDark(q.matches)
    q.addEventListener("change", changed)
    return () => q.removeEventListener("change", changed)
  }, [])
  const frame = useMemo<Frame | undefined>(() => {
    const g = canvas.current?.getContext("2d")
    if (!g || width === 0) return undefined
    g.font = getComputedStyle(canvas.current!).font
    return layout(m, width, (t) => g.measureText(t).width)
  }, [m, width])
  useLayoutEffect(() => {
    if (!canvas.current || !frame) return
    draw(canvas.current, { matrix: m, frame, rules: boxes, cursor, selected, witness })
    canvas.current.dataset.painted ??= String(Math.round(performance.now()))
    canvas.current.dataset.boxes = boxes.map((r) => r.id).join(" ")
  }, [m, frame, boxes, cursor, selected?.[0], selected?.[1], witness, dark])
  const select = (p: [number, number]) => change({ source: m.rows[p[0]]!, destination: m.columns[p[1]]! })
  const pointed = (e: TargetedMouseEvent<HTMLCanvasElement>) => {
    const r = e.currentTarget.getBoundingClientRect()
    return frame && at(m, frame, e.clientX - r.left, e.clientY - r.top)
  }
  // A label opens its group or host; the hosts in no group unfold.
  const labelled = (e: TargetedMouseEvent<HTMLCanvasElement>) => {
    const r = e.currentTarget.getBoundingClientRect()
    return frame && labelAt(m, frame, e.clientX - r.left, e.clientY - r.top)
  }
  const open = (label: string | undefined) => {
    if (label === "hosts" || label === "external") change({ unfold: "true", source: null, destination: null })
    else if (label?.startsWith("group:")) go(`/group/${encodeURIComponent(label.slice(6))}`)
    else if (label?.startsWith("ip:")) go(`/host/${encodeURIComponent(end(label))}`)
  }
  const key = (e: TargetedKeyboardEvent<HTMLCanvasElement>) => {
    const now = cursor ?? selected ?? [0, 0]
    const step: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }
    const s = step[e.key]
    if (s) {
      e.preventDefault()
      let next: [number, number] = [now[0], now[1]]
      do {
        next = [next[0] + s[0], next[1] + s[1]]
      } while (e.ctrlKey && next[0] > 0 && next[1] > 0 && next[0] < m.rows.length - 1 && next[1] < m.columns.length - 1 && !find(next))
      setCursor([Math.min(m.rows.length - 1, Math.max(0, next[0])), Math.min(m.columns.length - 1, Math.max(0, next[1]))])
    } else if (e.key === "Home" || e.key === "End") {
      e.preventDefault()
      setCursor([now[0], e.key === "Home" ? 0 : m.columns.length - 1])
    } else if (e.key === "Enter") select(now as [number, number])
    else if (e.key === "Escape") change({ source: null, destination: null })
  }
  const hovered = cursor && say(m, cursor, find(cursor))
  return (
    <div class="matrix" ref={room}>
      <div class="scroll" tabIndex={-1}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-roledescription="matrix"
          aria-label={`${of(m.rows.length, "client group")} by ${of(m.columns.length, "server group")}. Arrow keys move, Enter selects.`}
          data-cell={frame?.cell}
          data-left={frame?.left}
          data-top={frame?.top}
          onKeyDown={key}
          onMouseMove={(e) => {
            const p = pointed(e)
            if (p?.[0] !== cursor?.[0] || p?.[1] !== cursor?.[1]) setCursor(p)
          }}
          onMouseLeave={() => setCursor(undefined)}
          onBlur={() => setCursor(undefined)}
          onClick={(e) => {
            const p = pointed(e)
            if (p) select(p)
            else open(labelled(e))
          }}
        />
      </div>
      <p class="caption" role="status">{hovered ?? "\u00a0"}</p>
    </div>
  )
}
