import type { components } from "./schema.js"

export type Problem = components["schemas"]["Problem"]

/** A refusal of the API (RFC 9457). `code` is for programs, `message` for people; `retryAfter` is in seconds. */
export class Login2FAError extends Error {
  override readonly name: string = "Login2FAError"
  readonly status: number
  readonly code: string
  readonly retryAfter: number | undefined

  constructor(response: Response, readonly problem: Problem | undefined) {
    super(problem?.detail ?? `Login2FA answered ${response.status}`)
    this.status = response.status
    this.code = problem?.code ?? "unknown"
    const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10)
    this.retryAfter = Number.isNaN(seconds) ? undefined : seconds
  }
}

/** Nobody is logged in, or the session has ended: show the login. */
export class LoggedOut extends Error {
  override readonly name = "LoggedOut"

  constructor() {
    super("not logged in")
  }
}
