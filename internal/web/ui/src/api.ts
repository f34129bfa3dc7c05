// What the API answers; /openapi.json describes it.
import { useEffect, useState } from "preact/hooks"
import { onReturn } from "./events"

export interface Session {
  vrf: string
  client: string
  server: string
  service: string
  state: string
  flows: number
  packets: number
  bytes: number
  first_seen: string
  last_seen: string
  direction_basis: string
  exporters: string[]
  reason?: string
  note?: string
  rules?: number[]
}

export interface SessionPage {
  sessions: Session[]
  total: number
  flows: number
  bytes: number
  next?: string
  made: string
  proposal?: string
}

export interface PairPage {
  pairs: { client: string; server: string }[]
  total: number
  next?: string
}

export interface MatrixCell {
  row: number
  column: number
  sessions: number
  included: number
  services: number
  flows: number
  bytes: number
  firstSeen: string
  lastSeen: string
  rules: number[]
  reasons?: Record<string, number>
}

export interface MatrixRule {
  id: string
  name: string
  sessions: number
  services: string[]
  rows: number[]
  columns: number[]
}

export interface MatrixData {
  proposal?: string
  vrf: string
  window: { from: string; to: string }
  categories: string[]
  made: string
  sessions: number
  included: number
  services: { service: string; sessions: number; included: number }[]
  rows: string[]
  columns: string[]
  cells: MatrixCell[]
  rules: MatrixRule[]
  leftAway?: number
}

export interface Cell {
  source: string
  destination: string
  service: string
}

export interface Rule {
  id: string
  name: string
  sources: string[]
  destinations: string[]
  services: string[]
  evidence: { sessions: number; flows: number; bytes: number; clients: number; servers: number; firstSeen: string; lastSeen: string; sampling?: number; lossyExporters?: string[] }
  excess: { permittedPairs: number; observedPairs: number }
}

export interface Proposal {
  id: string
  vrf: string
  window: { from: string; to: string }
  categories: string[]
  rules: Rule[]
  unproposed: { reason: string; detail?: string; sessions: number; examples: { source: string; destination: string; service: string; note?: string }[] }[]
  certificate: { rules: number; lowerBound: number; optimal: boolean; method: string; witness: Cell[] }
  summary: { sessions: number; included: number; cells: number; rules: number; perHostRules: number; perPairRules: number; eosLines: number }
}

export interface Stored {
  id: string
  created: string
  vrf: string
  from: string
  to: string
  categories: string[] | null
  rules: number
  lowerBound: number
  optimal: boolean
  cells: number
  sessions: number
  included: number
}

export interface Finding {
  severity: string
  part: string
  text: string
  remedy?: string
}

export interface Status {
  version: string
  role?: string
  started?: string
  taken: string
  findings: Finding[]
  store?: { error?: string; [key: string]: unknown }
}

export interface Job {
  job: string
  who: string
  state: string
  steps: { name: string; millis: number; rows?: number }[]
  progress?: string
  error?: string
  proposals?: string[]
}

/** Suggestions compare orders of categories. */
export interface Suggestions {
  window: { from: string; to: string }
  cut: string
  candidates: string[]
  orders: number
  groupings: number
  more?: boolean
  list: {
    categories: string[]
    rules: number
    lowerBound: number
    cells: number
    literals: number
    excess: number
    sessions: number
    included: number
    heldOut: { sessions: number; denied: number } | null
    best: boolean
  }[]
}

/** Problem is an error as the API tells it (RFC 9457). */
export class Problem extends Error {
  constructor(
    public status: number,
    message: string,
    public details: { message: string; location?: string }[] = [],
  ) {
    super(message)
  }
}

/** ask sends a request and gives its answer, or throws a Problem. */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  const response = await fetch(path, { headers: { Accept: "application/json", ...(init.body ? { "Content-Type": "application/json" } : {}) }, ...init })
  if (response.status === 204) return undefined as T
  const text = await response.text()
  if (response.ok) return JSON.parse(text) as T
  try {
    const p = JSON.parse(text) as { detail?: string; title?: string; errors?: { message: string; location?: string }[] }
    throw new Problem(response.status, p.detail ?? p.title ?? response.statusText, p.errors ?? [])
  } catch (e) {
    if (e instanceof Problem) throw e
    throw new Problem(response.status, text || response.statusText)
  }
}

/** asking is how many questions are open. The page says so, for whoever waits until it has everything. */
let asking = 0

function count(change: number): void {
  asking += change
  // What came may make the page ask more.
  if (change > 0) document.documentElement.dataset["asking"] = String(asking)
  else setTimeout(() => (document.documentElement.dataset["asking"] = String(asking)), 100)
}

export interface Answer<T> {
  data?: T
  error?: Problem
  busy: boolean
}

/** retryAfter is how long a page waits, in milliseconds, before it asks a server again that did not answer. */
const retryAfter = 2000

/**
 * useAnswer asks for a path, and again when it changes; null asks nothing. A request ends with the page that made it. Where the
 * server is away, the page asks again until it is back. Every is in milliseconds, 0 for once; another version asks again.
 */
export function useAnswer<T>(path: string | null, every = 0, version: unknown = 0): Answer<T> {
  const [answer, set] = useState<Answer<T> & { of: string | null }>({ busy: path !== null, of: path })
  useEffect(() => {
    if (path === null) {
      set({ busy: false, of: null })
      return
    }
    const end = new AbortController()
    let timer = 0
    const run = () => {
      count(1)
      ask<T>(path, { signal: end.signal }).finally(() => count(-1)).then(
        (data) => {
          set({ data, busy: false, of: path })
          if (every > 0) timer = setTimeout(run, every)
        },
        (e) => {
          if (end.signal.aborted) return
          const away = !(e instanceof Problem) || e.status === 503 || e.status === 502
          set((old) => ({ data: old.of === path ? old.data : undefined, error: e instanceof Problem ? e : new Problem(0, "The server does not answer; trying again."), busy: false, of: path }))
          if (away) timer = setTimeout(run, retryAfter)
        },
      )
    }
    set((old) => (old.of === path ? { ...old, busy: true } : { busy: true, of: path }))
    run()
    const forget = onReturn(() => {
      clearTimeout(timer)
      run()
    })
    return () => {
      forget()
      end.abort()
      clearTimeout(timer)
    }
  }, [path, every, version])
  return answer.of === path ? answer : { busy: true }
}
