/** Words as a shell would have to be given them to read the same words back. Pure. */
export function shellText(words: string[]): string {
  const quote = (word: string) =>
    /^[\w.,:/@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
  return words.map(quote).join(' ')
}
