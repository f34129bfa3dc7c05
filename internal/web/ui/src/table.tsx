// Tables of the pages.
import type { ComponentChildren } from "preact"

/** Column is a head, whether it is of numbers, and what a row shows. */
export type Column<T> = [title: string, number: boolean, cell: (row: T) => ComponentChildren]

/** Table shows rows, and says how many are left away. */
export function Table<T>({ label, columns, rows, most = 100 }: { label: string; columns: Column<T>[]; rows: T[]; most?: number }) {
  if (rows.length === 0) return <p>None.</p>
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label={label}>
        <table>
          <thead><tr>{columns.map(([title, number]) => <th key={title} class={number ? "number" : ""}>{title}</th>)}</tr></thead>
          <tbody>
            {rows.slice(0, most).map((r, i) => (
              <tr key={i}>{columns.map(([title, number, cell]) => <td key={title} class={number ? "number" : ""}>{cell(r)}</td>)}</tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > most && <p class="note">{rows.length - most} more are not shown; the CSV has all.</p>}
    </>
  )
}
