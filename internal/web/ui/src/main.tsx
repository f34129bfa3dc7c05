// The pages of Cordon.
import { render } from "preact"
import { useEffect } from "preact/hooks"
import { useAddress } from "./address"
import { GeneratePage } from "./generate"
import { MatrixPage } from "./matrix"
import { NowPage } from "./now"
import { A, Zone } from "./parts"
import { ProposalPage, ProposalsPage } from "./proposals"
import { HostPage, SessionsPage } from "./sessions"

const pages = [
  ["/", "Now"],
  ["/matrix", "Matrix"],
  ["/sessions", "Sessions"],
  ["/proposals", "Proposals"],
  ["/generate", "Generate"],
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
      <main id="content" tabIndex={-1}>{page(path)}</main>
    </>
  )
}

render(<App />, document.getElementById("app")!)
