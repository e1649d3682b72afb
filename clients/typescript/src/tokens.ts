import { createLocalJWKSet, createRemoteJWKSet, errors, jwtVerify } from "jose"
import type { JWTVerifyGetKey } from "jose"

/** What an access token says. `epoch` rises when all sessions of an account end; `authTime` is in Unix seconds. */
export interface AccessToken {
  subject: string
  session: string
  epoch: number
  authTime: number
  /** Authentication methods (RFC 8176). */
  amr: readonly string[]
  /** 1: one factor, 2: two, 3: a passkey. */
  acr: 1 | 2 | 3
}

export interface VerifierOptions {
  /** The claim `iss`: the public address of Login2FA. */
  issuer: string
  /** The claim `aud`; `login2fa` unless the service says otherwise. */
  audience?: string
  /** Where the keys are, if not at the issuer's `/.well-known/jwks.json`. */
  jwksUrl?: string
}

/** The token is not good: answer 401 with the header `WWW-Authenticate: challenge`. */
export class TokenInvalid extends Error {
  override readonly name: string = "TokenInvalid"
  readonly challenge: string = 'Bearer error="invalid_token"'
}

/** It is good, but another login is needed first (RFC 9470): answer 401 with the header `WWW-Authenticate: challenge`. */
export class StepUpNeeded extends Error {
  override readonly name = "StepUpNeeded"

  constructor(readonly challenge: string) {
    super("a login with another factor, or a newer one, is needed")
  }
}

const ALGORITHMS = ["ES256", "RS256", "EdDSA"] // RFC 8725 section 3.1: no other, whatever a key or a token says
const FRESH = 300_000 // milliseconds
const AGAIN = 5_000 // at most one fetch in so many, whatever a token's `kid` is
const LEEWAY = 5 // seconds between two clocks

/**
 * Checks access tokens by the public keys of Login2FA (RFC 9068). A token stays good until it expires, at most an hour:
 * ask `POST /api/v1/auth/verify-token` where a logout has to count at once.
 */
export class AccessTokens {
  readonly #issuer: string
  readonly #audience: string
  readonly #keys: JWTVerifyGetKey

  constructor({ issuer, audience = "login2fa", jwksUrl }: VerifierOptions) {
    this.#issuer = issuer
    this.#audience = audience
    this.#keys = publicKeys(new URL(jwksUrl ?? `${issuer.replace(/\/$/, "")}/.well-known/jwks.json`))
  }

  /** Throws `TokenInvalid`; any other error means that no keys could be had yet: answer 503. */
  async verify(token: string): Promise<AccessToken> {
    try {
      const { payload } = await jwtVerify(token, this.#keys, {
        issuer: this.#issuer,
        audience: this.#audience,
        algorithms: ALGORITHMS,
        typ: "at+jwt",
        clockTolerance: LEEWAY,
        requiredClaims: ["exp", "iat", "sub", "sid", "epoch", "auth_time"],
      })
      return accessToken(payload)
    } catch (error) {
      if (error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout) && error.code !== "ERR_JOSE_GENERIC")
        throw new TokenInvalid("the access token is not good", { cause: error })
      throw error
    }
  }
}

/** Throws `StepUpNeeded` unless the login was of class `acr` or a higher one, and at most `maxAge` seconds ago. */
export function demand(token: AccessToken, { acr, maxAge }: { acr?: 2 | 3; maxAge?: number }): void {
  const age = Date.now() / 1000 - token.authTime
  if ((acr === undefined || token.acr >= acr) && (maxAge === undefined || age <= maxAge)) return
  const wanted = [
    'error="insufficient_user_authentication"',
    ...(acr === undefined ? [] : [`acr_values="urn:login2fa:acr:${acr}"`]),
    ...(maxAge === undefined ? [] : [`max_age="${maxAge}"`]),
  ]
  throw new StepUpNeeded(`Bearer ${wanted.join(", ")}`)
}

/** The last keys are used while the service is away. */
function publicKeys(url: URL): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(url, { cacheMaxAge: FRESH, cooldownDuration: AGAIN, timeoutDuration: 2_000 })
  let awayUntil = 0
  return async (header, token) => {
    if (typeof header.kid !== "string") throw new errors.JWTInvalid("no kid")
    const last = remote.jwks()
    if (last && Date.now() < awayUntil) return await createLocalJWKSet(last)(header, token)
    try {
      return await remote(header, token)
    } catch (error) {
      if (!last || error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error
      awayUntil = Date.now() + AGAIN
      return await createLocalJWKSet(last)(header, token)
    }
  }
}

function accessToken(payload: Record<string, unknown>): AccessToken {
  const { sub, sid, epoch, auth_time: authTime } = payload
  const amr = Array.isArray(payload.amr) ? payload.amr.filter((each) => typeof each === "string") : []
  if (typeof sub !== "string" || typeof sid !== "string" || !Number.isInteger(epoch) || !Number.isInteger(authTime))
    throw new errors.JWTInvalid("claims of another shape")
  return {
    subject: sub,
    session: sid,
    epoch: epoch as number,
    authTime: authTime as number,
    amr,
    acr: classOf(amr),
  }
}

function classOf(amr: readonly string[]): 1 | 2 | 3 {
  if (amr.includes("pop") && amr.includes("user")) return 3
  return amr.includes("mfa") ? 2 : 1
}
