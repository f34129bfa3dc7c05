// What a proposal would have done to the sessions, as `cordon simulate` says.
import type { TargetedSubmitEvent } from "preact"
import { useState } from "preact/hooks"
import { change, link, useAddress, withParams } from "./address"
import { Problem, useAnswer, type Proposal, type SessionPage, type Stored } from "./api"
import { Copies } from "./copies"
import { give, isGiven, Paper, useGiven, type Draft } from "./give"
import { A, Busy, Trouble } from "./parts"
import { End } from "./readiness"
import { SessionTable } from "./sessions"
import { Table, type Column } from "./table"
import { count, moment, of, shortID, zoneOf } from "./text"

export interface Counted {
  sessions: number
  attempts: number
  flows: number
  bytes: number
  firstSeen?: string
  lastSeen?: string
  examples?: { source: string; destination: string; service: string }[]
}

interface Changed {
  nowPermitted: number
  nowDenied: number
  nowUncertain: number
  attemptsNowPermitted: number
  attemptsNowDenied: number
  attemptsNowUncertain: number
}

export interface SimulatedCell extends Counted {
  vrf: string
  source: string
  destination: string
  service: string
  decision: string
  rule: string
  before?: string
  ruleBefore?: string
}

export interface Simulation {
  policy: string
  against?: string
  without?: string[]
  window: { from: string; to: string }
  summary: {
    sessions: number
    permitted: number
    denied: number
    answersDenied: number
    uncertain: number
    attemptsPermitted: number
    attemptsDenied: number
    attemptsUncertain?: number
    notJudged?: number
  }
  changed?: Changed
  rules: (Counted & { name: string; id?: string; action: string; answersDenied?: number; uncertain?: number })[]
  hosts: (Counted & { address: string; role: string; decision: string; rule: string; peers: number; services: string[] })[]
  cells: SimulatedCell[]
  each?: { rule: string; id?: string; changed: Changed; denied: Counted; permitted: Counted; elsewhere: number }[]
}

const names = ["policy", "against", "without", "each", "category", "since", "until", "last", "tz", "vrf", "client", "server", "host", "exporter", "default"]
const comes = (d?: string): string | undefined => (d === "answers-denied" ? "deny" : d)

export const simulatePath = (params: URLSearchParams, path = "/api/v1/simulate", more: Record<string, string | null> = {}): string => {
  const out = new URLSearchParams()
  for (const n of names) for (const v of params.getAll(n)) if (v) out.append(n, v)
  return link(path, withParams(out, more))
}

/** flags are the arguments of the command. */
export function simulateFlags(params: URLSearchParams): string[] {
  const out = ["simulate"]
  for (const n of names) for (const v of params.getAll(n)) if (v) out.push(...(n === "each" ? ["--each"] : ["--" + n, v]))
  return out
}

/** cellColumns show cells that a policy decides. */
export function cellColumns(zone: string, list?: (c: SimulatedCell) => string): Column<SimulatedCell>[] {
  return [
    ["Clients", false, (c) => <End label={c.source} />],
    ["Servers", false, (c) => <End label={c.destination} />],
    ["Service", false, (c) => c.service],
    ["Sessions", true, (c) => (list ? <A to={list(c)}>{count(c.sessions)}</A> : count(c.sessions))],
    ["Attempts", true, (c) => count(c.attempts)],
    ["Decision", false, (c) => c.decision],
    ["Rule", false, (c) => c.rule],
    ["Before", false, (c) => (c.before ? `${c.before} (${c.ruleBefore})` : "")],
    [`Last seen (${zone})`, false, (c) => moment(c.lastSeen, zone)],
    ["Example", false, (c) => { const e = c.examples?.[0]; return e ? `${e.source} → ${e.destination} ${e.service}` : "" }],
  ]
}

export const cellRows = (cells: SimulatedCell[]) => [
  ["vrf", "decision", "rule", "before", "rule_before", "source", "destination", "service", "sessions", "attempts", "first_seen", "last_seen"],
  ...cells.map((c) => [c.vrf, c.decision, c.rule, c.before ?? "", c.ruleBefore ?? "", c.source, c.destination, c.service, c.sessions, c.attempts, c.firstSeen ?? "", c.lastSeen ?? ""]),
]

export function SimulatePage() {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const stored = useAnswer<{ proposals: Stored[] }>("/api/v1/proposals?limit=100")
  const newest = stored.data?.proposals[0]
  const policy = params.get("policy") ?? (newest ? shortID(newest.id) : "")
  const asked = withParams(params, { policy })
  const path = policy ? simulatePath(asked) : null
  const { data, error, busy } = useAnswer<Simulation>(path)
  const [tried, other] = [useGiven(policy), useGiven(params.get("against"))]
  const command = withParams(asked, { policy: tried.name ?? policy, against: other.name ?? params.get("against") })
  return (
    <>
      <h1>Simulate</h1>
      {stored.data && stored.data.proposals.length === 0 && <p class="empty">No proposal is stored. <A to="/generate">Generate one</A>, or give a configuration.</p>}
      {stored.data && <Form stored={stored.data.proposals} policy={policy} rules={data?.rules} names={{ [policy]: tried.name, [params.get("against") ?? ""]: other.name }} />}
      {stored.data && <Give />}
      {error && <Trouble error={error} />}
      {path && !data && busy && <Busy what="Replaying the sessions" />}
      {data && <Outcome r={data} zone={zone} asked={asked} />}
      {path && params.get("list") && <Listed asked={asked} />}
      {path && <Copies command={simulateFlags(command)} api={path} csv={simulatePath(asked, "/api/v1/simulate", { format: "csv" })} name="simulation"
        sql={link("/api/v1/sessions", withParams(scopeOf(asked), { format: "sql" }))} />}
    </>
  )
}

/** scopeOf are the parameters of the sessions that are replayed. */
function scopeOf(params: URLSearchParams): URLSearchParams {
  const out = new URLSearchParams()
  for (const n of ["since", "until", "last", "tz", "vrf", "client", "server", "host", "exporter"]) for (const v of params.getAll(n)) if (v) out.append(n, v)
  return out
}

/** Give takes the configuration of a device, or a policy, to try or to compare with. It stays in the server's memory. */
function Give() {
  const [draft, setDraft] = useState<Draft>({ text: "", name: "switch.cfg" })
  const [wrong, setWrong] = useState<Problem | undefined>()
  const send = (as: "policy" | "against") => {
    setWrong(undefined)
    give(draft.text, draft.name).then(
      (made) => change({ [as]: made.upload, without: null, each: null, list: null, changed: null, decision: null, after: null }),
      (error) => setWrong(error instanceof Problem ? error : new Problem(0, "The server does not answer.")),
    )
  }
  return (
    <details class="give">
      <summary>Try a device's configuration</summary>
      <Paper name="configuration" label="Running-config of Arista EOS, or a policy as YAML or JSON" hint="traffic-policies&#10;   traffic-policy cordon&#10;      match web ipv4&#10;…" draft={draft} onChange={setDraft} />
      {wrong && <Trouble error={wrong} />}
      <p class="controls">
        <button type="button" disabled={draft.text.trim() === ""} onClick={() => send("policy")}>Try it</button>
        <button type="button" disabled={draft.text.trim() === ""} onClick={() => send("against")}>Compare with it</button>
        <span class="note">It is kept in the memory of the server until that stops, and written nowhere.</span>
      </p>
    </details>
  )
}

interface FormProps {
  stored: Stored[]
  policy: string
  /** The rules of the policy as it was replayed. */
  rules?: { name: string; id?: string }[]
  /** Names of files that were given. */
  names: Record<string, string | undefined>
}

function Form({ stored, policy, rules, names }: FormProps) {
  const { params } = useAddress()
  const { data: proposal } = useAnswer<Proposal>(policy && !isGiven(policy) ? `/api/v1/proposals/${policy}` : null)
  const known = (id: string) => stored.some((p) => shortID(p.id) === id)
  const against = params.get("against") ?? ""
  const removable = proposal?.rules ?? rules?.filter((r) => r.name !== "default").map((r) => ({ id: r.id ?? r.name, name: r.name })) ?? []
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    change({ list: null, changed: null, after: null, ...Object.fromEntries(["policy", "against", "without", "last", "since", "until"].map((n) => [n, String(form.get(n) ?? "").trim() || null])), each: form.get("each") ? "true" : null })
  }
  return (
    <form class="controls" onSubmit={submit} key={params.toString() + policy}>
      <label>Try
        <select name="policy">
          {policy && !known(policy) && <option value={policy} selected>{names[policy] ?? policy}</option>}
          {stored.map((p) => <option key={p.id} value={shortID(p.id)} selected={shortID(p.id) === policy}>{shortID(p.id)}, {of(p.rules, "rule")}</option>)}
        </select>
      </label>
      <label>Compare with
        <select name="against">
          <option value="">those in force</option>
          {against && !known(against) && <option value={against} selected>{names[against] ?? against}</option>}
          {stored.map((p) => <option key={p.id} value={shortID(p.id)} selected={shortID(p.id) === against}>{shortID(p.id)}, {of(p.rules, "rule")}</option>)}
        </select>
      </label>
      <label>Without
        <select name="without">
          <option value="">all rules stay</option>
          {removable.map((r) => <option key={r.id} value={r.id} selected={r.id === params.get("without") || r.name === params.get("without")}>{r.name}</option>)}
        </select>
      </label>
      {[["last", "In the last"], ["since", "Since"], ["until", "Until"]].map(([n, label]) => (
        <label key={n}>{label}<input name={n} defaultValue={params.get(n!) ?? ""} autoComplete="off" spellcheck={false} /></label>
      ))}
      <label><input type="checkbox" name="each" defaultChecked={params.get("each") === "true"} /> Each rule in turn</label>
      <button type="submit">Replay</button>
    </form>
  )
}

function Outcome({ r, zone, asked }: { r: Simulation; zone: string; asked: URLSearchParams }) {
  const s = r.summary
  const changedCells = r.cells.filter((c) => c.before && comes(c.before) !== comes(c.decision))
  const stopped = r.cells.filter((c) => comes(c.decision) === "deny")
  const list = (changes: Record<string, string | null>) => link(location.pathname, withParams(asked, { list: "sessions", after: null, decision: null, changed: null, ...changes }))
  return (
    <>
      <p class="head">
        Policy {r.policy}{r.without?.length ? ` without ${r.without.join(", ")}` : ""}{r.against ? `, compared with ${r.against}` : ""}; {moment(r.window.from, zone)} to {moment(r.window.to, zone)} {zone}.
      </p>
      <p>
        <span data-count="sessions">{count(s.sessions)}</span> sessions: <span data-count="permitted">{count(s.permitted)}</span> permitted,{" "}
        <A to={list({ decision: "deny" })}><span data-count="denied">{count(s.denied)}</span> denied</A>, <span data-count="answers-denied">{count(s.answersDenied)}</span> with answers denied, <span data-count="uncertain">{count(s.uncertain)}</span> uncertain.
      </p>
      <p>{count(s.attemptsPermitted + s.attemptsDenied + (s.attemptsUncertain ?? 0))} attempts, half-open or denied when they were seen: {count(s.attemptsPermitted)} let through, {count(s.attemptsDenied)} stopped. One that is let through is no break.</p>
      {s.notJudged ? <p>{count(s.notJudged)} sessions are of VRFs that the policy is not for.</p> : null}
      {r.changed && (
        <p>
          Changed: <A to={list({ changed: "true" })}><span data-count="now-denied">{count(r.changed.nowDenied)}</span> sessions now denied, <span data-count="now-permitted">{count(r.changed.nowPermitted)}</span> now permitted</A>; of attempts {count(r.changed.attemptsNowDenied)} and {count(r.changed.attemptsNowPermitted)}.
        </p>
      )}
      {r.each && (
        <>
          <h2>What changes where one rule goes</h2>
          <Table label="What changes where one rule goes" most={1000} rows={r.each} columns={[
            ["Rule", false, (m) => <A to={link(location.pathname, withParams(asked, { each: null, without: m.id ?? m.rule }))}>{m.rule}</A>],
            ["Now denied", true, (m) => count(m.changed.nowDenied)],
            ["Now permitted", true, (m) => count(m.changed.nowPermitted)],
            ["Attempts denied", true, (m) => count(m.changed.attemptsNowDenied)],
            ["Others decide alike", true, (m) => count(m.elsewhere)],
          ]} />
        </>
      )}
      {r.against && <><h2>Decided otherwise than before</h2><Table label="Decided otherwise" rows={changedCells} columns={cellColumns(zone)} /></>}
      <h2>What the policy stops</h2>
      <Table label="What the policy stops" rows={stopped} columns={cellColumns(zone)} />
      <h2>What each rule decides</h2>
      <Table label="What each rule decides" most={1000} rows={r.rules} columns={[
        ["Rule", false, (u) => u.name],
        ["Action", false, (u) => u.action],
        ["Sessions", true, (u) => count(u.sessions)],
        ["Attempts", true, (u) => count(u.attempts)],
        ["Answers denied", true, (u) => count(u.answersDenied ?? 0)],
        [`Last seen (${zone})`, false, (u) => moment(u.lastSeen, zone)],
      ]} />
      <h2>Hosts with something stopped</h2>
      <Table label="Hosts" rows={r.hosts.filter((h) => h.decision !== "permit")} columns={[
        ["Host", false, (h) => <A to={"/host/" + encodeURIComponent(h.address)}>{h.address}</A>],
        ["As", false, (h) => h.role],
        ["Sessions", true, (h) => count(h.sessions)],
        ["Attempts", true, (h) => count(h.attempts)],
        ["Peers", true, (h) => count(h.peers)],
        ["Services", false, (h) => h.services.join(" ")],
        ["Rule", false, (h) => h.rule],
      ]} />
    </>
  )
}

/** Listed are the single sessions behind a number. */
function Listed({ asked }: { asked: URLSearchParams }) {
  const path = simulatePath(asked, "/api/v1/simulate/sessions", { decision: asked.get("decision"), changed: asked.get("changed"), after: asked.get("after"), sort: asked.get("sort") })
  const { data, error } = useAnswer<SessionPage>(path)
  return (
    <section>
      <h2>Sessions</h2>
      {error && <Trouble error={error} />}
      {!data && !error && <Busy what="Deciding each session" />}
      {data && <p>{count(data.total)} sessions and attempts. <a href={link(path.split("?")[0]!, withParams(new URLSearchParams(path.split("?")[1]), { format: "csv", after: null }))} download="simulated.csv">CSV of all</a></p>}
      {data && data.total > 0 && <SessionTable page={data} params={asked} />}
    </section>
  )
}
