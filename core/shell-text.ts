/** Words as a shell would have to be given them to read the same words back. Pure. */
export function shellText(words: string[]): string {
  return words.map(quote).join(' ')
}

function quote(word: string): string {
  return /^[\w.,:/@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
