/** Logs in with a mailed code: LOGIN2FA_URL=... USERNAME=... PASSWORD=... node log_in.js, then the code on standard input. */
import { createInterface } from "node:readline/promises"

import { Login2FA } from "../src/index.js"
import { AccessTokens } from "../src/tokens.js"

const { LOGIN2FA_URL: baseUrl = "http://127.0.0.1:8000", USERNAME = "", PASSWORD = "" } = process.env

const login = new Login2FA({ baseUrl })
const answer = await login.logIn(USERNAME, PASSWORD)
if (answer.otp_required) {
  const terminal = createInterface({ input: process.stdin })
  console.log("Which code was mailed to you?")
  await login.verifyOtp(answer.temporary_token, await terminal.question(""))
  terminal.close()
}

const { data: me } = await login.api.GET("/api/v1/users/me")
console.log(`Hello, ${me?.full_name}.`)

const token = await new AccessTokens({ issuer: process.env.ISSUER ?? baseUrl, jwksUrl: `${baseUrl}/.well-known/jwks.json` })
  .verify(await login.accessToken())
console.log(`Your login is of class ${token.acr}.`)
await login.logOut()
