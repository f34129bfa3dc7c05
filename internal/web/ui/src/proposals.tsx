// Proposals: the list, and one with its rules beside their boxes.
import type { TargetedSubmitEvent } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { change, go, link, useAddress, withParams } from "./address"
import { ask, Problem, useAnswer, type MatrixData, type PairPage, type Proposal, type Rule, type SessionPage, type Stored } from "./api"
import { Matrix, pictureOf } from "./matrix"
import { Copies } from "./copies"
import { A, Busy, Judging, Trouble } from "./parts"
import { useEvents } from "./events"
import { End } from "./readiness"
import { SessionTable, Host } from "./sessions"
import { count, end, moment, of, shortID, words, zoneOf } from "./text"

export function ProposalsPage() {
  const told = useEvents<{ proposals: Stored[] }>("proposals")
  const { data, error } = useAnswer<{ proposals: Stored[] }>("/api/v1/proposals?limit=100", 0, told?.proposals[0]?.id)
  return (
    <>
      <h1>Proposals</h1>
      {error && <Trouble error={error} />}
      {!data && !error && <Busy what="Reading proposals" />}
      {data && <ProposalList list={data.proposals} />}
      <Copies command={["proposals", "list", "--limit", "100"]} api="/api/v1/proposals?limit=100" name="proposals"
        sql="SELECT id, created, vrf, rules, lower_bound, optimal, cells, sessions, included FROM proposals ORDER BY created DESC LIMIT 100"
        csv={() => [["id", "created", "vrf", "rules", "lower_bound", "optimal", "cells", "sessions", "included"], ...(data?.proposals ?? []).map((p) => [p.id, p.created, p.vrf, p.rules, p.lowerBound, String(p.optimal), p.cells, p.sessions, p.included])]} />
    </>
  )
}

export function ProposalList({ list }: { list: Stored[] }) {
  const { params } = useAddress()
  const zone = zoneOf(params)
  if (list.length === 0) return <p class="empty">No proposal is stored. <A to="/generate">Generate one</A>.</p>
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Proposals">
      <table>
        <thead><tr><th>Id</th><th>Created ({zone})</th><th>VRF</th><th class="number">Rules</th><th>At least</th><th class="number">Sessions</th><th class="number">Included</th><th>Categories</th></tr></thead>
        <tbody>
          {list.map((p) => (
            <tr key={p.id}>
              <td><A to={`/proposals/${shortID(p.id)}`}>{shortID(p.id)}</A></td>
              <td class="time">{moment(p.created, zone)}</td>
              <td>{p.vrf}</td>
              <td class="number">{count(p.rules)}</td>
              <td>{p.optimal ? "minimal" : count(p.lowerBound)}</td>
              <td class="number">{count(p.sessions)}</td>
              <td class="number">{count(p.included)}</td>
              <td>{(p.categories ?? []).join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

export function ProposalPage({ id }: { id: string }) {
  const { params } = useAddress()
  const { data: p, error } = useAnswer<Proposal>(`/api/v1/proposals/${encodeURIComponent(id)}`)
  const rule = p?.rules.find((r) => r.id === params.get("rule") || r.name === params.get("rule"))
  return (
    <>
      <h1>Proposal {shortID(id)}</h1>
      {error && <Trouble error={error} />}
      {error?.status === 404 && <ProposalsPage />}
      {!p && !error && <Busy what="Reading the proposal" />}
      {p && <Content p={p} rule={rule} />}
      <Copies
        name={"proposal-" + shortID(id)}
        sql={rule ? `/api/v1/proposals/${shortID(id)}/rules/${rule.id}/sessions?format=sql` : p && `SELECT name, sources, destinations, services, sessions, flows, bytes FROM proposal_rules WHERE proposal = '${p.id}' ORDER BY ordinal`}
        csv={rule ? `/api/v1/proposals/${shortID(id)}/rules/${rule.id}/sessions?format=csv` : `/api/v1/proposals/${shortID(id)}/export?format=csv`}
        picture={() => pictureOf(document.querySelector<HTMLCanvasElement>(".matrix canvas"))}
        command={rule ? ["proposals", "show", shortID(id), "--evidence", "--rule", rule.name] : ["proposals", "show", shortID(id)]}
        api={rule ? `/api/v1/proposals/${shortID(id)}/rules/${rule.id}/sessions` : `/api/v1/proposals/${shortID(id)}`}
      />
    </>
  )
}

function Content({ p, rule }: { p: Proposal; rule?: Rule }) {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const matrix = useAnswer<MatrixData>(`/api/v1/matrix?proposal=${shortID(p.id)}&unfold=true`)
  const [pointed, setPointed] = useState<string[]>([])
  const [row, setRow] = useState<string | undefined>()
  const s = p.summary
  const c = p.certificate
  return (
    <>
      <p class="head">
        <span data-count="rules">{count(s.rules)}</span> {s.rules === 1 ? "rule" : "rules"}, {c.optimal ? "proven minimal" : `at least ${count(c.lowerBound)} needed`}
        {c.witness.length > 0 && <> ({of(c.witness.length, "cell")} of which no two fit one rule: the dots)</>}. They hold <span data-count="included">{count(s.included)}</span> of{" "}
        <span data-count="sessions">{count(s.sessions)}</span> sessions in {of(s.cells, "cell")}; {of(s.eosLines, "line")} of EOS. One rule for each host would be {count(s.perHostRules)}, for each pair of groups {count(s.perPairRules)}.
      </p>
      <p>VRF {p.vrf}, {moment(p.window.from, zone)} to {moment(p.window.to, zone)} {zone}; categories {p.categories.length > 0 ? p.categories.join(", ") : "none"}.</p>
      <div class="split">
        <div>
          <Rules p={p} rule={rule} pointed={pointed} onPoint={setRow} />
          <LeftOut p={p} />
        </div>
        <div class="beside">
          {matrix.error && <Trouble error={matrix.error} />}
          {!matrix.data && !matrix.error && <Judging />}
          {matrix.data && matrix.data.cells.length > 0 && <Matrix m={matrix.data} rule={row ?? rule?.id} witness={c.witness} onPoint={setPointed} />}
        </div>
      </div>
      {rule && <RuleDetail p={p} rule={rule} />}
      <Exports p={p} />
      <p><A to={link("/since", new URLSearchParams({ proposal: shortID(p.id) }))}>Since this proposal</A>, <A to={link("/simulate", new URLSearchParams({ policy: shortID(p.id) }))}>simulate it</A></p>
    </>
  )
}

/** thin is a rule that rests on very little: one session, or one flow. */
const thin = (r: Rule): boolean => r.evidence.sessions <= 2 || r.evidence.clients === 1

type Column = [key: string, title: string, value: (r: Rule) => number | string]

const columns: Column[] = [
  ["rule", "Rule", (r) => r.name],
  ["sessions", "Sessions", (r) => r.evidence.sessions],
  ["excess", "Seen / permitted pairs", (r) => r.excess.permittedPairs - r.excess.observedPairs],
  ["last", "Last seen", (r) => r.evidence.lastSeen],
]

/** Rules lists the rules. One whose square is pointed at in the matrix stands out, and one that is pointed at here has its box there. */
function Rules({ p, rule, pointed, onPoint }: { p: Proposal; rule?: Rule; pointed: string[]; onPoint: (rule?: string) => void }) {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const sort = params.get("order") ?? ""
  const column = columns.find(([k]) => k === sort.replace("-", ""))
  const rules = [...p.rules]
  if (column) rules.sort((a, b) => (column[2](a) < column[2](b) ? -1 : column[2](a) > column[2](b) ? 1 : 0) * (sort.startsWith("-") ? -1 : 1))
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Rules">
      <table class="rules">
        <thead>
          <tr>
            {columns.map(([key, title]) => {
              const on = sort.replace("-", "") === key
              return (
                <th key={key} class={key === "rule" ? "" : "number"} aria-sort={on ? (sort.startsWith("-") ? "descending" : "ascending") : undefined}>
                  <button class="plain" onClick={() => change({ order: on && sort.startsWith("-") ? key : "-" + key })}>{title}</button>
                </th>
              )
            })}
          </tr>
        </thead>
        <tbody>
          {rules.map((r) => (
            <tr key={r.id} class={r.id === rule?.id ? "on" : pointed.includes(r.id) ? "pointed" : ""} data-rule={r.id}
              onMouseEnter={() => onPoint(r.id)} onMouseLeave={() => onPoint()} onFocusIn={() => onPoint(r.id)} onFocusOut={() => onPoint()}>
              <td>
                <A to={link(location.pathname, withParams(params, { rule: r.id === rule?.id ? null : r.id }))}>{r.name}</A> {thin(r) && <span class="thin">thin</span>}
                <div class="terms">{r.sources.map((s, i) => <span key={s}>{i > 0 && ", "}<End label={s} /></span>)} → {r.destinations.map((s, i) => <span key={s}>{i > 0 && ", "}<End label={s} /></span>)}: {r.services.join(", ")}</div>
              </td>
              <td class="number" data-count="rule">{count(r.evidence.sessions)}</td>
              <td class="number">{count(r.excess.observedPairs)} / {count(r.excess.permittedPairs)}</td>
              <td class="time">{moment(r.evidence.lastSeen, zone)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function LeftOut({ p }: { p: Proposal }) {
  const id = shortID(p.id)
  if (p.unproposed.length === 0) return <p>No session is left out.</p>
  return (
    <section>
      <h2>Left out</h2>
      {p.unproposed.map((u) => (
        <details key={u.reason + (u.detail ?? "")}>
          <summary>{u.reason}{u.detail ? ` (${u.detail})` : ""}: <span data-reason={u.reason}>{count(u.sessions)}</span></summary>
          <ul>
            {u.examples.map((x) => (
              <li key={x.source + x.destination + x.service}>
                <Host address={x.source} /> → <Host address={x.destination} /> {x.service}{x.note ? `: ${x.note}` : ""}
              </li>
            ))}
          </ul>
          <p><A to={`/sessions?proposal=${id}&reason=${u.reason}`}>All of them</A></p>
        </details>
      ))}
    </section>
  )
}

/** Rename gives a rule a name that stays. A proposal never changes, so the one with the name is another one. */
function Rename({ p, rule }: { p: Proposal; rule: Rule }) {
  const { params } = useAddress()
  const [wrong, setWrong] = useState<Problem | undefined>()
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault()
    const name = String(new FormData(e.currentTarget).get("name") ?? "").trim()
    setWrong(undefined)
    ask<{ id: string }>(`/api/v1/proposals/${shortID(p.id)}/names`, { method: "POST", body: JSON.stringify({ rule: rule.id, name }) }).then(
      (made) => go(link(`/proposals/${shortID(made.id)}`, params)),
      (error) => setWrong(error instanceof Problem ? error : new Problem(0, "The server does not answer.")),
    )
  }
  return (
    <form class="controls" onSubmit={submit}>
      <label>Name<input name="name" defaultValue={rule.name} autoComplete="off" spellcheck={false} /></label>
      <button type="submit">Rename</button>
      {wrong && <Trouble error={wrong} />}
    </form>
  )
}

interface FormatOf {
  name: string
  about?: string
  several?: boolean
}

/** Exports are the proposal in every format, each to look at and to save. */
function Exports({ p }: { p: Proposal }) {
  const { params } = useAddress()
  const { data } = useAnswer<{ formats: FormatOf[] }>("/api/v1/formats")
  const [shown, show] = useState<{ text?: string; notes: string[]; error?: Problem } | undefined>()
  const format = params.get("format") ?? "yaml"
  const gaps = params.get("gaps") === "report"
  const path = link(`/api/v1/proposals/${shortID(p.id)}/export`, new URLSearchParams({ format, ...(gaps ? { gaps: "report" } : {}) }))
  const several = data?.formats.find((f) => f.name === format)?.several
  useEffect(() => show(undefined), [path])
  const look = async () => {
    const response = await fetch(path)
    const text = await response.text()
    const notes = (response.headers.get("Cordon-Note") ?? "").split(", ").filter(Boolean).map(decodeURIComponent)
    if (response.ok) show({ text: several ? "Several files, in one archive." : text, notes })
    else show({ notes, error: new Problem(response.status, (JSON.parse(text) as { detail?: string }).detail ?? text) })
  }
  return (
    <section class="export" aria-label="Export">
      <h2>Export</h2>
      <form class="controls" onSubmit={(e) => { e.preventDefault(); void look() }}>
        <label>Format
          <select name="format" value={format} onChange={(e) => change({ format: e.currentTarget.value === "yaml" ? null : e.currentTarget.value })}>
            {(data?.formats ?? [{ name: format }]).map((f: FormatOf) => <option key={f.name} value={f.name}>{f.name}{f.about ? `: ${f.about}` : ""}</option>)}
          </select>
        </label>
        <label><input type="checkbox" name="gaps" checked={gaps} onChange={(e) => change({ gaps: e.currentTarget.checked ? "report" : null })} /> Leave out what the target cannot say, and list it</label>
        <button type="submit">Look at it</button>
        <a class="button" href={path} download data-export={format}>Save as {format}</a>
      </form>
      {shown?.error && <Trouble error={shown.error} />}
      {shown?.notes.map((n) => <p key={n}>{n}</p>)}
      {shown?.text !== undefined && <pre class="scroll" tabIndex={0} role="region" aria-label={"The proposal as " + format}>{shown.text}</pre>}
      <p class="note">On a terminal: <code>{words("cordon", "proposals", "export", shortID(p.id), "--format", format, ...(gaps ? ["--gaps", "report"] : []), ...(several ? ["--output", "folder"] : []))}</code></p>
    </section>
  )
}

function RuleDetail({ p, rule }: { p: Proposal; rule: Rule }) {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const id = shortID(p.id)
  const base = `/api/v1/proposals/${id}/rules/${encodeURIComponent(rule.id)}`
  const sort = params.get("sort")
  const query = new URLSearchParams({ limit: "200" })
  if (sort) query.set("sort", sort)
  if (params.get("after")) query.set("after", params.get("after")!)
  const evidence = useAnswer<SessionPage>(link(base + "/sessions", query))
  // The pairs come second: both are questions to the store, and people wait for the sessions.
  const answered = useRef("")
  if (evidence.data || evidence.error) answered.current = base
  const pairs = useAnswer<PairPage>(answered.current === base ? base + "/unobserved?limit=100" : null)
  const e = rule.evidence
  return (
    <section class="detail" aria-label="Evidence">
      <h2>{rule.name}</h2>
      <Rename p={p} rule={rule} key={rule.id} />
      <p>
        {of(e.sessions, "session")}, {of(e.flows, "flow")}, {of(e.clients, "client")}, {of(e.servers, "server")}; {moment(e.firstSeen, zone)} to {moment(e.lastSeen, zone)} {zone}.
        {e.lossyExporters?.length ? ` Exporters that lost records meanwhile: ${e.lossyExporters.join(", ")}.` : ""}
      </p>
      <h3>Sessions under it</h3>
      {evidence.error && <Trouble error={evidence.error} />}
      {!evidence.data && !evidence.error && <Busy what="Reading evidence" />}
      {evidence.data && (
        <>
          <p>
            <span data-count="evidence">{count(evidence.data.total)}</span> sessions, <span data-count="evidence-flows">{count(evidence.data.flows)}</span> flows.
            {evidence.data.total !== e.sessions && ` The proposal counted ${count(e.sessions)}: sessions have expired since, or came late, or the proposal was made with more than is stored.`}{" "}
            <a href={base + "/sessions?format=csv"} download="evidence.csv">CSV of all</a>
          </p>
          <SessionTable page={evidence.data} params={params} />
        </>
      )}
      <h3>Permitted and never seen</h3>
      {pairs.data && pairs.data.total === 0 && <p>Every pair that the rule permits was seen.</p>}
      {pairs.data && pairs.data.total > 0 && (
        <>
          <p><span data-count="unobserved">{count(pairs.data.total)}</span> pairs. <a href={base + "/unobserved?format=csv"} download="unobserved.csv">CSV of all</a></p>
          <ul class="pairs">
            {pairs.data.pairs.map((x) => <li key={x.client + x.server}><Host address={x.client} /> → <Host address={x.server} /></li>)}
          </ul>
        </>
      )}
    </section>
  )
}
