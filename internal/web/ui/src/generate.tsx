// The flags of `cordon generate-rules` as a form, and how far the job has come.
import type { TargetedSubmitEvent } from "preact"
import { useEffect, useState } from "preact/hooks"
import { change, go, link, useAddress, withParams } from "./address"
import { ask, Problem, useAnswer, type Job, type Suggestions } from "./api"
import { Copies } from "./copies"
import { give, isGiven, Paper, useGiven, type Draft } from "./give"
import { A, Busy, Trouble } from "./parts"
import { Table } from "./table"
import { count, moment, shortID, zoneOf } from "./text"

const texts = [
  ["last", "Sessions of the last", "all"],
  ["since", "Since", "everything stored"],
  ["until", "Until", "now"],
  ["vrf", "VRF", "all"],
  ["client", "Only clients", "address, prefix or group:NAME"],
  ["server", "Only servers", ""],
  ["host", "Only hosts at either end", ""],
  ["min-sessions", "Sessions that a cell needs", "1"],
  ["min-hosts", "Clients that a cell needs", "1"],
  ["min-hours", "Hours in which a cell needs sessions", "1"],
  ["recurring", "Hours in which one client and server need sessions", "any"],
  ["exclude-scanners", "Targets that make a client a scanner", "none is one"],
  ["port-ranges", "Dynamic ports that make a range", "none does"],
  ["coverage", "Share of the sessions that is enough", "100%"],
  ["generalise", "Level at which cells without sessions are permitted", "none is"],
] as const

const choices = [
  ["external", "Public addresses in no group", ["report", "host", "internet"]],
  ["ungrouped", "Private addresses in no group", ["host", "report", "prefix"]],
  ["half-open", "Sessions without an answer", ["report", "allow-udp", "allow"]],
  ["effort", "Effort of the search", ["quick", "default", "thorough", "exhaustive"]],
] as const

/** compared are the flags that a comparison of orders has too. */
const compared = ["category", "last", "since", "until", "vrf", "client", "server", "host", "min-sessions", "min-hosts", "min-hours", "recurring", "exclude-scanners", "port-ranges", "external", "ungrouped", "half-open", "groups"]

/** bare are the flags that may stand without a value, so that one is joined to them. */
const bare = ["recurring", "exclude-scanners", "port-ranges", "generalise"]

const lists = ["category", "client", "server", "host"]
const first: Record<string, string> = { external: "report", ungrouped: "host", "half-open": "report", effort: "default" }

/** flags are the arguments that the form stands for. */
function flags(params: URLSearchParams, groups: string | undefined): string[] {
  const out: string[] = groups ? ["--groups", groups] : []
  for (const name of ["category", ...[...texts, ...choices].map(([name]) => name)]) for (const v of params.getAll(name)) if (v) out.push(...(bare.includes(name) ? [`--${name}=${v}`] : ["--" + name, v]))
  return out
}

export function GeneratePage() {
  const { params } = useAddress()
  const [wrong, setWrong] = useState<Problem | undefined>()
  const [draft, setDraft] = useState<Draft>({ text: "", name: "groups.yaml" })
  const given = useGiven(params.get("groups"))
  const stored = useAnswer<{ groups: { category: string; group: string }[]; categories: string[] }>("/api/v1/groups")
  const submit = async (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    const compare = (e.submitter as HTMLButtonElement | null)?.value === "compare"
    const body: Record<string, unknown> = {}
    const changes: Record<string, string | null> = { job: null, compare: compare ? "true" : null }
    for (const name of ["category", ...[...texts, ...choices].map(([name]) => name)]) {
      const v = String(form.get(name) ?? "").trim()
      changes[name] = v && v !== first[name] ? v : null
      if (!v || v === first[name]) continue
      body[name] = lists.includes(name) ? v.split(",").map((x) => x.trim()) : v
    }
    setWrong(undefined)
    try {
      if (draft.text.trim()) changes["groups"] = (await give(draft.text, draft.name)).upload
      if (compare) return change(changes)
      const groups = changes["groups"] ?? params.get("groups")
      if (groups) body["groups"] = groups
      const job = await ask<Job>("/api/v1/proposals", { method: "POST", body: JSON.stringify(body) })
      change({ ...changes, job: job.job })
    } catch (error) {
      setWrong(error instanceof Problem ? error : new Problem(0, "The server does not answer."))
    }
  }
  const job = params.get("job")
  const hint = given.name ? `${given.name}, which was given` : stored.data && stored.data.groups.length > 0 ? `the one used last: ${count(stored.data.groups.length)} groups in ${stored.data.categories.join(", ")}` : "none was used yet: without one every host stands for itself"
  const suggest = params.get("compare") === "true"
  const file = given.name ?? (stored.data && stored.data.groups.length > 0 ? "groups.yaml" : undefined)
  return (
    <>
      <h1>Generate rules</h1>
      {wrong && <Trouble error={wrong} />}
      {given.error && <Trouble error={given.error} />}
      {job && <JobView id={job} key={job} />}
      <form class="generate" onSubmit={submit} key={params.toString()}>
        <Order known={isGiven(params.get("groups")) ? [] : (stored.data?.categories ?? [])} first={params.getAll("category").flatMap((c) => c.split(","))} key={stored.data?.categories.join()} />
        {texts.map(([name, label, hint]) => (
          <label key={name}>{label}<input name={name} defaultValue={params.getAll(name).join(",")} placeholder={hint} autoComplete="off" spellcheck={false} /></label>
        ))}
        {choices.map(([name, label, values]) => (
          <label key={name}>
            {label}
            <select name={name}>{values.map((v) => <option key={v} value={v} selected={v === (params.get(name) ?? first[name])}>{v}</option>)}</select>
          </label>
        ))}
        <div class="wide"><Paper name="groups" label="Groups file, YAML or CSV" hint={hint} draft={draft} onChange={setDraft} /></div>
        <p class="wide controls">
          <button type="submit">Generate</button>
          <button type="submit" value="compare">Compare orders of categories</button>
        </p>
      </form>
      {suggest ? <Orders file={file ?? "groups.yaml"} /> : (
        <Copies command={["generate-rules", ...flags(params, file)]} api="/api/v1/proposals" body={bodyOf(params)} sql={statementOf(params)} />
      )}
    </>
  )
}

/** bodyOf is what makes a proposal with the parameters of the page. */
function bodyOf(params: URLSearchParams): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {}
  for (const name of ["groups", "category", ...[...texts, ...choices].map(([name]) => name)]) {
    const values = params.getAll(name).filter(Boolean)
    if (values.length > 0) out[name] = lists.includes(name) ? values.flatMap((v) => v.split(",")) : values[0]!
  }
  return out
}

/** statementOf gives the address of the statement for the sessions that are looked at. */
const statementOf = (params: URLSearchParams): string =>
  link("/api/v1/sessions", new URLSearchParams([...[...params].filter(([name]) => ["last", "since", "until", "vrf", "client", "server", "host"].includes(name)), ["format", "sql"]]))

/** only gives the parameters that a comparison of orders has. */
const only = (params: URLSearchParams): URLSearchParams => new URLSearchParams([...params].filter(([name]) => compared.includes(name)))

const comparison = (params: URLSearchParams): string => link("/api/v1/groups/suggest", only(params))

/** Order chooses categories and puts them in order: by name, or with buttons. */
function Order({ known, first }: { known: string[]; first: string[] }) {
  const [text, set] = useState(first.join(","))
  const chosen = text.split(",").map((c) => c.trim()).filter(Boolean)
  const put = (list: string[]) => set(list.join(","))
  const move = (i: number, by: number) => put(chosen.map((_, k) => chosen[k === i ? i + by : k === i + by ? i : k]!))
  const rest = known.filter((c) => !chosen.includes(c))
  return (
    <fieldset class="wide">
      <legend>Categories, in order of precedence</legend>
      <input name="category" value={text} onInput={(e) => set(e.currentTarget.value)} placeholder="all, in file order" aria-label="Categories" autoComplete="off" spellcheck={false} />
      {chosen.length > 0 && (
        <ol>
          {chosen.map((c, i) => (
            <li key={c}>
              {c} <button type="button" disabled={i === 0} aria-label={`${c} earlier`} onClick={() => move(i, -1)}>↑</button>
              <button type="button" disabled={i === chosen.length - 1} aria-label={`${c} later`} onClick={() => move(i, 1)}>↓</button>
              <button type="button" aria-label={`without ${c}`} onClick={() => put(chosen.filter((x) => x !== c))}>×</button>
            </li>
          ))}
        </ol>
      )}
      {rest.length > 0 && <p>{rest.map((c) => <button key={c} type="button" onClick={() => put([...chosen, c])}>{chosen.length > 0 ? `then ${c}` : c}</button>)}</p>}
    </fieldset>
  )
}

/** Orders compares what orders of categories would give, as `cordon groups suggest` does. */
function Orders({ file }: { file: string }) {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const { data, error } = useAnswer<Suggestions>(comparison(params))
  const take = (categories: string[]) => link("/generate", withParams(params, { category: categories.join(","), job: null }))
  return (
    <section aria-label="Orders of categories">
      <h2>What each order of categories would give</h2>
      {error && <Trouble error={error} />}
      {!data && !error && <Busy what="Trying orders" />}
      {data && data.list.length === 0 && <p>No session in the window has an address in a group, so there is nothing to compare.</p>}
      {data && data.list.length > 0 && (
        <>
          <p>
            Sessions from {moment(data.window.from, zone)} to {moment(data.window.to, zone)} {zone}. A star marks the orders that no other beats in every column.{" "}
            <span data-count="orders">{count(data.list.length)}</span> of {data.more ? "more than " : ""}{count(data.groupings)} different groupings were tried.
          </p>
          <Table label="Orders of categories" most={1000} rows={data.list} columns={[
            ["Categories", false, (x) => <A to={take(x.categories)}>{x.categories.join(", ")}</A>],
            ["Best", false, (x) => (x.best ? "★" : "")],
            ["Rules", true, (x) => count(x.rules)],
            ["At least", true, (x) => count(x.lowerBound)],
            ["Sources, destinations, services", true, (x) => count(x.literals)],
            ["Pairs permitted and not seen", true, (x) => count(x.excess)],
            ["Sessions outside", true, (x) => count(x.sessions - x.included)],
            [`Later sessions denied (learned until ${moment(data.cut, zone)})`, true, (x) => (x.heldOut && x.heldOut.sessions > 0 ? `${count(x.heldOut.denied)} of ${count(x.heldOut.sessions)}` : "–")],
          ]} />
        </>
      )}
      <Copies command={["groups", "suggest", ...flags(only(params), file)]} api={comparison(params)} sql={statementOf(params)} name="orders" csv={() => [
        ["categories", "rules", "lower_bound", "cells", "literals", "excess", "sessions", "included", "held_out", "held_out_denied", "best"],
        ...(data?.list ?? []).map((x) => [x.categories.join(","), x.rules, x.lowerBound, x.cells, x.literals, x.excess, x.sessions, x.included, x.heldOut?.sessions ?? "", x.heldOut?.denied ?? "", String(x.best)]),
      ]} />
    </section>
  )
}

function JobView({ id }: { id: string }) {
  const { params } = useAddress()
  const [job, setJob] = useState<Job | undefined>()
  const [wrong, setWrong] = useState<Problem | undefined>()
  useEffect(() => {
    const events = new EventSource(`/api/v1/jobs/${encodeURIComponent(id)}/events`)
    const take = (e: MessageEvent<string>) => setJob(JSON.parse(e.data) as Job)
    events.addEventListener("job", take)
    events.addEventListener("done", (e) => {
      const j = JSON.parse((e as MessageEvent<string>).data) as Job
      setJob(j)
      events.close()
      const made = j.proposals ?? []
      if (made.length === 1) go(link(`/proposals/${shortID(made[0]!)}`, withParams(new URLSearchParams(), { tz: params.get("tz") })), true)
    })
    events.onerror = () => {
      events.close()
      ask<Job>(`/api/v1/jobs/${encodeURIComponent(id)}`).then(setJob, (e) => setWrong(e instanceof Problem ? e : new Problem(0, "The server does not answer.")))
    }
    return () => events.close()
  }, [id])
  if (wrong) return <Trouble error={wrong} />
  if (!job) return null
  return (
    <section class="job" role="status">
      <p>Job {job.job}: {job.state}. {job.progress}</p>
      {job.error && <Trouble error={new Problem(0, job.error)} />}
      <ol>{job.steps.map((s, i) => <li key={i}>{s.name}, {count(Math.round(s.millis))} ms{s.rows ? `, ${count(s.rows)} rows` : ""}</li>)}</ol>
      {job.state === "running" && <button onClick={() => ask(`/api/v1/jobs/${id}`, { method: "DELETE" }).catch(() => undefined)}>Cancel</button>}
      {(job.proposals ?? []).map((p) => <p key={p}><A to={`/proposals/${shortID(p)}`}>Proposal {shortID(p)}</A></p>)}
    </section>
  )
}
