// The one stream of events of a page: status, proposals and jobs. It is open while the page is seen and something listens.
import { useEffect, useState } from "preact/hooks"

type Kind = "status" | "proposals" | "jobs"

const last = new Map<Kind, unknown>()
const listeners = new Set<() => void>()
const comeBack = new Set<() => void>()
let source: EventSource | undefined
let lost = false
let reopen = 0

const tell = () => listeners.forEach((f) => f())

/** open keeps the stream where it is needed. A hidden page has none: browsers allow few connections to a server. */
function open(): void {
  if (source || listeners.size === 0 || document.hidden) return
  source = new EventSource("/api/v1/events")
  for (const kind of ["status", "proposals", "jobs"] as const)
    source.addEventListener(kind, (e) => {
      last.set(kind, JSON.parse((e as MessageEvent<string>).data))
      tell()
    })
  source.onopen = () => {
    if (!lost) return
    lost = false
    comeBack.forEach((f) => f())
    tell()
  }
  source.onerror = () => {
    if (!lost) {
      lost = true
      tell()
    }
    // A browser gives a stream up that is answered with an error.
    if (source?.readyState === EventSource.CLOSED) {
      close()
      clearTimeout(reopen)
      reopen = setTimeout(open, 2000)
    }
  }
}

function close(): void {
  source?.close()
  source = undefined
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()))
addEventListener("pagehide", close)
addEventListener("pageshow", open)

/** useEvents gives the last document of a kind, undefined before the first. */
export function useEvents<T>(kind: Kind): T | undefined {
  const [, again] = useState({})
  useEffect(() => {
    const f = () => again({})
    listeners.add(f)
    open()
    return () => {
      listeners.delete(f)
      if (listeners.size === 0) close()
    }
  }, [])
  return last.get(kind) as T | undefined
}

/** useLost says whether the server is away. */
export function useLost(): boolean {
  useEvents("status")
  return lost
}

/** onReturn calls a function when the server is back after it was away. */
export function onReturn(f: () => void): () => void {
  comeBack.add(f)
  return () => {
    comeBack.delete(f)
  }
}
