import { createHash } from 'node:crypto'
import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library'
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

/**
 * A bill of materials in the JSON of CycloneDX 1.6: the same release gives the same text. To load
 * what writes it takes 16 MB, so the daemon has it done by `writeBill`.
 */
export function cyclonedx(subject: Subject, components: Component[]): string {
  const { app, release, createdAt, layers, maker } = subject
  const bill = new Models.Bom({
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify([app, release, layers]))}`,
    metadata: new Models.Metadata({
      timestamp: new Date(createdAt),
      component: new Models.Component(Enums.ComponentType.Application, app, {
        bomRef: `${app}@${release}`,
        version: release,
      }),
    }),
    components: new Models.ComponentRepository(components.map(toModel)),
  })
  const paas = new Models.Component(Enums.ComponentType.Application, 'paas', { version: maker })
  bill.metadata.tools.components.add(paas)
  const normal = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6)
  return new Serialize.JsonSerializer(normal).serialize(bill, { sortLists: true, space: 2 })
}

const types = {
  library: Enums.ComponentType.Library,
  application: Enums.ComponentType.Application,
  'operating-system': Enums.ComponentType.OperatingSystem,
}

function toModel({ type, name, version, purl }: Component): Models.Component {
  return new Models.Component(types[type], name, {
    bomRef: purl ?? `${name}@${version}`,
    version,
    ...(purl !== undefined && { purl }),
  })
}

/** In the form of a name-based UUID. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex')
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16)
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`]
  return [...parts, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-')
}
