/** The pair of a login. `expiresAt`: the access token's end, in milliseconds of `Date.now()`. */
export interface Tokens {
  accessToken: string
  refreshToken: string
  expiresAt: number
}

/** Keeps the tokens of one person. Tabs share a session if they share what is behind their stores. */
export interface TokenStore {
  /** Tabs whose stores have the same name refresh one at a time. */
  readonly name: string
  read(): Promise<Tokens | undefined>
  write(tokens: Tokens | undefined): Promise<void>
}

let stores = 0

/** For one page or one process: gone when it ends. */
export function memoryStore(): TokenStore {
  let kept: Tokens | undefined
  stores += 1
  return {
    name: `login2fa.memory.${stores}`,
    read: async () => kept,
    write: async (tokens) => {
      kept = tokens
    },
  }
}

/** All tabs of an origin share `localStorage`. So does every script of its pages: use it only where you trust them all. */
export function storageStore(storage: Storage, key = "login2fa"): TokenStore {
  return {
    name: key,
    read: async () => {
      const text = storage.getItem(key)
      return text === null ? undefined : (JSON.parse(text) as Tokens)
    },
    write: async (tokens) => {
      if (tokens === undefined) storage.removeItem(key)
      else storage.setItem(key, JSON.stringify(tokens))
    },
  }
}
