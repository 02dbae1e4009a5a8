import ms from 'ms'

export default {
  fetch: () => new Response(`hello from Deno ${Deno.version.deno[0]} after ${ms(60_000)}\n`),
}
