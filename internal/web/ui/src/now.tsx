// What is going on: findings first, then exporters, traffic and the latest proposals.
import { useAddress } from "./address"
import { useAnswer, type Job, type SessionPage, type Status, type Stored } from "./api"
import { Copies } from "./copies"
import { useEvents } from "./events"
import { A, Busy, Findings, Trouble } from "./parts"
import { ProposalList } from "./proposals"
import { bytes, count, moment, zoneOf } from "./text"

interface Exporter {
  exporter: string
  messages: number
  records: number
  bytes: number
  lostRecords: number
  loss: number
  lastExport: string
}

interface Hour {
  hour: string
  packets: number
  bytes: number
}

export function NowPage() {
  const { params } = useAddress()
  const zone = zoneOf(params)
  const told = useEvents<Status>("status")
  const asked = useAnswer<Status>("/api/v1/status")
  const status = { data: told ?? asked.data, error: asked.error }
  const list = useEvents<{ proposals: Stored[] }>("proposals")
  const jobs = useEvents<{ jobs: Job[] }>("jobs")?.jobs.filter((j) => j.state === "running") ?? []
  const exporters = useAnswer<{ exporters: Exporter[] }>("/api/v1/exporters", 30000)
  const traffic = useAnswer<{ hours: Hour[] }>("/api/v1/traffic?last=7d", 60000)
  const sessions = useAnswer<SessionPage>("/api/v1/sessions?limit=1")
  const fresh = useAnswer<SessionPage>("/api/v1/sessions?limit=1&new=24h")
  const stored = useAnswer<{ proposals: Stored[] }>("/api/v1/proposals?limit=5")
  const proposals = list?.proposals.slice(0, 5) ?? stored.data?.proposals
  return (
    <>
      <h1>Now</h1>
      {status.error && <Trouble error={status.error} />}
      {!status.data && !status.error && <Busy what="Asking for the status" />}
      {status.data && (
        <section>
          <Findings status={status.data} />
          <p class="note">Cordon {status.data.version}, {status.data.role}; as of {moment(status.data.taken, zone)} {zone}.</p>
        </section>
      )}
      <dl class="tiles">
        <div><dt>Sessions stored</dt><dd><A to="/sessions"><span data-count="sessions">{sessions.data ? count(sessions.data.total) : "…"}</span></A></dd></div>
        <div><dt>New in 24 h</dt><dd><A to="/sessions?new=24h">{fresh.data ? count(fresh.data.total) : "…"}</A></dd></div>
        <div><dt>Never answered</dt><dd><A to="/sessions?state=half-open">see them</A></dd></div>
        <div><dt>Who talks to whom</dt><dd><A to="/matrix">the matrix</A></dd></div>
      </dl>
      <h2>Exporters</h2>
      {exporters.error && <Trouble error={exporters.error} />}
      {exporters.data && exporters.data.exporters.length === 0 && <p>No exporter has sent anything yet.</p>}
      {exporters.data && exporters.data.exporters.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Exporters">
          <table>
            <thead><tr><th>Exporter</th><th class="number">Records</th><th class="number">Bytes</th><th class="number">Lost</th><th>Last export ({zone})</th></tr></thead>
            <tbody>
              {exporters.data.exporters.map((e) => (
                <tr key={e.exporter}>
                  <td><A to={`/sessions?exporter=${encodeURIComponent(e.exporter)}`}>{e.exporter}</A></td>
                  <td class="number">{count(e.records)}</td>
                  <td class="number">{bytes(e.bytes)}</td>
                  <td class="number">{count(e.lostRecords)}{e.loss > 0 ? ` (${(100 * e.loss).toFixed(2)}%)` : ""}</td>
                  <td class="time">{moment(e.lastExport, zone)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <h2>Traffic of the last week, by hour</h2>
      {traffic.data && <Bars hours={traffic.data.hours} zone={zone} />}
      <h2>Latest proposals</h2>
      {jobs.map((j) => <p key={j.job}><A to={`/generate?job=${j.job}`}>Job {j.job}</A> of {j.who} is running. {j.progress}</p>)}
      {proposals && <ProposalList list={proposals} />}
      <Copies command={["status"]} api="/api/v1/status" name="exporters" sql="SELECT exporter, records, bytes, lost_records, last_export FROM exporters_total ORDER BY records DESC, exporter"
        csv={() => [["exporter", "records", "bytes", "lost_records", "last_export"], ...(exporters.data?.exporters ?? []).map((e) => [e.exporter, e.records, e.bytes, e.lostRecords, e.lastExport])]} />
    </>
  )
}

function Bars({ hours, zone }: { hours: Hour[]; zone: string }) {
  if (hours.length === 0) return <p>No traffic in the last week.</p>
  const day = 3600 * 1000
  const last = +new Date(hours[0]!.hour)
  const n = Math.min(168, Math.round((last - +new Date(hours[hours.length - 1]!.hour)) / day) + 1)
  const by = new Map(hours.map((h) => [Math.round((last - +new Date(h.hour)) / day), h]))
  const top = Math.max(...hours.map((h) => h.bytes), 1)
  const width = Math.max(4, Math.floor(672 / Math.max(n, 24)))
  return (
    <svg class="bars" width={width * n} height={80} role="img" aria-label={`Bytes by hour, ${moment(hours[hours.length - 1]!.hour, zone)} to ${moment(hours[0]!.hour, zone)} ${zone}; at most ${bytes(top)}`}>
      {[...Array(n).keys()].map((i) => {
        const h = by.get(n - 1 - i)
        const height = h ? Math.max(1, Math.round((76 * h.bytes) / top)) : 0
        return <rect key={i} x={i * width} y={78 - height} width={Math.max(1, width - 1)} height={height}><title>{h ? `${moment(h.hour, zone)} ${zone}: ${bytes(h.bytes)}` : ""}</title></rect>
      })}
    </svg>
  )
}
