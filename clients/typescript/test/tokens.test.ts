import assert from "node:assert/strict"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { after, before, test } from "node:test"

import { exportJWK, generateKeyPair, SignJWT, type JWK } from "jose"

import { AccessTokens, demand, StepUpNeeded, TokenInvalid } from "../src/tokens.js"

type Private = Awaited<ReturnType<typeof generateKeyPair>>["privateKey"]

const ISSUER = "https://login.example.test"
const NOW = Math.floor(Date.now() / 1000)
const CLAIMS = { sub: "ann", sid: "one", epoch: 3, auth_time: NOW - 60, amr: ["pwd", "otp", "mfa"], jti: "t" }

let server: Server
let tokens: AccessTokens
let published: JWK[] = []
let fetches = 0
let away = false

async function key(kid: string): Promise<Private> {
  const { privateKey, publicKey } = await generateKeyPair("ES256")
  published.push({ ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" })
  return privateKey
}

async function signed(by: Private, kid: string, claims: object = {}, typ = "at+jwt"): Promise<string> {
  return await new SignJWT({ ...CLAIMS, ...claims })
    .setProtectedHeader({ alg: "ES256", kid, typ })
    .setIssuer("iss" in claims ? String(claims.iss) : ISSUER)
    .setAudience("aud" in claims ? String(claims.aud) : "login2fa")
    .setIssuedAt(NOW - 10)
    .setExpirationTime("exp" in claims ? Number(claims.exp) : NOW + 600)
    .sign(by)
}

let first: Private

before(async () => {
  server = createServer((_, response) => {
    fetches += 1
    response.writeHead(away ? 503 : 200, { "Content-Type": "application/json" })
    response.end(JSON.stringify({ keys: published }))
  }).listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  const { port } = server.address() as AddressInfo
  tokens = new AccessTokens({ issuer: ISSUER, jwksUrl: `http://127.0.0.1:${port}/` })
  first = await key("first")
})

after(() => server.close())

test("a good token says who, by which session and how they logged in", async () => {
  const token = await tokens.verify(await signed(first, "first"))
  assert.deepEqual(token, {
    subject: "ann", session: "one", epoch: 3, authTime: NOW - 60, amr: ["pwd", "otp", "mfa"], acr: 2,
  })
})

for (const [what, claims, typ] of [
  ["of another issuer", { iss: "https://evil.example.test" }, "at+jwt"],
  ["for another audience", { aud: "other" }, "at+jwt"],
  ["that has expired", { exp: NOW - 60 }, "at+jwt"],
  ["of another kind", {}, "JWT"],
  ["without a session", { sid: undefined }, "at+jwt"],
  ["with an epoch that is no number", { epoch: "3" }, "at+jwt"],
] as const) {
  test(`a token ${what} is refused`, async () => {
    await assert.rejects(tokens.verify(await signed(first, "first", claims, typ)), TokenInvalid)
  })
}

test("a token that another key has signed is refused", async () => {
  const { privateKey } = await generateKeyPair("ES256")
  await assert.rejects(tokens.verify(await signed(privateKey, "first")), TokenInvalid)
})

test("a token that says it needs no signature is refused", async () => {
  const [, payload] = (await signed(first, "first")).split(".")
  const header = Buffer.from(JSON.stringify({ alg: "none", kid: "first", typ: "at+jwt" })).toString("base64url")
  await assert.rejects(tokens.verify(`${header}.${payload}.`), TokenInvalid)
})

test("unknown keys are asked for once in five seconds, however many tokens name one", async () => {
  const before = fetches
  const { privateKey } = await generateKeyPair("ES256")
  for (let count = 0; count < 5; count += 1)
    await assert.rejects(tokens.verify(await signed(privateKey, `unknown-${count}`)), TokenInvalid)
  assert.ok(fetches - before <= 1)
})

test("the last keys are used while the service is away", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 400_000 })
  away = true
  const token = await signed(first, "first", { exp: NOW + 3600 })
  assert.equal((await tokens.verify(token)).subject, "ann")
  away = false
})

test("a new key is found when the service has rotated", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 800_000 })
  const second = await key("second")
  assert.equal((await tokens.verify(await signed(second, "second", { exp: NOW + 3600 }))).subject, "ann")
})

test("without any keys it is no fault of the token", async () => {
  const nowhere = new AccessTokens({ issuer: ISSUER, jwksUrl: "http://127.0.0.1:9/" })
  await assert.rejects(nowhere.verify(await signed(first, "first")), (error) => !(error instanceof TokenInvalid))
})

test("a demand names what is wanted, and a login that has it passes", async () => {
  const token = await tokens.verify(await signed(first, "first"))
  demand(token, { acr: 2, maxAge: 120 })
  assert.throws(() => demand(token, { acr: 3 }), (error) => error instanceof StepUpNeeded &&
    error.challenge === 'Bearer error="insufficient_user_authentication", acr_values="urn:login2fa:acr:3"')
  assert.throws(() => demand(token, { maxAge: 30 }), /another factor/)
})
