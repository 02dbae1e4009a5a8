/** Pure: what may be secret in words of a user, left out where those are repeated. */

const hidden = '***'

/**
 * A user and a password before the host; a password may hold any sign that it should not. Nothing
 * is looked for without an end: a long word of many schemes would take the square of its length.
 */
const scheme = String.raw`\b([a-z][a-z0-9+.-]{0,20}://)`
const password = String.raw`[^/?#@:\s]{0,500}:(?!\d*(?:[/?#]|$)).{0,1000}@`
const login = new RegExp(`${scheme}(${password}|[^/?#\\n]{0,1000}@)`, 'gi')
const query = new RegExp(`${scheme}([^?#\\s]{0,2000}\\?)([^#\\s]*)`, 'gi')

/**
 * The addresses in a text without who logs in and without what is asked for:
 * `https://***@example.com/path?key=***`. Over ssh a user alone is no secret.
 */
export function maskAddresses(text: string): string {
  const bare = text.replace(login, (whole, kind: string, who: string) => {
    return kind.toLowerCase() === 'ssh://' && !who.includes(':') ? whole : `${kind}${hidden}@`
  })
  return bare.replace(query, (_whole, kind: string, place: string, asked: string) => {
    const pairs = asked.split('&')
    return (
      kind + place + pairs.map((pair) => (pair.includes('=') ? maskValue(pair) : hidden)).join('&')
    )
  })
}

/** `KEY=***` */
export function maskValue(word: string): string {
  const at = word.indexOf('=')
  return at === -1 ? word : `${word.slice(0, at + 1)}${hidden}`
}
