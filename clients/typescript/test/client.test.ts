import assert from "node:assert/strict"
import { test } from "node:test"

import { LoggedOut, Login2FA, Login2FAError, memoryStore, type TokenStore } from "../src/index.js"

interface Service {
  fetch: (request: Request) => Promise<Response>
  refreshes: string[]
  answers: Record<string, () => Response>
}

/** Gives a new pair for each refresh token once, as the service does, and says what bears which token. */
function service(): Service {
  let number = 1
  const used = new Set<string>()
  const made: Service = {
    refreshes: [],
    answers: {},
    fetch: async (request) => {
      const path = new URL(request.url).pathname.replace("/api/v1", "")
      const own = made.answers[path]
      if (own) return own()
      if (path === "/users/me") return Response.json({ full_name: request.headers.get("Authorization") })
      if (path === "/auth/logout") return new Response(null, { status: 204 })
      assert.equal(path, "/auth/refresh-token")
      const { refresh_token: token } = (await request.json()) as { refresh_token: string }
      made.refreshes.push(token)
      await new Promise((resolve) => setImmediate(resolve))
      if (used.has(token)) return problem(400, "refresh_token_reused")
      used.add(token)
      number += 1
      return Response.json(pair(number))
    },
  }
  return made
}

function pair(number: number) {
  const tokens = { access_token: `access-${number}`, refresh_token: `refresh-${number}` }
  return { ...tokens, token_type: "bearer", expires_in: 3600, otp_required: false }
}

function problem(status: number, code: string, headers: HeadersInit = {}): Response {
  const body = { type: "about:blank", title: "x", status, detail: `because of ${code}`, code }
  return Response.json(body, { status, headers: { ...headers, "Content-Type": "application/problem+json" } })
}

async function loggedIn(expiresAt: number): Promise<{ made: Service; store: TokenStore; client: Login2FA }> {
  const made = service()
  const store = memoryStore()
  await store.write({ accessToken: "access-1", refreshToken: "refresh-1", expiresAt })
  return { made, store, client: new Login2FA({ baseUrl: "https://login.example.test/", store, fetch: made.fetch }) }
}

test("an access token that is good is borne as it is", async () => {
  const { made, client } = await loggedIn(Date.now() + 3_600_000)
  const { data } = await client.api.GET("/api/v1/users/me")
  assert.equal(data?.full_name, "Bearer access-1")
  assert.deepEqual(made.refreshes, [])
})

test("callers at once in two clients of one store refresh once, and all have the new token", async () => {
  const { made, store, client } = await loggedIn(0)
  const tab = new Login2FA({ baseUrl: "https://login.example.test", store, fetch: made.fetch })
  const tokens = await Promise.all([client, tab, client, tab].map((each) => each.accessToken()))
  assert.deepEqual(new Set(tokens), new Set(["access-2"]))
  assert.deepEqual(made.refreshes, ["refresh-1"])
})

test("a refresh that the service refuses ends the session here", async () => {
  const { made, store, client } = await loggedIn(0)
  made.answers["/auth/refresh-token"] = () => problem(400, "session_ended")
  await assert.rejects(client.accessToken(), LoggedOut)
  assert.equal(await store.read(), undefined)
})

test("a refresh that may work later keeps the session, and says when", async () => {
  const { made, store, client } = await loggedIn(0)
  made.answers["/auth/refresh-token"] = () => problem(503, "unavailable", { "Retry-After": "7" })
  await assert.rejects(client.accessToken(), (error) => error instanceof Login2FAError && error.retryAfter === 7)
  delete made.answers["/auth/refresh-token"]
  assert.equal(await client.accessToken(), "access-2")
  assert.equal((await store.read())?.refreshToken, "refresh-2")
})

test("a refused password is told by its code", async () => {
  const { made, client } = await loggedIn(0)
  made.answers["/auth/token"] = () => problem(400, "invalid_credentials")
  await assert.rejects(client.logIn("ann", "wrong"), (error) =>
    error instanceof Login2FAError && error.code === "invalid_credentials" && error.status === 400)
})

test("a log out forgets the tokens, also when the service is away", async () => {
  const { made, store, client } = await loggedIn(Date.now() + 3_600_000)
  made.answers["/auth/logout"] = () => {
    throw new TypeError("fetch failed")
  }
  await assert.rejects(client.logOut(), TypeError)
  assert.equal(await store.read(), undefined)
  await client.logOut()
})
