// Proposals: the list, and one with its rules beside their boxes.
import { change, link, useAddress, withParams } from "./address"
import { useAnswer, type MatrixData, type PairPage, type Proposal, type Rule, type SessionPage, type Stored } from "./api"
import { Matrix } from "./matrix"
import { A, Busy, Copies, Trouble } from "./parts"
import { SessionTable, Host } from "./sessions"
import { count, end, moment, of, shortID, zoneOf } from "./text"

export function ProposalsPage() {
  const { data, error } = useAnswer<{ proposals: Stored[] }>("/api/v1/proposals?limit=100")
  return (
    <>
      <h1>Proposals</h1>
      {error && <Trouble error={error} />}
      {!data && !error && <Busy what="Reading proposals" />}
      {data && <ProposalList list={data.proposals} />}
      <Copies command={["proposals", "list"]} api="/api/v1/proposals?limit=100" />
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
          <Rules p={p} rule={rule} />
          <LeftOut p={p} />
        </div>
        <div class="beside">
          {matrix.error && <Trouble error={matrix.error} />}
          {!matrix.data && !matrix.error && <Busy what="Judging the sessions" />}
          {matrix.data && matrix.data.cells.length > 0 && <Matrix m={matrix.data} rule={rule?.id} witness={c.witness} />}
        </div>
      </div>
      {rule && <RuleDetail p={p} rule={rule} />}
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

function Rules({ p, rule }: { p: Proposal; rule?: Rule }) {
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
            <tr key={r.id} class={r.id === rule?.id ? "on" : ""} data-rule={r.id}>
              <td>
                <A to={link(location.pathname, withParams(params, { rule: r.id === rule?.id ? null : r.id }))}>{r.name}</A> {thin(r) && <span class="thin">thin</span>}
                <div class="terms">{r.sources.map(end).join(", ")} → {r.destinations.map(end).join(", ")}: {r.services.join(", ")}</div>
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
  const pairs = useAnswer<PairPage>(base + "/unobserved?limit=100")
  const e = rule.evidence
  return (
    <section class="detail" aria-label="Evidence">
      <h2>{rule.name}</h2>
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
