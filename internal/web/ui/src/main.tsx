// The pages of Cordon.
import { render } from "preact"
import { useEffect } from "preact/hooks"
import { useAddress } from "./address"
import { useLost } from "./events"
import { GeneratePage } from "./generate"
import { MatrixPage } from "./matrix"
import { NowPage } from "./now"
import { A, Zone } from "./parts"
import { ProposalPage, ProposalsPage } from "./proposals"
import { GroupPage } from "./group"
import { ReadinessPage } from "./readiness"
import { RefusedPage } from "./refused"
import { HostPage, SessionsPage } from "./sessions"
import { SimulatePage } from "./simulate"
import { SincePage } from "./since"

const pages = [
  ["/", "Now"],
  ["/matrix", "Matrix"],
  ["/sessions", "Sessions"],
  ["/refused", "Refused"],
  ["/readiness", "Long enough?"],
  ["/generate", "Generate"],
  ["/proposals", "Proposals"],
  ["/since", "Since"],
  ["/simulate", "Simulate"],
] as const

function page(path: string) {
  const [, name, what] = path.split("/")
  switch (name) {
    case "":
      return <NowPage />
    case "matrix":
      return <MatrixPage />
    case "sessions":
      return <SessionsPage />
    case "host":
      return what ? <HostPage address={decodeURIComponent(what)} key={what} /> : <NotHere path={path} />
    case "proposals":
      return what ? <ProposalPage id={decodeURIComponent(what)} key={what} /> : <ProposalsPage />
    case "group":
      return what ? <GroupPage name={decodeURIComponent(what)} key={what} /> : <NotHere path={path} />
    case "refused":
      return <RefusedPage />
    case "readiness":
      return <ReadinessPage />
    case "since":
      return <SincePage />
    case "simulate":
      return <SimulatePage />
    case "generate":
      return <GeneratePage />
  }
  return <NotHere path={path} />
}

function NotHere({ path }: { path: string }) {
  return (
    <>
      <h1>There is no page {path}</h1>
      <ul>{pages.map(([to, title]) => <li key={to}><A to={to}>{title}</A></li>)}</ul>
    </>
  )
}

function App() {
  const { path } = useAddress()
  const lost = useLost()
  const on = (to: string) => (to === "/" ? path === "/" : path === to || path.startsWith(to + "/"))
  useEffect(() => {
    const here = pages.find(([to]) => on(to))
    document.title = (here ? here[1] + " · " : "") + "Cordon"
  }, [path])
  return (
    <>
      <a class="skip" href="#content">Skip to content</a>
      <header>
        <A to="/" class="brand">Cordon</A>
        <nav aria-label="Pages">
          <ul>{pages.map(([to, title]) => <li key={to} class={on(to) ? "on" : ""}><A to={to}>{title}</A></li>)}</ul>
        </nav>
        <Zone />
      </header>
      {lost && <p class="lost-server" role="status">The server does not answer. This page goes on when it is back.</p>}
      <main id="content" tabIndex={-1}>{page(path)}</main>
    </>
  )
}

// A sheet of paper opens nothing: what is folded is printed.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)))

render(<App />, document.getElementById("app")!)
