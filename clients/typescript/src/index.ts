export { Login2FA, type LoggedIn, type LoginAnswer, type Options } from "./client.js"
export { LoggedOut, Login2FAError, type Problem } from "./errors.js"
export { memoryStore, storageStore, type TokenStore, type Tokens } from "./store.js"
export type { components, operations, paths } from "./schema.js"
