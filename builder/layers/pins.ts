/** Layers that a build needs, whatever the releases say. */

type Pin = { builds: number; endedAt: number }
const pins = new Map<string, Pin>()
const pinnedAfterMs = 15 * 60_000

/**
 * Keeps layers from `removeLayers` while a build uses them, and for a while after its end, until
 * whoever ordered the build has recorded the release that owns them from then on.
 */
export function pinLayers(): { add(key: string): void } & Disposable {
  const keys: string[] = []
  return {
    add(key) {
      keys.push(key)
      const pin = pins.get(key) ?? { builds: 0, endedAt: -Infinity }
      pins.set(key, { ...pin, builds: pin.builds + 1 })
    },
    [Symbol.dispose]() {
      const endedAt = performance.now()
      for (const key of keys) {
        const builds = (pins.get(key)?.builds ?? 1) - 1
        pins.set(key, { builds, endedAt })
      }
      setTimeout(() => keys.forEach(unpin), pinnedAfterMs).unref()
    },
  }
}

/** What builds use now, and what those used that ended at `settledAt` or later. */
export function pinnedKeys(settledAt: number): string[] {
  return [...pins.keys()].filter((key) => {
    const pin = pins.get(key)
    return pin !== undefined && (pin.builds > 0 || pin.endedAt >= settledAt)
  })
}

function unpin(key: string): void {
  const pin = pins.get(key)
  const over = pin && pin.builds === 0 && performance.now() >= pin.endedAt + pinnedAfterMs - 1000
  if (over) pins.delete(key)
}
