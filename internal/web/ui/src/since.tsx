// Since the proposal: what no rule permits, rules without traffic, and what two proposals permit that the other does not.
import { change, link, useAddress, withParams } from "./address"
import { useAnswer, type Proposal, type Stored } from "./api"
import { Copies } from "./copies"
import { A, Busy, Trouble } from "./parts"
import { cellColumns, cellRows, simulateFlags, type Simulation } from "./simulate"
import { Table } from "./table"
import { count, end, moment, of, shortID, zoneOf } from "./text"

interface Permission {
  sources: string[]
  destinations: string[]
  services: string[]
  rule: string
}

interface Difference {
  from: string
  to: string
  lost: Permission[]
  gained: Permission[]
  rules: { unchanged: number; removed: string[]; added: string[]; renamed: { from: string; to: string }[] }
}

export function SincePage() {
  const { params } = useAddress()
  const stored = useAnswer<{ proposals: Stored[] }>("/api/v1/proposals?limit=100")
  const list = stored.data?.proposals ?? []
  const newest = list[0]
  const id = params.get("proposal") ?? (newest ? shortID(newest.id) : "")
  return (
    <>
      <h1>Since the proposal</h1>
      {stored.error && <Trouble error={stored.error} />}
      {stored.data && !newest && <p class="empty">No proposal is stored, so nothing can be since. <A to="/generate">Generate one</A>.</p>}
      {id && stored.data && <Since id={id} list={list} key={id} />}
    </>
  )
}

function Since({ id, list }: { id: string; list: Stored[] }) {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const { data: proposal, error: missing } = useAnswer<Proposal>(`/api/v1/proposals/${encodeURIComponent(id)}`)
  const asked = new URLSearchParams()
  for (const n of ["since", "until", "tz"]) if (params.get(n)) asked.set(n, params.get(n)!)
  const path = link(`/api/v1/proposals/${encodeURIComponent(id)}/drift`, asked)
  const { data, error, busy } = useAnswer<Simulation>(path)
  const since = params.get("since") ?? proposal?.window.to ?? ""
  const command = simulateFlags(withParams(asked, { policy: id, vrf: proposal?.vrf ?? null, since }))
  const other = params.get("with")
  const broken = data?.cells.filter((c) => c.sessions > 0 && c.decision !== "permit") ?? []
  const attempts = data?.rules.filter((r) => r.attempts > 0 && r.action === "allow") ?? []
  const unused = data?.rules.filter((r) => r.id && r.sessions === 0) ?? []
  return (
    <>
      <form class="controls" onSubmit={(e) => e.preventDefault()}>
        <label>Proposal
          <select name="proposal" value={id} onChange={(e) => change({ proposal: e.currentTarget.value, since: null, with: null })}>
            {!list.some((p) => shortID(p.id) === id) && <option value={id}>{id}</option>}
            {list.map((p) => <option key={p.id} value={shortID(p.id)}>{shortID(p.id)}, {of(p.rules, "rule")}</option>)}
          </select>
        </label>
        <label>Since<input name="since" key={since} defaultValue={since} onChange={(e) => change({ since: e.currentTarget.value.trim() || null })} autoComplete="off" spellcheck={false} /></label>
        <label>Differs from
          <select name="with" value={other ?? ""} onChange={(e) => change({ with: e.currentTarget.value })}>
            <option value="">choose another proposal</option>
            {list.filter((p) => shortID(p.id) !== id).map((p) => <option key={p.id} value={shortID(p.id)}>{shortID(p.id)}, {of(p.rules, "rule")}</option>)}
          </select>
        </label>
      </form>
      {missing && <Trouble error={missing} />}
      {error && error.message !== missing?.message && <Trouble error={error} />}
      {!data && busy && <Busy what="Replaying the sessions since" />}
      {data && (
        <>
          <p class="head">
            <A to={`/proposals/${id}`}>Proposal {id}</A> on the sessions seen since {moment(since, zone)} {zone}: <span data-count="sessions">{count(data.summary.sessions)}</span> sessions, <span data-count="permitted">{count(data.summary.permitted)}</span> of them permitted, <span data-count="denied">{count(data.summary.denied + data.summary.answersDenied)}</span> not. <A to={link("/simulate", withParams(asked, { policy: id, since }))}>Simulate</A>
          </p>
          {data.summary.sessions === 0 && <p class="empty">No session was seen since. <A to={link("/since", withParams(params, { since: proposal?.window.from ?? null }))}>Look at the proposal's own window</A></p>}
          <h2>Sessions that no rule permits</h2>
          <Table label="Sessions that no rule permits" rows={broken} columns={cellColumns(zone, (c) => link("/sessions", withParams(asked, { proposal: null, since, vrf: c.vrf, source: null, client: endFlag(c.source), server: endFlag(c.destination), service: c.service })))} />
          <h2>Rules without traffic</h2>
          {unused.length === 0 ? <p>Every rule has had a session.</p> : <ul data-list="unused">{unused.map((r) => <li key={r.id}><A to={`/proposals/${id}?rule=${r.id}`}>{r.name}</A></li>)}</ul>}
          <h2>Half-open and denied within what is permitted</h2>
          <Table label="Attempts" rows={attempts} columns={[
            ["Rule", false, (r) => <A to={`/proposals/${id}?rule=${r.id}`}>{r.name}</A>],
            ["Attempts", true, (r) => count(r.attempts)],
            ["Sessions", true, (r) => count(r.sessions)],
          ]} />
        </>
      )}
      {other && <Differ id={id} other={other} />}
      <Copies command={other ? ["proposals", "diff", id, other] : command} api={other ? `/api/v1/proposals/${id}/diff/${other}` : path} csv={() => cellRows(data?.cells ?? [])} name="since"
        sql={link("/api/v1/sessions", withParams(new URLSearchParams(), { since, vrf: proposal?.vrf ?? null, format: "sql" }))} />
    </>
  )
}

/** endFlag is an end as the commands take it; null for all others. */
function endFlag(label: string): string | null {
  if (label === "external" || label === "ungrouped") return null
  return label.startsWith("group:") || /[.:]/.test(label) ? label : "group:" + label
}

function Differ({ id, other }: { id: string; other: string }) {
  const { data, error } = useAnswer<Difference>(`/api/v1/proposals/${encodeURIComponent(id)}/diff/${encodeURIComponent(other)}`)
  return (
    <section>
      <h2>From {id} to {other}</h2>
      {error && <Trouble error={error} />}
      {!data && !error && <Busy what="Comparing what they permit" />}
      {data && (
        <>
          <p><span data-count="lost">{count(data.lost.length)}</span> permissions lost, <span data-count="gained">{count(data.gained.length)}</span> gained; {of(data.rules.unchanged, "rule")} unchanged.</p>
          <h3>Lost</h3>
          <Permissions label="Lost" list={data.lost} />
          <h3>Gained</h3>
          <Permissions label="Gained" list={data.gained} />
          {([["Removed", data.rules.removed], ["Added", data.rules.added], ["Renamed", data.rules.renamed.map((r) => `${r.from}, now ${r.to}`)]] as const).map(([title, names]) => names.length > 0 && <div key={title}><h3>{title} rules</h3><ul>{names.map((n) => <li key={n}>{n}</li>)}</ul></div>)}
        </>
      )}
    </section>
  )
}

const Permissions = ({ label, list }: { label: string; list: Permission[] }) => (
  <Table label={label} most={500} rows={list} columns={[
    ["Sources", false, (p) => p.sources.map(end).join(", ")],
    ["Destinations", false, (p) => p.destinations.map(end).join(", ")],
    ["Services", false, (p) => p.services.join(", ")],
    ["Rule", false, (p) => p.rule],
  ]} />
)
