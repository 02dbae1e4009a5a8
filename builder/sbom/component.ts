/** Something that an image has in it, as package lists know it. */
export type Component = {
  type: 'library' | 'application' | 'operating-system'
  name: string
  version: string
  /** Where its kind of packages comes from, and its name there: `pkg:npm/%40babel/core@7.26.0`. */
  purl?: string
}

/** `namespace/name` of one kind of packages; a slash in it separates, all else is escaped. */
export function library(kind: string, name: string, version: string, qualifiers = ''): Component {
  const path = name.split('/').map(encodeURIComponent).join('/')
  const purl = `pkg:${kind}/${path}@${encodeURIComponent(version)}${qualifiers}`
  return { type: 'library', name, version, purl }
}
