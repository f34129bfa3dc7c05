// Hours as bars, in the zone of the page.
import { count, moment } from "./text"

const hour = 3600_000

/** Strip draws a number for each hour. Hours without one are gaps; what is more than 60 days before the last is left away. */
export function Strip({ label, hours, zone }: { label: string; hours: { hour: string; n: number }[]; zone: string }) {
  if (hours.length === 0) return null
  const last = +new Date(hours.at(-1)!.hour)
  const shown = hours.filter((h) => last - +new Date(h.hour) < 1440 * hour)
  const first = +new Date(shown[0]!.hour)
  const n = Math.round((last - first) / hour) + 1
  const width = Math.max(1, Math.min(16, 880 / n))
  const top = Math.max(1, ...shown.map((h) => h.n))
  return (
    <figure>
      <svg class="bars" viewBox={`0 0 ${Math.max(400, width * n)} 84`} width={Math.max(400, width * n)} height={84} role="img" aria-label={`${label}: ${moment(shown[0]!.hour, zone)} to ${moment(hours.at(-1)!.hour, zone)} ${zone}, at most ${count(top)}`}>
        {shown.map((h) => {
          const height = Math.max(1, (62 * h.n) / top)
          return <rect key={h.hour} x={(width * (+new Date(h.hour) - first)) / hour} y={64 - height} width={Math.max(0.7, width - 0.5)} height={height}><title>{`${moment(h.hour, zone)} ${zone}: ${count(h.n)}`}</title></rect>
        })}
        <text x={0} y={80}>{moment(shown[0]!.hour, zone)} {zone}</text>
      </svg>
      <figcaption class="note">{label}; {count(top)} at most, the last at {moment(hours.at(-1)!.hour, zone)} {zone}.</figcaption>
    </figure>
  )
}
