// What a group and its hosts do.
import { link, useAddress, withParams } from "./address"
import { useAnswer, type MatrixData, type Proposal, type Stored } from "./api"
import { Copies } from "./copies"
import { A, Trouble } from "./parts"
import { End } from "./readiness"
import { Side } from "./sessions"
import { Strip } from "./strip"
import { Table } from "./table"
import { count, of, shortID, zoneOf } from "./text"

interface Group {
  category: string
  group: string
  prefixes: string[]
}

const names = ["since", "until", "last", "vrf", "proposal"]

/** baseOf are the parameters of a page about a host or a group that its lists have. */
export function baseOf(params: URLSearchParams): URLSearchParams {
  const out = new URLSearchParams()
  for (const n of names) if (params.get(n)) out.set(n, params.get(n)!)
  return out
}

export function GroupPage({ name }: { name: string }) {
  const { params } = useAddress()
  const base = baseOf(params)
  const groups = useAnswer<{ groups: Group[] }>("/api/v1/groups")
  // Where two categories have a group of one name, both are called with the category.
  const members = groups.data?.groups.filter((g) => g.group === name || `${g.category}/${g.group}` === name) ?? []
  const end = "group:" + name
  return (
    <>
      <h1>Group {name}</h1>
      {groups.error && <Trouble error={groups.error} />}
      {groups.data && members.length === 0 && <p class="empty">The groups file that was used last has no group of this name. <A to="/matrix">The matrix has those that talk</A></p>}
      {members.map((g) => <p key={g.category}>{g.category}: {g.prefixes.slice(0, 50).map((p, i) => <span key={p}>{i > 0 && ", "}<End label={/[:/]/.test(p) && !/\/(32|128)$/.test(p) ? p : "ip:" + p} /></span>)}{g.prefixes.length > 50 ? ` and ${count(g.prefixes.length - 50)} more` : ""}.</p>)}
      <RulesOf ends={[end]} base={base} />
      <Peers label={end} base={base} />
      <Active host={end} base={base} />
      <Side title="Whom it uses" name="client" address={end} base={base} params={params} />
      <Side title="Who uses it" name="server" address={end} base={base} params={params} />
      <About end={end} base={base} />
    </>
  )
}

/** About are the copies of a page about a host or a group. */
export function About({ end, base }: { end: string; base: URLSearchParams }) {
  const query = withParams(base, { host: end, proposal: null })
  const command = ["sessions"]
  for (const [n, v] of query) command.push("--" + n, v)
  return <Copies command={command} api={link("/api/v1/sessions", query)} sql={link("/api/v1/sessions", withParams(query, { format: "sql" }))} csv={link("/api/v1/sessions", withParams(query, { format: "csv" }))} name="sessions" />
}

/** Active shows in which hours the sessions of a host or group were seen. */
export function Active({ host, base }: { host: string; base: URLSearchParams }) {
  const { params } = useAddress()
  const { data, error } = useAnswer<{ hours: { hour: string; sessions: number }[] }>(link("/api/v1/hours", withParams(base, { host, proposal: null })))
  if (error) return <Trouble error={error} />
  return data ? <Strip label="Sessions by hour" hours={data.hours.map((h) => ({ hour: h.hour, n: h.sessions }))} zone={zoneOf(params)} /> : null
}

/** Peers sums up which groups a group talks to, as the matrix has it. */
function Peers({ label, base }: { label: string; base: URLSearchParams }) {
  const query = new URLSearchParams()
  for (const n of ["proposal", "vrf"]) if (base.get(n)) query.set(n, base.get(n)!)
  const { data: m } = useAnswer<MatrixData>(link("/api/v1/matrix", query))
  if (!m) return null
  const cells = m.cells.filter((c) => m.rows[c.row] === label || m.columns[c.column] === label)
  return (
    <>
      <h2>With which groups</h2>
      <Table label="With which groups" rows={cells} columns={[
        ["Clients", false, (c) => <End label={m.rows[c.row]!} />],
        ["Servers", false, (c) => <End label={m.columns[c.column]!} />],
        ["Sessions", true, (c) => <A to={link("/matrix", withParams(query, { source: m.rows[c.row]!, destination: m.columns[c.column]! }))}>{count(c.sessions)}</A>],
        ["In rules", true, (c) => count(c.included)],
        ["Services", true, (c) => count(c.services)],
      ]} />
    </>
  )
}

/** RulesOf lists the rules of the newest proposal, or the one asked for, that name one of some ends. */
export function RulesOf({ ends, base }: { ends: string[]; base: URLSearchParams }) {
  const stored = useAnswer<{ proposals: Stored[] }>(base.get("proposal") ? null : "/api/v1/proposals?limit=1")
  const newest = stored.data?.proposals[0]?.id
  const id = base.get("proposal") ?? (newest ? shortID(newest) : "")
  const { data: p } = useAnswer<Proposal>(id ? `/api/v1/proposals/${id}` : null)
  if (!p) return null
  const with_ = p.rules.filter((r) => [...r.sources, ...r.destinations].some((e) => ends.includes(e)))
  return (
    <>
      <h2>Rules of proposal <A to={"/proposals/" + id}>{id}</A> that name it</h2>
      {with_.length === 0 ? <p>None.</p> : <ul>{with_.map((r) => <li key={r.id}><A to={`/proposals/${id}?rule=${r.id}`}>{r.name}</A>, {of(r.evidence.sessions, "session")}{ends.some((e) => r.sources.includes(e)) ? ", as client" : ""}{ends.some((e) => r.destinations.includes(e)) ? ", as server" : ""}</li>)}</ul>}
    </>
  )
}
