import { createHash } from 'node:crypto'
import type { Component } from './component.ts'

export type Subject = {
  app: string
  /** `v7` */
  release: string
  createdAt: string
  /** Keys of the image's layers, which decide the number of the document. */
  layers: string[]
  /** Of paas itself. */
  maker: string
}

/** A bill of materials in the JSON of CycloneDX 1.6. Pure: the same release gives the same one. */
export function cyclonedx(subject: Subject, components: Component[]): Record<string, unknown> {
  const { app, release, createdAt, layers, maker } = subject
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify([app, release, layers]))}`,
    version: 1,
    metadata: {
      timestamp: createdAt,
      tools: { components: [{ type: 'application', name: 'paas', version: maker }] },
      component: {
        type: 'application',
        'bom-ref': `${app}@${release}`,
        name: app,
        version: release,
      },
    },
    components: components.map((one) => ({
      type: one.type,
      'bom-ref': one.purl ?? `${one.name}@${one.version}`,
      name: one.name,
      version: one.version,
      ...(one.purl !== undefined && { purl: one.purl }),
    })),
  }
}

/** In the form of a name-based UUID. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex')
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16)
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`]
  return [...parts, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-')
}
