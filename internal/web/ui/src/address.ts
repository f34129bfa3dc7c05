// The address is the only state of a page: everything that is selected, filtered or sorted stands in it.
import { useEffect, useState } from "preact/hooks"

export interface Address {
  path: string
  params: URLSearchParams
}

function read(): Address {
  return { path: location.pathname, params: new URLSearchParams(location.search) }
}

const listeners = new Set<() => void>()

function tell(): void {
  for (const f of listeners) f()
}

addEventListener("popstate", tell)

/** useAddress gives the address, and again whenever it changes. */
export function useAddress(): Address {
  const [address, set] = useState(read)
  useEffect(() => {
    const changed = () => set(read())
    listeners.add(changed)
    changed()
    return () => {
      listeners.delete(changed)
    }
  }, [])
  return address
}

/** go opens an address of these pages: as a new entry of the history, or in place of the last one. */
export function go(to: string, replace = false): void {
  if (to === location.pathname + location.search) return
  if (replace) history.replaceState(null, "", to)
  else {
    history.pushState(null, "", to)
    scrollTo(0, 0)
  }
  tell()
}

/** Changes are parameters to set; null takes one away, and a list repeats it. */
export type Changes = Record<string, string | string[] | null>

/** withParams gives parameters with some changed. */
export function withParams(params: URLSearchParams, changes: Changes): URLSearchParams {
  const out = new URLSearchParams(params)
  for (const [name, value] of Object.entries(changes)) {
    out.delete(name)
    if (Array.isArray(value)) value.filter(Boolean).forEach((v) => out.append(name, v))
    else if (value) out.set(name, value)
  }
  return out
}

/** link writes an address. */
export function link(path: string, params?: URLSearchParams): string {
  const text = params?.toString()
  return text ? `${path}?${text}` : path
}

/** change sets parameters of the page that is open. */
export function change(changes: Changes, replace = false): void {
  const now = read()
  const y = scrollY
  go(link(now.path, withParams(now.params, changes)), replace)
  scrollTo(0, y)
}
