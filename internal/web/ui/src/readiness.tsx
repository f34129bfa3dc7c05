// Long enough? How far the sessions are known: what `cordon readiness` says, with the hours in which records were lost.
import type { TargetedSubmitEvent } from "preact"
import { useRef } from "preact/hooks"
import { change, link, useAddress, withParams } from "./address"
import { useAnswer } from "./api"
import { Copies, drawn } from "./copies"
import { A, Busy, Empty, Trouble } from "./parts"
import { Table } from "./table"
import { count, end, moment, of, zoneOf } from "./text"

interface NewCell {
  source: string
  destination: string
  service: string
  firstSeen: string
  sessions: number
}

interface Backtest {
  learnedUntil: string
  horizon: string
  sessions: number
  denied: number
  deniedShare: number
}

interface Readiness {
  vrf: string
  window: { from: string; to: string }
  sessions: number
  cells: number
  hours: number
  hoursWithData: number
  ready: boolean
  why: string[]
  backtest: Backtest[]
  ago: (Backtest & { days: number })[]
  curve: { day: string; cells: number; newCells: number; byHour: number[] }[]
  newest: NewCell[]
  forecast: { text?: string; declined?: string }
  groups: { group: string; state: string; reason: string; sessions: number; share: number }[]
}

interface Loss {
  exporter: string
  hour: string
  lostRecords: number
  records: number
}

const names = ["proposal", "category", "since", "until", "last", "tz", "vrf", "client", "server", "host", "exporter", "at-most", "external", "ungrouped", "half-open", "min-sessions", "min-hosts", "min-hours", "recurring", "exclude-scanners", "port-ranges", "max-extra"]
const optional = ["recurring", "exclude-scanners", "port-ranges"]

const fields = [
  ["last", "In the last", "7d"],
  ["category", "Categories", "those of the proposal"],
  ["vrf", "VRF", "all"],
  ["at-most", "May be denied", "1%"],
  ["exclude-scanners", "Leave out scanners of so many targets", "none"],
] as const

const percent = (x: number): string => `${(100 * x).toFixed(2)}%`

export function ReadinessPage() {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const query = new URLSearchParams()
  for (const n of names) for (const v of params.getAll(n)) if (v) query.append(n, v)
  const path = link("/api/v1/readiness", query)
  const { data, error, busy } = useAnswer<{ readiness: Readiness[]; loss: Loss[]; made: string }>(path)
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    change(Object.fromEntries(fields.map(([n]) => [n, String(form.get(n) ?? "").trim() || null])))
  }
  const command = ["readiness", "--groups", "groups.yaml"]
  for (const n of names) if (n !== "proposal") for (const v of params.getAll(n)) if (v) command.push(...(optional.includes(n) ? [`--${n}=${v}`] : ["--" + n, v]))
  const rows = () => [["vrf", "day", "hour", "new_cells", "known"], ...(data?.readiness ?? []).flatMap((r) => hoursOf(r).map((h) => [r.vrf, h.day, h.at, h.fresh, h.known]))]
  const picture = useRef<HTMLDivElement>(null)
  return (
    <>
      <h1>Long enough?</h1>
      <form class="controls" onSubmit={submit} key={params.toString()}>
        {fields.map(([name, label, hint]) => (
          <label key={name}>{label}<input name={name} defaultValue={params.getAll(name).join(",")} placeholder={hint} autoComplete="off" spellcheck={false} /></label>
        ))}
        <button type="submit">Show</button>
      </form>
      {error && <Trouble error={error} />}
      {!data && busy && <Busy what="Learning when each cell was seen" />}
      {data && data.readiness.length === 0 && <Empty params={params} />}
      <div ref={picture}>{data?.readiness.map((r) => <Verdict key={r.vrf} r={r} loss={data.loss} zone={zone} params={params} />)}</div>
      <p class="note">The command takes the groups file that the groups come from: save the one you used as groups.yaml.</p>
      <Copies command={command} api={path} csv={rows} picture={() => drawn(picture.current?.querySelector("svg") ?? null)} name="readiness" sql={link("/api/v1/sessions", withParams(sessionsOf(params), { format: "sql" }))} />
    </>
  )
}

/** sessionsOf are the parameters of the sessions that readiness is about. */
function sessionsOf(params: URLSearchParams): URLSearchParams {
  const out = new URLSearchParams()
  for (const n of ["since", "until", "last", "tz", "vrf", "client", "server", "host", "exporter"]) for (const v of params.getAll(n)) if (v) out.append(n, v)
  return out
}

function hoursOf(r: Readiness): { day: string; at: number; fresh: number; known: number }[] {
  let known = 0
  return r.curve.flatMap((d, i) => d.byHour.map((fresh, h) => ({ day: d.day, at: (i === 0 ? new Date(r.window.from).getUTCHours() : 0) + h, fresh, known: (known += fresh) })))
}

function Verdict({ r, loss, zone, params }: { r: Readiness; loss: Loss[]; zone: string; params: URLSearchParams }) {
  const newest = r.newest[0]
  return (
    <section>
      <h2>VRF {r.vrf}: <span data-ready={String(r.ready)}>{r.ready ? "ready" : "not ready"}</span></h2>
      <ul>{r.why.map((w) => <li key={w}>{w}</li>)}</ul>
      <p>
        <span data-count="sessions">{count(r.sessions)}</span> sessions in <span data-count="cells">{count(r.cells)}</span> cells; {count(r.hoursWithData)} of {of(r.hours, "hour")} have data, {moment(r.window.from, zone)} to {moment(r.window.to, zone)} {zone}.
      </p>
      {newest && <p>The last new cell came at {moment(newest.firstSeen, zone)} {zone}: {end(newest.source)} → {end(newest.destination)} {newest.service}.</p>}
      <Curve r={r} loss={loss} zone={zone} />
      <p>{r.forecast.text ? `Forecast: ${r.forecast.text}.` : `There is no forecast: ${r.forecast.declined}.`}</p>
      {r.ago.map((s) => (
        <p key={s.days}>Had you stopped {of(s.days, "day")} ago, {percent(s.deniedShare)} of the sessions since would have been denied ({count(s.denied)} of {count(s.sessions)}).</p>
      ))}
      <h3>Newest cells</h3>
      <Table label={"Newest cells of VRF " + r.vrf} rows={r.newest} columns={[
        [`First seen (${zone})`, false, (c) => moment(c.firstSeen, zone)],
        ["Clients", false, (c) => <End label={c.source} />],
        ["Servers", false, (c) => <End label={c.destination} />],
        ["Service", false, (c) => c.service],
        ["Sessions", true, (c) => <A to={link("/sessions", withParams(sessionsOf(params), { source: c.source, destination: c.destination, service: c.service }))}>{count(c.sessions)}</A>],
      ]} />
      <h3>Backtest: learned until a moment, what would have been denied after it</h3>
      <Table label={"Backtest of VRF " + r.vrf} rows={r.backtest} columns={[
        [`Learned until (${zone})`, false, (b) => moment(b.learnedUntil, zone)],
        ["Then", false, (b) => b.horizon],
        ["Sessions", true, (b) => count(b.sessions)],
        ["Denied", true, (b) => count(b.denied)],
        ["Share", true, (b) => percent(b.deniedShare)],
      ]} />
      <h3>Groups</h3>
      <Table label={"Groups of VRF " + r.vrf} rows={r.groups} columns={[
        ["Group", false, (g) => g.group],
        ["State", false, (g) => g.state],
        ["Sessions", true, (g) => count(g.sessions)],
        ["Share", true, (g) => percent(g.share)],
        ["Reason", false, (g) => g.reason],
      ]} />
    </section>
  )
}

/** End names an end of a cell, with a link where it is a group or a host. */
export function End({ label }: { label: string }) {
  if (label.startsWith("group:")) return <A to={"/group/" + encodeURIComponent(label.slice(6))}>{end(label)}</A>
  if (/^ip:.*\/(32|128)$/.test(label)) return <A to={"/host/" + encodeURIComponent(end(label))}>{end(label)}</A>
  return <>{end(label)}</>
}

/** Curve draws the cells known as a line, the new ones of each hour as bars, and hours with lost records as shade. */
function Curve({ r, loss, zone }: { r: Readiness; loss: Loss[]; zone: string }) {
  const hours = hoursOf(r)
  const [width, height] = [900, 180]
  const step = width / Math.max(1, hours.length)
  const top = Math.max(1, hours.at(-1)?.known ?? 1)
  const most = Math.max(1, ...hours.map((h) => h.fresh))
  const from = +new Date(r.window.from)
  const shaded = loss.map((l) => ({ ...l, at: Math.round((+new Date(l.hour) - from) / 3600_000) })).filter((l) => l.at >= 0 && l.at < hours.length)
  const line = hours.map((h, i) => `${((i + 1) * step).toFixed(1)},${(height - 20 - ((height - 30) * h.known) / top).toFixed(1)}`).join(" ")
  return (
    <figure>
      <svg class="curve" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={`Cells known over ${hours.length} hours, ${top} at the end; at most ${most} new in an hour`}>
        {shaded.map((l) => <rect key={l.exporter + l.at} class="lost" x={l.at * step} y={0} width={Math.max(1, step)} height={height - 20}><title>{`${l.exporter} lost ${l.lostRecords} records, ${moment(l.hour, zone)} ${zone}`}</title></rect>)}
        {hours.map((h, i) => h.fresh > 0 && <rect key={i} class="fresh" x={i * step} y={height - 20 - (60 * h.fresh) / most} width={Math.max(1, step - 1)} height={(60 * h.fresh) / most}><title>{`${h.fresh} new, ${h.day} ${h.at}:00 UTC`}</title></rect>)}
        <polyline points={`0,${height - 20} ${line}`} />
        <text x={2} y={height - 4}>{moment(r.window.from, zone)} {zone}</text>
        <text x={width - 2} y={height - 4} text-anchor="end">{moment(r.window.to, zone)} {zone}</text>
        <text x={2} y={12}>{count(top)} cells</text>
      </svg>
      <figcaption class="note">The line is the cells known, bars are the new ones of an hour{shaded.length > 0 ? `; shaded are ${of(shaded.length, "hour")} in which an exporter lost records` : ", no exporter lost records in this time"}.</figcaption>
    </figure>
  )
}
