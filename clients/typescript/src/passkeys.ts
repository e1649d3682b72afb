import type { components } from "./schema.js"

type Schemas = components["schemas"]

/** `mediation: "conditional"` offers passkeys at a field with `autocomplete="username webauthn"`; `signal` ends that. */
export interface PasskeyOptions {
  mediation?: CredentialMediationRequirement
  signal?: AbortSignal
}

/** Whether this browser can use passkeys as JSON (WebAuthn Level 3). */
export function passkeysSupported(): boolean {
  return typeof globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON === "function"
}

/** Let the browser answer the question of a login. Throws `DOMException` `NotAllowedError` if the person declines. */
export async function passkeyOf(question: Schemas["QuestionOut"], options?: PasskeyOptions): Promise<Schemas["PasskeyIn"]> {
  const asked = question.options as unknown as PublicKeyCredentialRequestOptionsJSON
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(asked)
  const credential = await navigator.credentials.get({ publicKey, ...options })
  return { ceremony: question.ceremony, credential: json(credential) as Schemas["SignedCredentialIn"] }
}

/** Make a passkey. Throws `DOMException` `InvalidStateError` if this device has one for the account. */
export async function newPasskey(question: Schemas["QuestionOut"], name?: string): Promise<Schemas["NewPasskeyIn"]> {
  const asked = question.options as unknown as PublicKeyCredentialCreationOptionsJSON
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(asked)
  const credential = await navigator.credentials.create({ publicKey })
  const made = { ceremony: question.ceremony, credential: json(credential) as Schemas["NewCredentialIn"] }
  return name === undefined ? made : { ...made, name }
}

function json(credential: Credential | null): unknown {
  if (credential === null) throw new DOMException("no passkey was given", "NotAllowedError")
  return (credential as PublicKeyCredential).toJSON()
}
