// The flags of `cordon generate-rules` as a form, and how far the job has come.
import type { TargetedSubmitEvent } from "preact"
import { useEffect, useState } from "preact/hooks"
import { change, go, link, useAddress, withParams } from "./address"
import { ask, Problem, useAnswer, type Job } from "./api"
import { Copies } from "./copies"
import { A, Trouble } from "./parts"
import { count, shortID } from "./text"

const texts = [
  ["category", "Categories, in order of precedence", "all, in file order"],
  ["last", "Sessions of the last", "all"],
  ["since", "Since", "everything stored"],
  ["until", "Until", "now"],
  ["vrf", "VRF", "all"],
  ["client", "Only clients", "address, prefix or group:NAME"],
  ["server", "Only servers", ""],
  ["host", "Only hosts at either end", ""],
  ["min-sessions", "Sessions that a cell needs", "1"],
  ["min-hosts", "Clients that a cell needs", "1"],
  ["coverage", "Share of the sessions that is enough", "100%"],
] as const

const choices = [
  ["external", "Public addresses in no group", ["report", "host", "internet"]],
  ["ungrouped", "Private addresses in no group", ["host", "report", "prefix"]],
  ["half-open", "Sessions without an answer", ["report", "allow-udp", "allow"]],
  ["effort", "Effort of the search", ["quick", "default", "thorough", "exhaustive"]],
] as const

const lists = ["category", "client", "server", "host"]
const first: Record<string, string> = { external: "report", ungrouped: "host", "half-open": "report", effort: "default" }

/** flags are the arguments that the form stands for. */
function flags(params: URLSearchParams): string[] {
  const out: string[] = []
  for (const [name] of [...texts, ...choices]) for (const v of params.getAll(name)) if (v) out.push("--" + name, v)
  return out
}

export function GeneratePage() {
  const { params } = useAddress()
  const [wrong, setWrong] = useState<Problem | undefined>()
  const [groups, setGroups] = useState("")
  const stored = useAnswer<{ groups: { category: string; group: string }[]; categories: string[] }>("/api/v1/groups")
  const submit = (e: TargetedSubmitEvent<HTMLFormElement>) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget)
    const body: Record<string, unknown> = {}
    const changes: Record<string, string | null> = { job: null }
    for (const [name] of [...texts, ...choices]) {
      const v = String(form.get(name) ?? "").trim()
      changes[name] = v && v !== first[name] ? v : null
      if (!v || v === first[name]) continue
      body[name] = lists.includes(name) ? v.split(",").map((x) => x.trim()) : v
    }
    if (groups.trim()) body["groups"] = groups
    setWrong(undefined)
    ask<Job>("/api/v1/proposals", { method: "POST", body: JSON.stringify(body) }).then(
      (job) => change({ ...changes, job: job.job }),
      (error) => setWrong(error instanceof Problem ? error : new Problem(0, "The server does not answer.")),
    )
  }
  const job = params.get("job")
  return (
    <>
      <h1>Generate rules</h1>
      {wrong && <Trouble error={wrong} />}
      {job && <JobView id={job} key={job} />}
      <form class="generate" onSubmit={submit}>
        {texts.map(([name, label, hint]) => (
          <label key={name}>{label}<input name={name} defaultValue={params.getAll(name).join(",")} placeholder={hint} autoComplete="off" spellcheck={false} /></label>
        ))}
        {choices.map(([name, label, values]) => (
          <label key={name}>
            {label}
            <select name={name}>{values.map((v) => <option key={v} value={v} selected={v === (params.get(name) ?? first[name])}>{v}</option>)}</select>
          </label>
        ))}
        <label class="wide">
          Groups file, YAML or CSV
          <textarea name="groups" rows={8} spellcheck={false} value={groups} onInput={(e) => setGroups(e.currentTarget.value)}
            placeholder={stored.data && stored.data.groups.length > 0 ? `the one used last: ${count(stored.data.groups.length)} groups in ${stored.data.categories.join(", ")}` : "none was used yet: without one every host stands for itself"} />
        </label>
        <button type="submit">Generate</button>
      </form>
      <Copies command={["generate-rules", ...flags(params)]} />
    </>
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
