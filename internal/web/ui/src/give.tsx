// Files that a person gives: the server keeps them in memory, so that an address can name them.
import { useState } from "preact/hooks"
import { ask, Problem, useAnswer } from "./api"

export interface Given {
  upload: string
  name: string
  bytes: number
}

/** give sends a file to the server. */
export const give = (text: string, name: string): Promise<Given> =>
  ask<Given>(`/api/v1/uploads?name=${encodeURIComponent(name)}`, { method: "POST", body: text, headers: { Accept: "application/json", "Content-Type": "text/plain" } })

export const isGiven = (id: string | null | undefined): boolean => !!id?.startsWith("upload-")

/** useGiven gives the name of a file that an address names. */
export function useGiven(id: string | null | undefined): { name?: string; error?: Problem } {
  const { data, error } = useAnswer<Given>(isGiven(id) ? `/api/v1/uploads/${encodeURIComponent(id!)}` : null)
  return { name: data?.name, error }
}

/** Draft is a text that was pasted or read from a file, and is not sent yet. */
export interface Draft {
  text: string
  name: string
}

/** Paper is where a person pastes a text or chooses a file. */
export function Paper({ label, hint, name, draft, onChange }: { label: string; hint: string; name: string; draft: Draft; onChange: (d: Draft) => void }) {
  const [wrong, say] = useState("")
  const read = async (file: File | undefined) => {
    if (!file) return
    try {
      onChange({ text: await file.text(), name: file.name })
      say("")
    } catch {
      say(`The browser cannot read ${file.name}.`)
    }
  }
  return (
    <div class="paper">
      <label>{label}<textarea name={name} rows={8} spellcheck={false} value={draft.text} placeholder={hint} onInput={(e) => onChange({ text: e.currentTarget.value, name: draft.name })} /></label>
      <label>or from a file<input type="file" name={name + "-file"} onChange={(e) => void read(e.currentTarget.files?.[0])} /></label>
      {wrong && <p role="alert">{wrong}</p>}
    </div>
  )
}
