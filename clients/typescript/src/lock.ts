const queues = new Map<string, Promise<unknown>>()

/** One at a time for each name: in all tabs of an origin (Web Locks), and in this process where there are none. */
export async function exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
  if (globalThis.navigator?.locks) return await navigator.locks.request(name, work)
  const mine = (queues.get(name) ?? Promise.resolve()).then(work)
  const over = mine.catch(() => {})
  queues.set(name, over)
  void over.then(() => {
    if (queues.get(name) === over) queues.delete(name)
  })
  return await mine
}
