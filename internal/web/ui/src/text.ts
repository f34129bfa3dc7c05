// Numbers, times and ends as text.

/** count writes a number with its thousands apart. */
export const count = (n: number): string => n.toLocaleString("en-US")

/** of writes a number of things. */
export const of = (n: number, one: string, many = one + "s"): string => `${count(n)} ${n === 1 ? one : many}`

/** bytes writes an amount in units of 1024. */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
  let i = 0
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024
    i++
  }
  return `${i === 0 ? n : n.toFixed(1)} ${units[i]}`
}

/** zoneOf is the time zone that an address asks for. */
export const zoneOf = (params: URLSearchParams): string => params.get("tz") || "UTC"

/** moment writes a time in a zone, which the page names. */
export function moment(text: string | undefined, zone: string): string {
  if (!text) return ""
  const t = new Date(text)
  if (isNaN(+t) || t.getUTCFullYear() <= 1970) return "the beginning"
  if (t.getUTCFullYear() >= 2199) return "now"
  try {
    return t.toLocaleString("sv-SE", { timeZone: zone === "local" ? undefined : zone })
  } catch {
    return t.toISOString().slice(0, 19).replace("T", " ")
  }
}

/** shortID is as much of an id as a person needs. */
export const shortID = (id: string): string => id.replace(/^sha256:/, "").slice(0, 12)

/** end writes a row or column of the matrix for people. */
export function end(label: string): string {
  if (label === "hosts") return "hosts in no group"
  if (label === "external") return "public addresses"
  return label.replace(/^group:/, "").replace(/^ip:(.*)\/(32|128)$/, "$1")
}

/** words writes an argument for a shell. */
export const words = (...args: string[]): string => args.map((a) => (/^[\w@%+=:,./-]+$/.test(a) ? a : `'${a.replaceAll("'", `'\\''`)}'`)).join(" ")
