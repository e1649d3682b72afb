import createClient, { type Client, type Middleware } from "openapi-fetch"

import { LoggedOut, Login2FAError, type Problem } from "./errors.js"
import { exclusively } from "./lock.js"
import { passkeyOf, type PasskeyOptions } from "./passkeys.js"
import type { components, paths } from "./schema.js"
import { memoryStore, type TokenStore, type Tokens } from "./store.js"

type Schemas = components["schemas"]

/** `otp_required` tells the two apart: `true` has a `temporary_token` for the second step, `false` the tokens. */
export type LoginAnswer = Schemas["TokenPairOut"] | Schemas["OtpRequiredOut"]
/** A login with a second step. Keep `device_token` for the next `logIn` if the person wished to be remembered. */
export type LoggedIn = Schemas["LoggedInOut"]

export interface Options {
  /** Where Login2FA answers, as `https://login.example.test`. */
  baseUrl: string
  /** Where the tokens are kept; in memory unless said otherwise. */
  store?: TokenStore
  fetch?: (request: Request) => Promise<Response>
}

/** The access token is renewed so many milliseconds before it ends. */
const EARLY = 30_000

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/**
 * One person's session. Tokens are renewed when they are needed, once for all callers and tabs: a refresh token may be
 * used once only.
 *
 * Every method throws `Login2FAError` for a refusal; what needs a session throws `LoggedOut` without one.
 */
export class Login2FA {
  /** Every route, typed, without an access token of its own accord: what a login needs. */
  readonly open: Client<paths>
  /** Every route, typed, with the access token. */
  readonly api: Client<paths>
  readonly #store: TokenStore

  constructor({ baseUrl, store = memoryStore(), fetch }: Options) {
    const options = { baseUrl: baseUrl.replace(/\/$/, ""), ...(fetch && { fetch }) }
    this.#store = store
    this.open = createClient<paths>(options)
    this.api = createClient<paths>(options)
    const bearing: Middleware = {
      onRequest: async ({ request }) => {
        request.headers.set("Authorization", `Bearer ${await this.accessToken()}`)
        return request
      },
    }
    this.api.use(bearing)
  }

  /** First step of a login. `deviceToken` is that of a remembered device, which needs no second step. */
  async logIn(username: string, password: string, deviceToken?: string): Promise<LoginAnswer> {
    const body = { username, password, ...(deviceToken !== undefined && { device_token: deviceToken }) }
    const answer = good(await this.open.POST("/api/v1/auth/token", { body }))
    if (!answer.otp_required) await this.#keep(answer)
    return answer
  }

  /** Second step: the code that was mailed. */
  async verifyOtp(temporaryToken: string, otp: string, rememberDevice = false): Promise<LoggedIn> {
    const body = { otp, remember_device: rememberDevice }
    return await this.#kept(this.open.POST("/api/v1/auth/verify-otp", { body, ...bearer(temporaryToken) }))
  }

  /** Second step: the code of an authenticator app. */
  async verifyTotp(temporaryToken: string, otp: string, rememberDevice = false): Promise<LoggedIn> {
    const body = { otp, remember_device: rememberDevice }
    return await this.#kept(this.open.POST("/api/v1/auth/verify-totp", { body, ...bearer(temporaryToken) }))
  }

  /** Second step: one of the recovery codes. */
  async verifyRecovery(temporaryToken: string, code: string, rememberDevice = false): Promise<LoggedIn> {
    const body = { code, remember_device: rememberDevice }
    return await this.#kept(this.open.POST("/api/v1/auth/verify-recovery", { body, ...bearer(temporaryToken) }))
  }

  /** Second step: a passkey, for which the browser asks. */
  async verifyPasskey(temporaryToken: string, rememberDevice = false): Promise<LoggedIn> {
    const token = bearer(temporaryToken)
    const question = good(await this.open.POST("/api/v1/auth/challenge/passkey", token))
    const body = { ...(await passkeyOf(question)), remember_device: rememberDevice }
    return await this.#kept(this.open.POST("/api/v1/auth/verify-passkey", { body, ...token }))
  }

  /** A whole login by passkey alone. With `mediation: "conditional"` the browser offers it at a field for the username. */
  async logInWithPasskey(options?: PasskeyOptions): Promise<Schemas["TokenPairOut"]> {
    const question = good(await this.open.POST("/api/v1/auth/passkey/options"))
    const body = await passkeyOf(question, options)
    return await this.#kept(this.open.POST("/api/v1/auth/passkey", { body }))
  }

  /** An access token that is good for some time yet. */
  async accessToken(): Promise<string> {
    const tokens = await this.#store.read()
    if (tokens === undefined) throw new LoggedOut()
    return isFresh(tokens) ? tokens.accessToken : (await this.#refreshed()).accessToken
  }

  /** End the session. The tokens are forgotten even if the service can not be reached. */
  async logOut(): Promise<void> {
    try {
      const { error, response } = await this.api.POST("/api/v1/auth/logout")
      if (!response.ok && response.status !== 401) throw refusal(response, error)
    } catch (error) {
      if (!(error instanceof LoggedOut)) throw error
    } finally {
      await this.#store.write(undefined)
    }
  }

  async #refreshed(): Promise<Tokens> {
    return await exclusively(this.#store.name, async () => {
      const tokens = await this.#store.read()
      if (tokens === undefined) throw new LoggedOut()
      if (isFresh(tokens)) return tokens // another caller or tab was first
      const body = { refresh_token: tokens.refreshToken }
      const { data, error, response } = await this.open.POST("/api/v1/auth/refresh-token", { body })
      if (data !== undefined) return await this.#keep(data)
      if (response.status !== 400 && response.status !== 401) throw refusal(response, error) // it may work later
      await this.#store.write(undefined)
      throw new LoggedOut()
    })
  }

  async #kept<T extends Schemas["TokenPairOut"]>(asked: Promise<Answer<T>>): Promise<T> {
    const pair = good(await asked)
    await this.#keep(pair)
    return pair
  }

  async #keep(pair: Schemas["TokenPairOut"]): Promise<Tokens> {
    const tokens = {
      accessToken: pair.access_token,
      refreshToken: pair.refresh_token,
      expiresAt: Date.now() + pair.expires_in * 1000,
    }
    await this.#store.write(tokens)
    return tokens
  }
}

function isFresh(tokens: Tokens): boolean {
  return Date.now() < tokens.expiresAt - EARLY
}

function bearer(token: string): { headers: { Authorization: string } } {
  return { headers: { Authorization: `Bearer ${token}` } }
}

function good<T>({ data, error, response }: Answer<T>): T {
  if (data === undefined) throw refusal(response, error)
  return data
}

function refusal(response: Response, error: unknown): Login2FAError {
  const said = typeof error === "object" && error !== null && "code" in error
  return new Login2FAError(response, said ? (error as Problem) : undefined)
}
