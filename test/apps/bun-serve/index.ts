import ms from 'ms'

export default {
  fetch: () => new Response(`hello from Bun ${Bun.version.split('.')[0]} after ${ms(60_000)}\n`),
}
