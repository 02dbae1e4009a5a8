import { text } from 'node:stream/consumers'
import { Failure } from '../../core/errors.ts'
import { readZip } from '../import/zip.ts'
import { type Component, library } from './component.ts'

const propertiesBytesMost = 65_536

/**
 * What a jar says that it is and has in it: Maven notes it for each jar, also in one made of many;
 * of jars within a jar the name alone is read. A jar that cannot be read gives nothing.
 */
export async function readJar(path: string): Promise<Component[]> {
  const found: Component[] = []
  try {
    for await (const { path: name, bytes, body } of readZip(path, isNamed)) {
      const [, group, artifact] = noted.exec(name) ?? []
      if (group === undefined || artifact === undefined) {
        const [, title = '', version = ''] = inner.exec(name) ?? []
        found.push({ type: 'library', name: title, version })
      } else if (bytes <= propertiesBytesMost) {
        const [, version] = /^version=(\S+)$/m.exec(await text(body)) ?? []
        if (version !== undefined) found.push(library('maven', `${group}/${artifact}`, version))
      }
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
  }
  return found
}

const noted = /^META-INF\/maven\/([^/]+)\/([^/]+)\/pom\.properties$/
const inner = /^(?:BOOT-INF|WEB-INF)\/lib\/([^/]+?)-(\d[^/]*)\.jar$/

function isNamed(name: string): boolean {
  return noted.test(name) || inner.test(name)
}
