/** Which app each host leads to, and which hosts lead to an app, each found at once. */
export class HostMap extends Map<string, string> {
  readonly #hosts = new Map<string, Set<string>>()

  of(app: string): string[] {
    return [...(this.#hosts.get(app) ?? [])]
  }

  override set(host: string, app: string): this {
    if (this.get(host) !== app) this.delete(host)
    const hosts = this.#hosts.get(app) ?? new Set()
    this.#hosts.set(app, hosts.add(host))
    return super.set(host, app)
  }

  override delete(host: string): boolean {
    const app = this.get(host) ?? ''
    const hosts = this.#hosts.get(app)
    hosts?.delete(host)
    if (hosts?.size === 0) this.#hosts.delete(app)
    return super.delete(host)
  }

  override clear(): void {
    this.#hosts.clear()
    super.clear()
  }
}
