// Parts that several pages have.
import type { ComponentChildren, TargetedMouseEvent } from "preact"
import { change, go, link, useAddress, withParams } from "./address"
import { Problem, useAnswer, type SessionPage, type Status } from "./api"
import { count, moment, zoneOf } from "./text"

/** A is a link inside these pages. It keeps the zone. */
export function A({ to, children, class: c, label }: { to: string; children: ComponentChildren; class?: string; label?: string }) {
  const { params } = useAddress()
  const [path, query] = to.split("?")
  const q = new URLSearchParams(query)
  const tz = params.get("tz")
  if (tz && !q.has("tz")) q.set("tz", tz)
  const href = link(path!, q)
  const open = (e: TargetedMouseEvent<HTMLAnchorElement>) => {
    if (e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
    e.preventDefault()
    go(href)
  }
  return (
    <a href={href} onClick={open} class={c} aria-label={label}>
      {children}
    </a>
  )
}

/** Trouble shows an error with the parameters that it is about. */
export function Trouble({ error }: { error: Problem }) {
  return (
    <div class="trouble" role="alert">
      <p>{error.message}</p>
      {error.details.filter((d) => d.message !== error.message || d.location).map((d) => (
        <p key={d.location}>
          <code>{d.location}</code> {d.message !== error.message && d.message}
        </p>
      ))}
    </div>
  )
}

/** Busy says that something is being asked. */
export const Busy = ({ what }: { what: string }) => <p class="busy" role="status">{what}…</p>

interface View {
  made?: string
  began: string
  steps: { name: string; millis: number }[]
}

/** Judging says how far a view has come that a page waits for. */
export function Judging() {
  const { data } = useAnswer<{ views: View[] }>("/api/v1/views", 500)
  const steps = data?.views.find((v) => !v.made)?.steps ?? []
  return <p class="busy" role="status">Judging the sessions…{steps.length > 0 && ` ${steps.length} steps done, the last: ${steps[steps.length - 1]!.name}.`}</p>
}

/** Zone shows the zone of the times on a page, and changes it. */
export function Zone() {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone
  const known = [...new Set(["UTC", own, zone])]
  return (
    <label class="zone">
      Times in
      <select value={zone} onChange={(e) => change({ tz: e.currentTarget.value === "UTC" ? null : e.currentTarget.value })}>
        {known.map((z) => <option key={z} value={z}>{z}</option>)}
      </select>
    </label>
  )
}

/** Findings are what `cordon status` finds, with remedies. */
export function Findings({ status }: { status: Status }) {
  if (status.findings.length === 0) return <p>Nothing stands out.</p>
  return (
    <ul class="findings">
      {status.findings.map((f) => (
        <li key={f.text} class={f.severity}>
          <strong>{f.severity}</strong> {f.text}
          {f.remedy && <div class="remedy">{f.remedy}</div>}
        </li>
      ))}
    </ul>
  )
}

/** times are the parameters that make a window. */
const times = ["since", "until", "last", "new", "new-since"]

/** Empty says why a list of sessions has no rows: nothing was ever received, nothing in this window, or a filter takes all away. */
export function Empty({ params }: { params: URLSearchParams }) {
  const zone = zoneOf(params)
  const all = useAnswer<SessionPage>("/api/v1/sessions?limit=1")
  const never = all.data?.total === 0
  const status = useAnswer<Status>(never ? "/api/v1/status" : null)
  const asked = [...new Set(params.keys())].filter((k) => !["tz", "sort", "after", "limit", "proposal"].includes(k))
  const window = asked.filter((k) => times.includes(k))
  const without = (names: string[]) => withParams(params, Object.fromEntries([...names, "after"].map((n) => [n, null])))
  const outside = useAnswer<SessionPage>(window.length > 0 && all.data && !never ? "/api/v1/sessions?" + withParams(without(window), { limit: "1", sort: "-last_seen", tz: null }) : null)
  if (all.error) return <Trouble error={all.error} />
  if (!all.data) return <Busy what="Looking why nothing is here" />
  if (never)
    return (
      <section class="empty">
        <p>Nothing was ever received.</p>
        {status.data && <Findings status={status.data} />}
      </section>
    )
  const newest = outside.data?.sessions[0]?.last_seen
  if (newest)
    return (
      <section class="empty">
        <p>
          Nothing in this window. The newest session was last seen {moment(newest, zone)} {zone}. <A to={link(location.pathname, without(window))}>Show all times</A>
        </p>
      </section>
    )
  return (
    <section class="empty">
      <p>No session matches. {count(all.data.total)} are stored. These filters are set; take one away:</p>
      <ul>
        {asked.map((name) => (
          <li key={name}>
            <A to={link(location.pathname, without([name]))}>without {name}={params.getAll(name).join(",")}</A>
          </li>
        ))}
      </ul>
    </section>
  )
}
