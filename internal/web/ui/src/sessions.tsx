// Lists of sessions, and what one host does.
import type { TargetedSubmitEvent } from "preact"
import { change, link, useAddress, withParams } from "./address"
import { useAnswer, type Proposal, type Session, type SessionPage } from "./api"
import { Copies } from "./copies"
import { About, Active, baseOf, RulesOf } from "./group"
import { A, Busy, Empty, Trouble } from "./parts"
import { bytes, count, moment, of, shortID, zoneOf } from "./text"

/** The parameters that the API has, and those that `cordon sessions` has as flags. */
const asked = ["client", "server", "host", "exporter", "service", "vrf", "state", "since", "until", "last", "tz", "new", "new-since", "proposal", "rule", "reason", "source", "destination", "sort", "after", "limit"]
const flags = ["client", "server", "host", "exporter", "service", "vrf", "state", "since", "until", "last", "new", "new-since", "reason", "proposal", "sort"]

export function sessionsPath(params: URLSearchParams): string {
  const out = new URLSearchParams()
  for (const name of asked) for (const v of params.getAll(name)) if (v) out.append(name, v)
  return link("/api/v1/sessions", out)
}

/** command is the same list on a terminal. A cell of the matrix is asked for by the ends it stands for. */
export function command(params: URLSearchParams): string[] {
  const rule = params.get("rule")
  if (rule && params.get("proposal")) return ["proposals", "show", params.get("proposal")!, "--evidence", "--rule", rule]
  const out = ["sessions"]
  for (const name of flags) {
    if (name === "proposal" && !params.has("reason")) continue
    for (const v of params.getAll(name)) if (v) out.push(`--${name}${name === "reason" ? "=" : " "}${v}`)
  }
  for (const [name, flag] of [["source", "client"], ["destination", "server"]] as const) {
    const label = params.get(name)
    if (label?.startsWith("group:")) out.push(`--${flag} ${label}`)
    else if (label?.startsWith("ip:")) out.push(`--${flag} ${label.slice(3)}`)
  }
  return out.flatMap((w, i) => (i > 0 && w.includes(" ") ? [w.slice(0, w.indexOf(" ")), w.slice(w.indexOf(" ") + 1)] : [w]))
}

const fields = [
  ["client", "Client", "10.0.0.1, 10.0.0.0/24 or group:web"],
  ["server", "Server", ""],
  ["host", "Either end", ""],
  ["service", "Service", "tcp/443 or https"],
  ["last", "In the last", "24h or 7d"],
  ["since", "Since", "2026-11-20T08:00Z"],
  ["until", "Until", ""],
] as const

export function SessionsPage() {
  const { params } = useAddress()
  const path = sessionsPath(params)
  const { data, error, busy } = useAnswer<SessionPage>(path)
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    const changes: Record<string, string | null> = { after: null }
    for (const [name] of fields) changes[name] = String(form.get(name) ?? "").trim() || null
    changes["state"] = String(form.get("state") ?? "") || null
    change(changes)
  }
  const csv = path + (path.includes("?") ? "&" : "?") + "format=csv"
  return (
    <>
      <h1>Sessions</h1>
      <form class="controls" onSubmit={submit} key={params.toString()}>
        {fields.map(([name, label, hint]) => (
          <label key={name}>
            {label}
            <input name={name} defaultValue={params.getAll(name).join(",")} placeholder={hint} autoComplete="off" spellcheck={false} />
          </label>
        ))}
        <label>
          State
          <select name="state" defaultValue={params.get("state") ?? ""}>
            {["", "complete", "half-open", "denied"].map((s) => <option key={s} value={s} selected={s === (params.get("state") ?? "")}>{s || "any"}</option>)}
          </select>
        </label>
        <button type="submit">Show</button>
      </form>
      <Selected params={params} />
      {error && <Trouble error={error} />}
      {!data && busy && <Busy what="Reading sessions" />}
      {data && data.total === 0 && <Empty params={params} />}
      {data && data.total > 0 && (
        <>
          <p class="head">
            <span data-count="sessions">{count(data.total)}</span> sessions, <span data-count="flows">{count(data.flows)}</span> flows, {bytes(data.bytes)}. Read at {moment(data.made, zoneOf(params))} {zoneOf(params)}.{" "}
            <a href={csv} download="sessions.csv">CSV of all</a>
          </p>
          <SessionTable page={data} params={params} />
        </>
      )}
      <Copies command={command(params)} api={path} sql={path + (path.includes("?") ? "&" : "?") + "format=sql"} csv={csv} name="sessions" />
    </>
  )
}

/** Selected shows what is asked for beside the form, each to be taken away. */
function Selected({ params }: { params: URLSearchParams }) {
  const names = ["proposal", "rule", "reason", "source", "destination", "exporter", "vrf", "new", "new-since"].filter((n) => params.has(n))
  if (names.length === 0) return null
  return (
    <ul class="chips" aria-label="Also asked for">
      {names.map((n) => (
        <li key={n}>
          {n} {params.getAll(n).join(", ")} <button class="plain" onClick={() => change({ [n]: null, after: null })} aria-label={`without ${n}`}>×</button>
        </li>
      ))}
    </ul>
  )
}

const columns: [string, string, boolean][] = [
  ["client", "Client", false], ["server", "Server", false], ["service", "Service", false], ["", "State", false],
  ["flows", "Flows", true], ["packets", "Packets", true], ["bytes", "Bytes", true], ["first_seen", "First seen", false], ["last_seen", "Last seen", false],
]

export function SessionTable({ page, params, sortable = true, label = "Sessions" }: { page: SessionPage; params: URLSearchParams; sortable?: boolean; label?: string }) {
  const zone = zoneOf(params)
  const id = page.proposal ? shortID(page.proposal) : ""
  const { data: proposal } = useAnswer<Proposal>(id ? `/api/v1/proposals/${id}` : null)
  const sort = params.get("sort") ?? "-last_seen"
  const judged = page.sessions.some((s) => s.rules || s.reason !== undefined)
  const next = page.next
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label={label}>
        <table>
          <thead>
            <tr>
              {columns.map(([name, title, number]) => {
                const on = sort.replace("-", "") === name
                const down = sort.startsWith("-")
                return (
                  <th key={title} class={number ? "number" : ""} aria-sort={on && sortable ? (down ? "descending" : "ascending") : undefined}>
                    {name && sortable ? <button class="plain" onClick={() => change({ sort: on && down ? "+" + name : "-" + name, after: null })}>{title}{on ? (down ? " ↓" : " ↑") : ""}</button> : title}
                  </th>
                )
              })}
              <th>Direction by</th>
              {judged && <th>Rules, or why in none</th>}
            </tr>
          </thead>
          <tbody>
            {page.sessions.map((s) => (
              <tr key={s.vrf + s.client + s.server + s.service}>
                <td><Host address={s.client} /></td>
                <td><Host address={s.server} /></td>
                <td>{s.service}</td>
                <td><span class={"state " + s.state}>{s.state}</span></td>
                <td class="number">{count(s.flows)}</td>
                <td class="number">{count(s.packets)}</td>
                <td class="number">{count(s.bytes)}</td>
                <td class="time">{moment(s.first_seen, zone)}</td>
                <td class="time">{moment(s.last_seen, zone)}</td>
                <td>{s.direction_basis}</td>
                {judged && <td><Judgement s={s} id={id} proposal={proposal} /></td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {next && sortable && <p><A to={link(location.pathname, withParams(params, { after: next }))}>Next {of(page.sessions.length, "session")}</A></p>}
    </>
  )
}

export const Host = ({ address }: { address: string }) => <A to={`/host/${encodeURIComponent(address)}`}>{address}</A>

function Judgement({ s, id, proposal }: { s: Session; id: string; proposal?: Proposal }) {
  if (s.reason) return <>{s.reason}{s.note ? `: ${s.note}` : ""}</>
  const rules = s.rules ?? []
  return (
    <>
      {rules.map((i, n) => {
        const r = proposal?.rules[i]
        return <span key={i}>{n > 0 && ", "}{r ? <A to={`/proposals/${id}?rule=${r.id}`}>{r.name}</A> : `rule ${i + 1}`}</span>
      })}
    </>
  )
}

export function HostPage({ address }: { address: string }) {
  const { params } = useAddress()
  const base = baseOf(params)
  return (
    <>
      <h1>Host {address}</h1>
      <RulesOf ends={[`ip:${address}/${address.includes(":") ? 128 : 32}`]} base={base} />
      <Active host={address} base={base} />
      <Side title="Whom it uses" name="client" address={address} base={base} params={params} />
      <Side title="Who uses it" name="server" address={address} base={base} params={params} />
      <About end={address} base={base} />
    </>
  )
}

/** Side lists the sessions of a host or group at one end. */
export function Side({ title, name, address, base, params }: { title: string; name: string; address: string; base: URLSearchParams; params: URLSearchParams }) {
  const proposals = useAnswer<{ proposals: { id: string }[] }>(base.has("proposal") ? null : "/api/v1/proposals?limit=1")
  const newest = proposals.data?.proposals[0]?.id
  const ready = base.has("proposal") || proposals.data
  const query = withParams(base, { [name]: address, ...(newest ? { proposal: shortID(newest) } : {}), limit: "200" })
  const { data, error } = useAnswer<SessionPage>(ready ? link("/api/v1/sessions", query) : null)
  return (
    <section>
      <h2>{title}</h2>
      {error && <Trouble error={error} />}
      {!data && !error && <Busy what="Reading sessions" />}
      {data && data.total === 0 && <p>No session.</p>}
      {data && data.total > 0 && (
        <>
          <p><span data-count={name}>{count(data.total)}</span> sessions. <A to={link("/sessions", withParams(base, { [name]: address }))}>All of them, with filters</A></p>
          <SessionTable page={data} params={params} sortable={false} label={"Sessions: " + title.toLowerCase()} />
        </>
      )}
    </section>
  )
}
