/** Pure: what may be secret in words of a user, left out where those are repeated. */

const hidden = '***'

/** A user and a password before the host; a password may hold any sign that it should not. */
const login = /\b([a-z][a-z0-9+.-]*:\/\/)([^/?#@:\s]*:(?!\d*(?:[/?#]|$)).*@|[^/?#\n]*@)/gi
const query = /\b([a-z][a-z0-9+.-]*:\/\/[^?#\s]*\?)([^#\s]*)/gi

/**
 * The addresses in a text without who logs in and without what is asked for:
 * `https://***@example.com/path?key=***`. Over ssh a user alone is no secret.
 */
export function maskAddresses(text: string): string {
  const bare = text.replace(login, (whole, scheme: string, who: string) => {
    return scheme.toLowerCase() === 'ssh://' && !who.includes(':') ? whole : `${scheme}${hidden}@`
  })
  return bare.replace(query, (_whole, address: string, asked: string) => {
    const pairs = asked.split('&')
    return address + pairs.map((pair) => (pair.includes('=') ? maskValue(pair) : hidden)).join('&')
  })
}

/** `KEY=***` */
export function maskValue(word: string): string {
  const at = word.indexOf('=')
  return at === -1 ? word : `${word.slice(0, at + 1)}${hidden}`
}
