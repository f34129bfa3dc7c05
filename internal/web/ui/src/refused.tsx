// Half-open and denied sessions: who scans, what does not answer, and what answers some and refuses others.
import type { TargetedSubmitEvent } from "preact"
import { useRef } from "preact/hooks"
import { change, link, useAddress, withParams } from "./address"
import { useAnswer } from "./api"
import { Copies, drawn } from "./copies"
import { A, Busy, Empty, Trouble } from "./parts"
import { Host } from "./sessions"
import { Strip } from "./strip"
import { Table, type Column } from "./table"
import { count, moment, zoneOf } from "./text"

interface Refusal {
  host: string
  sessions: number
  halfOpen: number
  denied: number
  answered: number
  peers: number
  services: number
  targets: number
  firstSeen: string
  lastSeen: string
}

interface Page {
  halfOpen: number
  denied: number
  clients: Refusal[]
  servers: Refusal[]
  splits: { server: string; service: string; refused: number; answered: number }[]
  hours: { hour: string; halfOpen: number; denied: number }[]
  made: string
}

const names = ["client", "server", "host", "exporter", "service", "vrf", "since", "until", "last", "tz", "new", "new-since"]
const states = ["half-open", "denied"]

export function RefusedPage() {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const query = new URLSearchParams()
  for (const n of names) for (const v of params.getAll(n)) if (v) query.append(n, v)
  const path = link("/api/v1/refused", query)
  const list = link("/sessions", withParams(query, { state: states }))
  const { data, error, busy } = useAnswer<Page>(path)
  const picture = useRef<HTMLDivElement>(null)
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    change(Object.fromEntries(["client", "server", "service", "last"].map((n) => [n, String(form.get(n) ?? "").trim() || null])))
  }
  const command = ["sessions", "--state", states.join(",")]
  for (const n of names) for (const v of query.getAll(n)) command.push("--" + n, v)
  return (
    <>
      <h1>Half-open and denied</h1>
      <form class="controls" onSubmit={submit} key={params.toString()}>
        {[["client", "Client"], ["server", "Server"], ["service", "Service"], ["last", "In the last"]].map(([name, label]) => (
          <label key={name}>{label}<input name={name} defaultValue={params.getAll(name!).join(",")} autoComplete="off" spellcheck={false} /></label>
        ))}
        <button type="submit">Show</button>
      </form>
      {error && <Trouble error={error} />}
      {!data && busy && <Busy what="Reading sessions" />}
      {data && data.halfOpen + data.denied === 0 && <Empty params={withParams(query, { state: states })} />}
      {data && data.halfOpen + data.denied > 0 && (
        <>
          <p class="head">
            <A to={link("/sessions", withParams(query, { state: "half-open" }))}><span data-count="half-open">{count(data.halfOpen)}</span> half-open</A> sessions, nobody answered; <span data-count="denied">{count(data.denied)}</span> denied, the network dropped them. <A to={list}>All of them</A>. Read at {moment(data.made, zone)} {zone}.
          </p>
          <div ref={picture}><Strip label="Refused sessions by the hour they were first seen in" hours={data.hours.map((h) => ({ hour: h.hour, n: h.halfOpen + h.denied }))} zone={zone} /></div>
          <h2>Clients</h2>
          <p class="note">A client that tries many servers and services, most of them in vain, scans.</p>
          <Table label="Clients" rows={data.clients} columns={columns("client", query, zone)} />
          <h2>Servers</h2>
          <Table label="Servers" rows={data.servers} columns={columns("server", query, zone)} />
          <h2>Refused to some, answered to others</h2>
          <Table label="Refused to some" rows={data.splits} columns={[
            ["Server", false, (s) => <Host address={s.server} />],
            ["Service", false, (s) => s.service],
            ["Clients refused", true, (s) => <A to={link("/sessions", withParams(query, { server: s.server, service: s.service, state: states }))}>{count(s.refused)}</A>],
            ["Clients answered", true, (s) => <A to={link("/sessions", withParams(query, { server: s.server, service: s.service, state: "complete" }))}>{count(s.answered)}</A>],
          ]} />
        </>
      )}
      <Copies command={command} api={link("/api/v1/sessions", withParams(query, { state: states, format: "csv" }))} sql={link("/api/v1/sessions", withParams(query, { state: states, format: "sql" }))}
        csv={link("/api/v1/sessions", withParams(query, { state: states, format: "csv" }))} picture={() => drawn(picture.current?.querySelector("svg") ?? null)} name="refused" />
    </>
  )
}

function columns(end: "client" | "server", query: URLSearchParams, zone: string): Column<Refusal>[] {
  const out: Column<Refusal>[] = [
    [end === "client" ? "Client" : "Server", false, (r) => <><Host address={r.host} /> {end === "client" && scans(r) && <span class="thin">scans</span>}</>],
    ["Refused", true, (r) => <A to={link("/sessions", withParams(query, { [end]: r.host, state: states }))}>{count(r.sessions)}</A>],
    ["Half-open", true, (r) => count(r.halfOpen)],
    ["Denied", true, (r) => count(r.denied)],
    ["Answered", true, (r) => count(r.answered)],
    [end === "client" ? "Servers" : "Clients", true, (r) => count(r.peers)],
    ["Services", true, (r) => count(r.services)],
    [`Last seen (${zone})`, false, (r) => moment(r.lastSeen, zone)],
  ]
  if (end === "client") out.splice(2, 0, ["Fan-out", true, (r) => <Fan n={r.targets} of={r.sessions} />])
  return out
}

/** scans is a client with many targets of which more than half refuse: the default of --exclude-scanners is as many. */
const scans = (r: Refusal): boolean => r.targets >= 100 && 2 * r.sessions > r.targets

/** Fan shows how many targets a client tried, and how many of them refused. */
function Fan({ n, of }: { n: number; of: number }) {
  const width = Math.min(120, 4 + 12 * Math.log2(1 + n))
  return (
    <>
      {count(n)} <svg class="fan" width={124} height={10} aria-hidden="true"><rect width={width} height={10} class="all" /><rect width={(width * Math.min(of, n)) / Math.max(1, n)} height={10} class="vain" /></svg>
    </>
  )
}
